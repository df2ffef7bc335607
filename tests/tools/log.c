// What is logged is one line with the program's name, whatever a server put into it; details are
// shown only where asked for.
#include "tools/log.h"

#include <glib.h>

static void say(void) {
  g_message("it is so");
  g_warning("%s",
            "a\nb\x1b[31mc\xc2\x9b"
            "d\xff"
            "e\n");
  g_info("a detail");
  g_debug("a smaller one");
}

static void test_usual(void) {
  if (g_test_subprocess()) {
    log_start("mailfs");
    say();
    return;
  }
  g_test_trap_subprocess(NULL, 0, 0);
  g_test_trap_assert_passed();
  g_test_trap_assert_stderr("mailfs: it is so\nmailfs: warning: a?b?[31mc?d\xef\xbf\xbd\x65\n");
  // A `?` of these patterns is any character.
  g_test_trap_assert_stderr_unmatched("*\n*\n*\n*");
  g_test_trap_assert_stderr_unmatched("*\x1b*");
  g_test_trap_assert_stderr_unmatched("*\xc2\x9b*");
}

static void test_debug(void) {
  if (g_test_subprocess()) {
    log_start("mailfs");
    log_show_debug();
    say();
    return;
  }
  g_test_trap_subprocess(NULL, 0, 0);
  g_test_trap_assert_passed();
  g_test_trap_assert_stderr("*\nmailfs: info: a detail\nmailfs: debug: a smaller one\n");
}

// A daemon's standard error is nobody's.
static void test_syslog(void) {
  if (g_test_subprocess()) {
    log_start("mailfs");
    log_to_syslog();
    say();
    return;
  }
  g_test_trap_subprocess(NULL, 0, 0);
  g_test_trap_assert_passed();
  g_test_trap_assert_stderr("");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  // Warnings are what is tested here.
  g_log_set_always_fatal(G_LOG_FATAL_MASK);
  g_test_add_func("/log/usual", test_usual);
  g_test_add_func("/log/debug", test_debug);
  g_test_add_func("/log/syslog", test_syslog);
  return g_test_run();
}
