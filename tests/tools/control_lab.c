#include "control_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/control_socket.h"

void control_lab_open(ControlLab *lab) {
  g_autoptr(GError) error = NULL;
  lab->control =
      control_new(lab->outbox.directory, lab->outbox.outbox, lab->outbox.context, &error);
  g_assert_no_error(error);
}

void control_lab_set_up(ControlLab *lab, gconstpointer unused) {
  fixture_set_up_holding(&lab->outbox, NULL);
  lab->runtime = g_dir_make_tmp("mailfs-runtime-XXXXXX", NULL);
  g_setenv("XDG_RUNTIME_DIR", lab->runtime, TRUE);
  control_lab_open(lab);
}

void control_lab_tear_down(ControlLab *lab, gconstpointer unused) {
  control_free(lab->control);
  fixture_tear_down(&lab->outbox, NULL);
  g_autofree char *directory = g_build_filename(lab->runtime, "mailfs", NULL);
  g_assert_cmpint(rmdir(directory), ==, 0);
  g_assert_cmpint(rmdir(lab->runtime), ==, 0);
  g_free(lab->runtime);
}

int control_lab_join(ControlLab *lab) {
  g_autoptr(GError) error = NULL;
  int fd = control_socket_connect(lab->outbox.directory, &error);
  g_assert_no_error(error);
  g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
  return fd;
}

void control_lab_speak(int fd, const char *text) {
  g_assert_cmpint(send(fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
}

char *control_lab_hear(ControlLab *lab, int fd, const char *end) {
  GString *heard = g_string_new(NULL);
  while (end == NULL || strstr(heard->str, end) == NULL) {
    char bytes[4096];
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    if (got > 0)
      g_string_append_len(heard, bytes, got);
    else if (got == 0 || errno == ECONNRESET)
      break;
    else
      g_main_context_iteration(lab->outbox.context, FALSE);
  }
  return g_string_free(heard, FALSE);
}

void control_lab_assert_answer(ControlLab *lab, const char *request, const char *answer) {
  int fd = control_lab_join(lab);
  control_lab_speak(fd, request);
  g_autofree char *heard = control_lab_hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, answer);
  close(fd);
}

static void ignore_log(const char *domain, GLogLevelFlags level, const char *text, gpointer data) {}

int control_lab_main(int argc, char **argv, const ControlLabTest *tests, size_t n_tests) {
  umask(077);
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  g_log_set_handler("mailfs-cache", G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_WARNING, ignore_log, NULL);
  for (size_t i = 0; i < n_tests; i++)
    g_test_add(tests[i].path, ControlLab, NULL, control_lab_set_up, tests[i].test,
               control_lab_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
