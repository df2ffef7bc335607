// What programs read of a large message whose bytes are still on their way.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/steps.h"

#define SIZE (1 << 20)
#define ARRIVED (256 << 10)
#define FAR (512 << 10)  // further than the kernel reads ahead from what has arrived
#define PIECE 4096

typedef struct {
  Mounted *mounted;
  char *body;
  uint64_t ino;
} Fixture;

// Text in which each place differs from its neighbours.
static char *make_body(void) {
  char *body = g_malloc(SIZE + 1);
  for (size_t i = 0; i < SIZE; i += 16)
    g_snprintf(body + i, 17, "%014zu\r\n", i);
  return body;
}

static void set_up(Fixture *fixture, gconstpointer timeout_ms) {
  fixture->mounted = mounted_new(GPOINTER_TO_UINT(timeout_ms));
  fixture->body = make_body();
  fixture->ino = add_message(fixture->mounted, "big", fixture->body, SIZE);
  let_arrive(fixture->mounted, fixture->ino, ARRIVED);
}

static void tear_down(Fixture *fixture, gconstpointer timeout_ms) {
  mounted_free(fixture->mounted);
  g_free(fixture->body);
}

static void do_fail(Mounted *mounted, gpointer data) {
  fake_fail_wants(mounted->store, *(unsigned *)data, NET_ERROR_OFFLINE);
}

static void ignore_signal(int signal) {}

// The errno of reading a piece there, 0 if it is the right one, -1 if it is another.
static int read_piece(const Fixture *fixture, off_t offset) {
  g_autofree char *path = mounted_path(fixture->mounted, "INBOX/big");
  char piece[PIECE];
  int fd = open(path, O_RDONLY);
  g_assert_cmpint(fd, >=, 0);
  ssize_t got = pread(fd, piece, sizeof piece, offset);
  int error = got < 0 ? errno : 0;
  close(fd);
  if (error != 0) return error;
  return got == PIECE && memcmp(piece, fixture->body + offset, PIECE) == 0 ? 0 : -1;
}

// A process that reads a piece and exits with what came of it.
static pid_t start_reader(const Fixture *fixture, off_t offset) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  close_range(STDERR_FILENO + 1, ~0U, 0);  // what it inherited keeps the mount alive
  sigaction(SIGINT, &(struct sigaction){.sa_handler = ignore_signal}, NULL);
  sigaction(SIGCHLD, &(struct sigaction){.sa_handler = ignore_signal}, NULL);
  _exit(read_piece(fixture, offset));
}

// What has come is read though the rest is not here; the size is the whole message's.
static void test_arrived(Fixture *fixture, gconstpointer data) {
  g_assert_cmpint(read_piece(fixture, 0), ==, 0);
  g_assert_cmpint(look(fixture->mounted, "INBOX/big").st_size, ==, SIZE);
}

// A read of what has not come waits for it, and holds up nobody else.
static void test_waits(Fixture *fixture, gconstpointer data) {
  Mounted *mounted = fixture->mounted;
  add_message(mounted, "small", LETTER, strlen(LETTER));
  pid_t readers[32];
  for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
    readers[i] = start_reader(fixture, FAR);
  fake_wait_asked(mounted->store, 1 + 1);
  look(mounted, "INBOX/big");
  assert_list(mounted, "INBOX", "big small ");
  assert_read(mounted, "INBOX/small", LETTER);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, ENOENT);
  g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, 0);
  let_arrive(mounted, fixture->ino, SIZE);
  for (size_t i = 0; i < G_N_ELEMENTS(readers); i++)
    g_assert_cmpint(exit_code_of(readers[i]), ==, 0);
}

// So many messages may be read at once that others still can be.
static void test_many_wait(Fixture *fixture, gconstpointer data) {
  Mounted *mounted = fixture->mounted;
  uint64_t inos[300];
  Reading readings[G_N_ELEMENTS(inos)];
  g_autofree char *piece = g_strndup(fixture->body, PIECE);
  add_message(mounted, "small", LETTER, strlen(LETTER));
  for (unsigned i = 0; i < G_N_ELEMENTS(inos); i++) {
    g_autofree char *name = g_strdup_printf("big-%u", i);
    g_autofree char *path = g_build_filename("INBOX", name, NULL);
    inos[i] = add_message(mounted, name, fixture->body, SIZE);
    let_arrive(mounted, inos[i], 1);
    reading_start(&readings[i], mounted, path);
  }
  fake_wait_asked(mounted->store, 2 * G_N_ELEMENTS(inos));
  assert_read(mounted, "INBOX/small", LETTER);
  for (unsigned i = 0; i < G_N_ELEMENTS(inos); i++) {
    let_arrive(mounted, inos[i], SIZE);
    reading_end(&readings[i], piece);
  }
}

// What cannot be had is an error, not zeros and not an end; a later read may have it.
static void test_fails(Fixture *fixture, gconstpointer data) {
  unsigned count = 2;  // the kernel tries again for the piece itself when reading ahead fails
  mounted_call(fixture->mounted, do_fail, &count);
  g_assert_cmpint(read_piece(fixture, FAR), ==, EHOSTUNREACH);
  let_arrive(fixture->mounted, fixture->ino, SIZE);
  g_assert_cmpint(read_piece(fixture, FAR), ==, 0);
}

// A read does not wait for ever, whatever the store does.
static void test_deadline(Fixture *fixture, gconstpointer timeout_ms) {
  int64_t start_us = g_get_monotonic_time();
  g_assert_cmpint(read_piece(fixture, FAR), ==, ETIMEDOUT);
  int64_t waited_us = g_get_monotonic_time() - start_us;
  g_assert_cmpint(waited_us, >=, 10 * GPOINTER_TO_INT(timeout_ms) * 1000);
}

static void do_note_progress(Mounted *mounted, gpointer data) {
  fake_note_progress(mounted->store);
}

// As long as bytes of whatever message come, who waits in line is not sent away.
static void test_progress(Fixture *fixture, gconstpointer timeout_ms) {
  Mounted *mounted = fixture->mounted;
  g_autofree char *piece = g_strndup(fixture->body, PIECE);
  Reading reading;
  uint64_t ino = add_message(mounted, "slow", fixture->body, SIZE);
  let_arrive(mounted, ino, 1);
  reading_start(&reading, mounted, "INBOX/slow");
  for (int i = 0; i < 30; i++) {
    mounted_call(mounted, do_note_progress, NULL);
    // In all three times as long as anybody waits without progress.
    g_usleep(GPOINTER_TO_UINT(timeout_ms) * 1000);
  }
  let_arrive(mounted, ino, SIZE);
  reading_end(&reading, piece);
}

// Nothing follows the end, and what reaches over it is cut there.
static void test_end(Fixture *fixture, gconstpointer data) {
  g_autofree char *path = mounted_path(fixture->mounted, "INBOX/big");
  char piece[PIECE];
  let_arrive(fixture->mounted, fixture->ino, SIZE);
  for (int flags = 0; flags <= O_DIRECT; flags += O_DIRECT) {
    int fd = open(path, O_RDONLY | flags);
    g_assert_cmpint(pread(fd, piece, sizeof piece, SIZE), ==, 0);
    g_assert_cmpint(pread(fd, piece, sizeof piece, SIZE + PIECE), ==, 0);
    g_assert_cmpint(pread(fd, piece, sizeof piece, SIZE - 512), ==, 512);
    g_assert_cmpmem(piece, 512, fixture->body + SIZE - 512, 512);
    close(fd);
  }
}

// A body that got shorter on the disk is an error, not an early end.
static void do_put_short(Mounted *mounted, gpointer data) {
  fake_put_body(mounted->store, *(uint64_t *)data, "/etc/hostname");
}

static void test_too_short(Fixture *fixture, gconstpointer data) {
  mounted_call(fixture->mounted, do_put_short, &fixture->ino);
  let_arrive(fixture->mounted, fixture->ino, SIZE);
  g_assert_cmpint(read_piece(fixture, FAR), ==, EIO);
}

// A reader who is killed is gone at once; its body stays open until the kernel has its answers.
static void test_kill(Fixture *fixture, gconstpointer data) {
  Mounted *mounted = fixture->mounted;
  pid_t pid = start_reader(fixture, FAR);
  fake_wait_asked(mounted->store, 1 + 1);
  kill(pid, SIGKILL);
  g_assert_cmpint(exit_code_of(pid), ==, -1);
  g_assert_cmpuint(count_open(mounted), ==, 1);
  let_arrive(mounted, fixture->ino, SIZE);
  while (count_open(mounted) != 0)
    g_usleep(1000);  // the kernel tells in its own time
}

// Ctrl-C ends a wait of which the kernel tells it (not when it reads ahead: that fails first); a
// signal that no program expects to end a read does not.
static void test_interrupt(Fixture *fixture, gconstpointer data) {
  Mounted *mounted = fixture->mounted;
  unsigned count = 1;
  mounted_call(mounted, do_fail, &count);
  pid_t pid = start_reader(fixture, FAR);
  fake_wait_asked(mounted->store, 1 + 2);
  kill(pid, SIGCHLD);
  wait_until_interrupted(pid);
  look_errno(mounted, "INBOX/none");  // answered after the interruption was read
  g_assert_cmpuint(count_cancelled(mounted), ==, 0);
  kill(pid, SIGINT);
  g_assert_cmpint(exit_code_of(pid), ==, EINTR);
  g_assert_cmpuint(count_cancelled(mounted), ==, 1);
}

// The end of the mount does not wait for bytes.
static void test_unmount(Fixture *fixture, gconstpointer data) {
  pid_t pid = start_reader(fixture, FAR);
  fake_wait_asked(fixture->mounted->store, 1 + 1);
  mounted_end(fixture->mounted);
  int code = exit_code_of(pid);
  g_assert_true(code == EHOSTUNREACH || code == ENOTCONN || code == ECONNABORTED);
}

typedef struct {
  const char *name;
  int fd;
  unsigned size;
} Loan;

static void do_lend(Mounted *mounted, gpointer data) {
  const Loan *loan = data;
  fake_lend_letter(mounted->outbox, loan->name, loan->fd, loan->size);
}

static void read_letter(const Fixture *fixture, const char *path) {
  char piece[PIECE];
  int fd = open(path, O_RDONLY);
  ssize_t got = pread(fd, piece, sizeof piece, FAR);
  _exit(got == PIECE && memcmp(piece, fixture->body + FAR, PIECE) == 0 ? 0 : 1);
}

// A letter whose bytes are slow to come from the disk, which here is this very mount, holds up
// nobody but its reader.
static void test_slow_letter(Fixture *fixture, gconstpointer unused) {
  Mounted *mounted = fixture->mounted;
  g_autofree char *path = mounted_path(mounted, "INBOX/big");
  g_autofree char *letter = mounted_path(mounted, "outbox/letter");
  Loan loan = {"letter", open(path, O_RDONLY | O_CLOEXEC), SIZE};
  g_assert_cmpint(loan.fd, >=, 0);
  mounted_call(mounted, do_lend, &loan);
  pid_t reader = fork();
  if (reader == 0) read_letter(fixture, letter);
  fake_wait_asked(mounted->store, 1 + 1);
  assert_list(mounted, "outbox", "failed letter ");
  let_arrive(mounted, fixture->ino, SIZE);
  int status;
  g_assert_cmpint(waitpid(reader, &status, 0), ==, reader);
  g_assert_cmpint(status, ==, 0);
  close(loan.fd);
}

// Unlike a message's, a letter's file may end where it ends.
static void test_short_letter(Fixture *fixture, gconstpointer unused) {
  Loan loan = {"letter", memfd_create("letter", MFD_CLOEXEC), 10};
  g_assert_cmpint(write(loan.fd, "To: b\n", 6), ==, 6);
  mounted_call(fixture->mounted, do_lend, &loan);
  g_autofree char *path = mounted_path(fixture->mounted, "outbox/letter");
  char text[PIECE];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  g_assert_cmpint(read(fd, text, sizeof text), ==, 6);
  g_assert_cmpmem(text, 6, "To: b\n", 6);
  close(fd);
  close(loan.fd);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    unsigned timeout_ms;
    void (*run)(Fixture *fixture, gconstpointer data);
  } tests[] = {
      {"/mount/arriving/arrived", PATIENT_MS, test_arrived},
      {"/mount/arriving/waits", PATIENT_MS, test_waits},
      {"/mount/arriving/many-wait", PATIENT_MS, test_many_wait},
      {"/mount/arriving/fails", PATIENT_MS, test_fails},
      {"/mount/arriving/deadline", 30, test_deadline},
      {"/mount/arriving/progress", 30, test_progress},
      {"/mount/arriving/end", PATIENT_MS, test_end},
      {"/mount/arriving/too-short", PATIENT_MS, test_too_short},
      {"/mount/arriving/kill", PATIENT_MS, test_kill},
      {"/mount/arriving/interrupt", PATIENT_MS, test_interrupt},
      {"/mount/arriving/slow-letter", PATIENT_MS, test_slow_letter},
      {"/mount/arriving/short-letter", PATIENT_MS, test_short_letter},
      {"/mount/arriving/unmount", PATIENT_MS, test_unmount},
  };
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, GUINT_TO_POINTER(tests[i].timeout_ms), set_up, tests[i].run,
               tear_down);
  return g_test_run();
}
