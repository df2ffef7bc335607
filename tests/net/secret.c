#include "net/secret.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "net/error.h"

static const struct {
  const char *name, *command, *value;  // value NULL: DENIED
} commands[] = {
    {"line", "echo 'correct horse'", "correct horse"},
    {"first-line", "printf 'one\\ntwo\\n'", "one"},
    {"no-line-end", "printf one", "one"},
    {"blanks-are-kept", "printf '  one \\n'", "  one "},
    {"shell", "x=a; echo $x | tr a b", "b"},
    {"left-running", "sleep 30 2>/dev/null & echo one", "one"},
    {"more-than-a-pipe-holds", "echo one; head -c 300000 /dev/zero", "one"},
    {"empty", "true", NULL},
    {"empty-line", "echo; echo two", NULL},
    {"fails", "echo one; exit 3", NULL},
    {"killed", "echo one; kill -9 $$", NULL},
    {"missing", "/nonexistent/command 2>/dev/null", NULL},
    {"carriage-return", "printf 'one\\r\\n'", NULL},
    {"nul", "printf 'o\\000ne\\n'", NULL},
    {"too-long", "head -c 20000 /dev/zero | tr '\\000' a", NULL},
};

static char *load(Secret *secret, GError **error) {
  g_autoptr(Waker) waker = waker_new();
  return secret_load(secret, waker, error);
}

// A command's first line is the secret; anything else is DENIED, and the words never hold it.
static void test_command(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  g_autoptr(Secret) secret = secret_new_from_command(SECRET_TOKEN, commands[row].command);
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(secret_kind(secret), ==, SECRET_TOKEN);
  g_assert_true(secret_is_renewable(secret));
  char *value = load(secret, &error);
  g_assert_cmpstr(value, ==, commands[row].value);
  if (commands[row].value == NULL) {
    g_assert_error(error, NET_ERROR, NET_ERROR_DENIED);
    g_assert_null(strstr(error->message, "one"));
  }
  secret_wipe(value);
}

static char *write_file(const char *text, mode_t mode) {
  char *path = NULL;
  int fd = g_file_open_tmp("secret-XXXXXX", &path, NULL);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
  g_assert_cmpint(fchmod(fd, mode), ==, 0);
  close(fd);
  return path;
}

// A private file's first line is the secret, read anew each time.
static void test_file(void) {
  g_autofree char *path = write_file("first\nsecond\n", 0600);
  g_autoptr(GError) error = NULL;
  g_autoptr(Secret) secret = secret_new_from_file(path, &error);
  g_assert_no_error(error);
  g_assert_true(secret_is_renewable(secret));
  char *value = load(secret, &error);
  g_assert_cmpstr(value, ==, "first");
  secret_wipe(value);
  g_assert_true(
      g_file_set_contents_full(path, "changed", -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  value = load(secret, &error);
  g_assert_cmpstr(value, ==, "changed");
  secret_wipe(value);
  // What has become readable for others, or has gone, is no secret any more.
  g_assert_cmpint(chmod(path, 0644), ==, 0);
  g_assert_null(load(secret, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_DENIED);
  g_clear_error(&error);
  unlink(path);
  g_assert_null(load(secret, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_DENIED);
}

// A file that others may read, a directory, a FIFO and a missing file are refused at once.
static void test_bad_file(void) {
  static const mode_t modes[] = {0604, 0640, 0602, 0610, 0777};
  for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
    g_autofree char *path = write_file("secret\n", modes[i]);
    g_autoptr(GError) error = NULL;
    g_assert_null(secret_new_from_file(path, &error));
    g_assert_error(error, NET_ERROR, NET_ERROR_REFUSED);
    unlink(path);
  }
  g_autofree char *directory = g_dir_make_tmp("secret-XXXXXX", NULL);
  g_autofree char *fifo = g_build_filename(directory, "fifo", NULL);
  g_autofree char *missing = g_build_filename(directory, "missing", NULL);
  g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
  const char *const paths[] = {directory, fifo, missing};
  for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_null(secret_new_from_file(paths[i], &error));
    g_assert_error(error, NET_ERROR, NET_ERROR_REFUSED);
  }
  unlink(fifo);
  rmdir(directory);
}

// A typed value is kept as it is; one that a protocol could not carry is DENIED.
static void test_value(void) {
  g_autoptr(Secret) secret = secret_new_from_value(SECRET_PASSWORD, "correct horse");
  g_autoptr(Secret) other = secret_ref(secret);
  g_assert_false(secret_is_renewable(secret));
  for (int i = 0; i < 2; i++) {
    char *value = load(other, NULL);
    g_assert_cmpstr(value, ==, "correct horse");
    secret_wipe(value);
  }
  g_autoptr(Secret) broken = secret_new_from_value(SECRET_PASSWORD, "a\rb");
  g_autoptr(Secret) empty = secret_new_from_value(SECRET_PASSWORD, "");
  g_autoptr(GError) error = NULL;
  g_assert_null(load(broken, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_DENIED);
  g_assert_null(load(empty, NULL));
  secret_wipe(NULL);
}

// How much of this process's memory is locked. A sanitizer locks nothing at all.
static uint64_t locked_kib(void) {
  g_autofree char *status = NULL;
  g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
  const char *line = strstr(status, "VmLck:");
  g_assert_nonnull(line);
  return g_ascii_strtoull(line + strlen("VmLck:"), NULL, 10);
}

// A daemon is a child of the process that asked for the password: it locks what it uses, too.
static void test_locked_in_child(void) {
  g_autoptr(Secret) secret = secret_new_from_value(SECRET_PASSWORD, "correct horse");
  uint64_t locked = locked_kib();
  pid_t child = fork();
  if (child == 0) {
    secret_wipe(load(secret, NULL));
    _exit(locked_kib() == locked ? 0 : 1);
  }
  int status = 0;
  g_assert_cmpint(waitpid(child, &status, 0), ==, child);
  g_assert_cmpint(status, ==, 0);
}

typedef struct {
  Secret *secret;
  Waker *waker;
  GError *error;
} Loading;

static void *load_elsewhere(void *data) {
  Loading *loading = data;
  g_assert_null(secret_load(loading->secret, loading->waker, &loading->error));
  return NULL;
}

// Waits for one of the events, with patience for a slow machine.
static short await(int fd, short events) {
  struct pollfd polled = {.fd = fd, .events = events};
  g_assert_cmpint(poll(&polled, 1, 30000), ==, 1);
  return polled.revents;
}

// The fifo, which the command and what it started hold open, tells that they run and that they end.
static void assert_cancel_ends(const char *fifo) {
  int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  g_autofree char *command =
      g_strdup_printf("exec 3>'%s'; sleep 1000 & echo started >&3; wait", fifo);
  g_autoptr(Secret) secret = secret_new_from_command(SECRET_PASSWORD, command);
  g_autoptr(Waker) waker = waker_new();
  Loading loading = {.secret = secret, .waker = waker};
  pthread_t thread;
  char line[16];
  g_assert_cmpint(pthread_create(&thread, NULL, load_elsewhere, &loading), ==, 0);
  g_assert_true(await(fd, POLLIN) & POLLIN);
  g_assert_cmpint(read(fd, line, sizeof line), >, 0);
  waker_cancel(waker);
  pthread_join(thread, NULL);
  g_assert_error(loading.error, NET_ERROR, NET_ERROR_CANCELLED);
  g_assert_true(await(fd, POLLIN) & POLLHUP);
  g_error_free(loading.error);
  close(fd);
}

// A cancel ends a command, and with it what it started.
static void test_cancel(void) {
  g_autofree char *directory = g_dir_make_tmp("secret-XXXXXX", NULL);
  g_autofree char *fifo = g_build_filename(directory, "fifo", NULL);
  g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);
  assert_cancel_ends(fifo);
  unlink(fifo);
  rmdir(directory);
}

// A command that could use a terminal would stay in our group.
static void leave_terminal(void) {
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (terminal < 0) return;
  // For the case that it is ours alone.
  signal(SIGHUP, SIG_IGN);
  g_assert_cmpint(ioctl(terminal, TIOCNOTTY), ==, 0);
  signal(SIGHUP, SIG_DFL);
  close(terminal);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  leave_terminal();
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
    g_autofree char *path = g_strconcat("/secret/command/", commands[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_command);
  }
  g_test_add_func("/secret/file", test_file);
  g_test_add_func("/secret/bad-file", test_bad_file);
  g_test_add_func("/secret/value", test_value);
  g_test_add_func("/secret/locked-in-child", test_locked_in_child);
  g_test_add_func("/secret/cancel", test_cancel);
  return g_test_run();
}
