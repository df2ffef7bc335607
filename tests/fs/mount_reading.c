// What programs read at a mount, while the server is quick, slow or dead.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/steps.h"

static void ignore_signal(int signal) {}

// A process that opens `name` with a handler for `signal` (flags: SA_RESTART or 0), and exits with
// the errno of that.
static pid_t start_opener(Mounted *mounted, const char *name, int signal, int flags) {
  g_autofree char *path = mounted_path(mounted, name);
  pid_t pid = fork();
  if (pid != 0) return pid;
  close_range(STDERR_FILENO + 1, ~0U, 0);  // what it inherited keeps the mount alive
  struct sigaction action = {.sa_handler = ignore_signal, .sa_flags = flags};
  sigaction(signal, &action, NULL);
  _exit(open(path, O_RDONLY) >= 0 ? 0 : errno);
}

// Names, sizes, times and bytes are those of the store, the same in readdir and lstat.
static void test_look(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  uint64_t ino = add_message(mounted, "a,1.eml", LETTER, strlen(LETTER));
  assert_list(mounted, ".", "INBOX outbox ");
  assert_list(mounted, "INBOX", "a,1.eml ");
  struct stat attr = look(mounted, "INBOX/a,1.eml");
  g_assert_cmpuint(attr.st_ino, ==, ino);
  g_assert_cmpuint(attr.st_mode, ==, S_IFREG | 0600);
  g_assert_cmpint(attr.st_size, ==, strlen(LETTER));
  g_assert_cmpint(attr.st_blocks, ==, 1);
  g_assert_cmpint(attr.st_mtim.tv_sec, ==, 1700000000);
  g_assert_cmpint(attr.st_mtim.tv_nsec, ==, 123456789);
  attr = look(mounted, ".");
  g_assert_cmpuint(attr.st_ino, ==, INODE_ROOT);
  g_assert_cmpuint(attr.st_mode, ==, S_IFDIR | 0700);
  g_assert_cmpuint(attr.st_nlink, ==, 4);  // INBOX and outbox
  assert_read(mounted, "INBOX/a,1.eml", LETTER);
  g_assert_cmpint(look_errno(mounted, "INBOX/b"), ==, ENOENT);
}

static void do_put_body(Mounted *mounted, gpointer data) {
  fake_put_body(mounted->store, *(uint64_t *)data, "/proc/version");
}

// A file that cannot be read without waiting (as on a cold disk; this one never can) is read too.
static void test_slow_disk(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *version = NULL;
  gsize size;
  g_assert_true(g_file_get_contents("/proc/version", &version, &size, NULL));
  uint64_t ino = add_message(mounted, "a", "", size);
  mounted_call(mounted, do_put_body, &ino);
  assert_read(mounted, "INBOX/a", version);
}

// An open that waits for the server holds up nobody else.
static void test_others_go_on(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  Reading waiting[40];
  g_autofree char *letter = mounted_path(mounted, "outbox/letter");
  add_message(mounted, "slow", LETTER, strlen(LETTER));
  add_message(mounted, "known", LETTER, strlen(LETTER));
  assert_read(mounted, "INBOX/known", LETTER);
  g_assert_true(g_file_set_contents(letter, LETTER, -1, NULL));
  set_outcome(mounted, FAKE_WAIT);
  for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++)
    reading_start(&waiting[i], mounted, "INBOX/slow");
  fake_wait_asked(mounted->store, 1 + G_N_ELEMENTS(waiting));
  assert_list(mounted, "INBOX", "slow known ");
  look(mounted, "INBOX/slow");
  assert_read(mounted, "INBOX/known", LETTER);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, ENOENT);
  g_assert_cmpint(unlink(letter), ==, 0);
  assert_list(mounted, "outbox", "failed ");
  go_on(mounted);
  for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++)
    reading_end(&waiting[i], LETTER);
}

// Ctrl-C ends a waiting open at once, with EINTR.
static void test_interrupt(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/slow", SIGINT, 0);
  fake_wait_asked(mounted->store, 1);
  kill(pid, SIGINT);
  g_assert_cmpint(exit_code_of(pid), ==, EINTR);
  g_assert_cmpuint(count_cancelled(mounted), ==, 1);
}

// A process that is killed while it waits goes at once too.
static void test_kill(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/slow", SIGWINCH, 0);
  fake_wait_asked(mounted->store, 1);
  kill(pid, SIGKILL);
  g_assert_cmpint(exit_code_of(pid), ==, -1);
  look(mounted, "INBOX/slow");
}

// A signal for which no program expects open to fail does not break it.
static void test_harmless_signal(gconstpointer data) {
  int signal = GPOINTER_TO_INT(data);
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/slow", signal, SA_RESTART);
  fake_wait_asked(mounted->store, 1);
  kill(pid, signal);
  wait_until_interrupted(pid);
  look_errno(mounted, "INBOX/none");  // answered after the interruption was read
  go_on(mounted);
  g_assert_cmpint(exit_code_of(pid), ==, 0);
  g_assert_cmpuint(count_cancelled(mounted), ==, 0);
}

// A size that was announced too small or too big is right once the file is open.
static void test_resize(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "small", LETTER, 3);
  add_message(mounted, "big", LETTER, 3000);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, 3);
  g_assert_cmpint(look(mounted, "INBOX/big").st_size, ==, 3000);
  assert_read(mounted, "INBOX/small", LETTER);
  assert_read(mounted, "INBOX/big", LETTER);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, strlen(LETTER));
}

// So it is when the body came only after the first open had given up.
static void test_resize_late(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "small", LETTER, 3);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, 3);
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/small", SIGINT, 0);
  fake_wait_asked(mounted->store, 1);
  kill(pid, SIGINT);
  g_assert_cmpint(exit_code_of(pid), ==, EINTR);
  go_on(mounted);
  assert_read(mounted, "INBOX/small", LETTER);
}

// And when it came without any open, as what is read ahead does.
static void test_resize_ahead(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "looked", LETTER, 3);
  add_message(mounted, "listed", LETTER, 3);
  g_assert_cmpint(look(mounted, "INBOX/looked").st_size, ==, 3);
  list_plus(mounted, "INBOX");
  go_on(mounted);
  assert_read(mounted, "INBOX/looked", LETTER);
  assert_read(mounted, "INBOX/listed", LETTER);
}

typedef struct {
  uint64_t ino;
  const char *body;
} NewBody;

static void do_change_body(Mounted *mounted, gpointer data) {
  const NewBody *new = data;
  fake_change_body(mounted->store, new->ino, new->body);
}

// The bytes of a file that is open, as often as they are read.
static void assert_holds(int fd, const char *expected) {
  char bytes[4096];
  for (int i = 0; i < 2; i++) {
    ssize_t got = pread(fd, bytes, sizeof bytes, 0);
    g_assert_cmpmem(bytes, (size_t)MAX(got, 0), expected, strlen(expected));
  }
}

// A server may change what never changes: who opens the message then reads what it is now, and who
// had it open goes on with what he opened. Both at once can only be where they have one size.
static void test_changed_bytes(gconstpointer data) {
  const char *other = data;
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  uint64_t ino = add_message(mounted, "a", LETTER, strlen(LETTER));
  assert_read(mounted, "INBOX/a", LETTER);
  mounted_call(mounted, do_change_body, &(NewBody){ino, other});
  assert_read(mounted, "INBOX/a", other);
  g_assert_cmpint(look(mounted, "INBOX/a").st_size, ==, strlen(other));

  int fd = open(path, O_RDONLY);
  mounted_call(mounted, do_change_body, &(NewBody){ino, LETTER});
  bool same_size = strlen(other) == strlen(LETTER);
  int beside = open(path, O_RDONLY);
  int error = beside < 0 ? errno : 0;
  g_assert_cmpint(error, ==, same_size ? 0 : EIO);
  if (same_size) assert_holds(beside, LETTER);
  assert_holds(fd, other);
  if (same_size) assert_holds(beside, LETTER);
  g_assert_cmpint(look(mounted, "INBOX/a").st_size, ==, strlen(other));
  if (beside >= 0) close(beside);
  close(fd);
  look_errno(mounted, "INBOX/none");  // answered after the file was released
  assert_read(mounted, "INBOX/a", LETTER);
}

static void do_forget(Mounted *mounted, gpointer data) {
  fake_tell_removed(mounted->store, *(uint64_t *)data, true);
}

// A message of which nothing is known any more, though the kernel still knows its name.
static void test_open_forgotten(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  uint64_t ino = add_message(mounted, "a", LETTER, strlen(LETTER));
  int fd = open(path, O_PATH);
  g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
  mounted_call(mounted, do_forget, &ino);
  g_assert_cmpint(open(link, O_RDONLY), ==, -1);
  g_assert_cmpint(errno, ==, ENOENT);
  close(fd);
}

// What the store cannot get is told as an errno, and costs nothing else.
static void test_open_errors(void) {
  static const struct {
    int code, expected;
  } rows[] = {
      {NET_ERROR_OFFLINE, EHOSTUNREACH}, {NET_ERROR_TIMEOUT, ETIMEDOUT}, {NET_ERROR_DENIED, EACCES},
      {NET_ERROR_GONE, ENOENT},          {NET_ERROR_PROTOCOL, EIO},
  };
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = mounted_path(mounted, "INBOX/a");
    set_outcome(mounted, rows[i].code);
    g_assert_cmpint(open(path, O_RDONLY), ==, -1);
    g_assert_cmpint(errno, ==, rows[i].expected);
  }
  set_outcome(mounted, FAKE_SUCCEED);
  assert_read(mounted, "INBOX/a", LETTER);
}

int main(int argc, char **argv) {
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/reading/look", test_look);
  g_test_add_func("/mount/reading/slow-disk", test_slow_disk);
  g_test_add_func("/mount/reading/others-go-on", test_others_go_on);
  g_test_add_func("/mount/reading/interrupt", test_interrupt);
  g_test_add_func("/mount/reading/kill", test_kill);
  g_test_add_data_func("/mount/reading/signal/chld", GINT_TO_POINTER(SIGCHLD),
                       test_harmless_signal);
  g_test_add_data_func("/mount/reading/signal/winch", GINT_TO_POINTER(SIGWINCH),
                       test_harmless_signal);
  g_test_add_func("/mount/reading/resize", test_resize);
  g_test_add_func("/mount/reading/resize-late", test_resize_late);
  g_test_add_func("/mount/reading/resize-ahead", test_resize_ahead);
  g_test_add_data_func("/mount/reading/changed-bytes/same-size",
                       "From: alice@example.org\r\n\r\nAdieu\r\n", test_changed_bytes);
  g_test_add_data_func("/mount/reading/changed-bytes/longer",
                       "From: alice@example.org\r\n\r\nHello again\r\n", test_changed_bytes);
  g_test_add_data_func("/mount/reading/changed-bytes/shorter", "From: alice@example.org\r\n\r\n",
                       test_changed_bytes);
  g_test_add_func("/mount/reading/open-forgotten", test_open_forgotten);
  g_test_add_func("/mount/reading/open-errors", test_open_errors);
  return g_test_run();
}
