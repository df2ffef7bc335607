// The file system at a real mount, over a fake store: what programs see while the store is quick,
// slow, busy, dead or changing.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/mounted.h"

#define LETTER "From: alice@example.org\r\n\r\nHello\r\n"
#define PATIENT_MS 60000
#define HASTY_MS 200

// ---- What the test does on the loop's thread.

typedef struct {
  const char *name;
  const char *body;
  uint64_t announced;
  uint64_t ino;
} Message;

static void do_add(Mounted *mounted, gpointer data) {
  Message *message = data;
  message->ino = fake_add_message(mounted->store, mounted->inbox, message->name, message->body,
                                  message->announced);
}

static uint64_t add(Mounted *mounted, const char *name, const char *body, uint64_t announced) {
  Message message = {.name = name, .body = body, .announced = announced};
  mounted_call(mounted, do_add, &message);
  return message.ino;
}

static void do_remove(Mounted *mounted, gpointer data) {
  fake_remove(mounted->store, *(uint64_t *)data);
}

static void do_change(Mounted *mounted, gpointer data) {
  fake_tell_changed(mounted->store, mounted->inbox);
}

static void do_outcome(Mounted *mounted, gpointer data) {
  fake_set_outcome(mounted->store, *(int *)data);
}

static void set_outcome(Mounted *mounted, int outcome) {
  mounted_call(mounted, do_outcome, &outcome);
}

static void do_listing(Mounted *mounted, gpointer data) {
  fake_set_listing(mounted->store, mounted->inbox, *(StoreListing *)data);
}

static void set_listing(Mounted *mounted, StoreListing listing) {
  mounted_call(mounted, do_listing, &listing);
}

static void do_go_on(Mounted *mounted, gpointer data) {
  fake_go_on(mounted->store);
}

static void do_busy(Mounted *mounted, gpointer data) {
  fake_be_busy(mounted->store, 3);
}

static void do_count_cancelled(Mounted *mounted, gpointer data) {
  *(unsigned *)data = fake_count_cancelled(mounted->store);
}

static unsigned count_cancelled(Mounted *mounted) {
  unsigned count;
  mounted_call(mounted, do_count_cancelled, &count);
  return count;
}

// ---- What programs do.

// The directory's names in the order given, as a string "a b c ", without . and ..
static char *list(const char *path) {
  GString *names = g_string_new(NULL);
  DIR *directory = opendir(path);
  if (directory == NULL) g_string_printf(names, "errno %d", errno);
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') g_string_append_printf(names, "%s ", entry->d_name);
  if (directory != NULL) closedir(directory);
  return g_string_free(names, FALSE);
}

static void assert_list(Mounted *mounted, const char *name, const char *expected) {
  g_autofree char *path = mounted_path(mounted, name);
  g_autofree char *names = list(path);
  g_assert_cmpstr(names, ==, expected);
}

static struct stat look(Mounted *mounted, const char *name) {
  g_autofree char *path = mounted_path(mounted, name);
  struct stat attr = {0};
  int result = stat(path, &attr);
  if (result != 0) g_test_message("stat %s: %s", name, g_strerror(errno));
  g_assert_cmpint(result, ==, 0);
  return attr;
}

static int look_errno(Mounted *mounted, const char *name) {
  g_autofree char *path = mounted_path(mounted, name);
  struct stat attr;
  return stat(path, &attr) == 0 ? 0 : errno;
}

// The fstat size and the bytes of what open gives, "errno N" if it gives nothing.
static char *read_all(const char *path, off_t *size) {
  struct stat attr;
  char buffer[4096];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return g_strdup_printf("errno %d", errno);
  g_assert_cmpint(fstat(fd, &attr), ==, 0);
  *size = attr.st_size;
  ssize_t got = read(fd, buffer, sizeof buffer);
  close(fd);
  g_assert_cmpint(got, >=, 0);
  return g_strndup(buffer, (size_t)got);
}

static void assert_read(Mounted *mounted, const char *name, const char *expected) {
  g_autofree char *path = mounted_path(mounted, name);
  off_t size = (off_t)strlen(expected);
  g_autofree char *bytes = read_all(path, &size);
  g_assert_cmpstr(bytes, ==, expected);
  g_assert_cmpint(size, ==, (off_t)strlen(expected));
}

// A reader that may have to wait.
typedef struct {
  pthread_t thread;
  char *path;
  char *bytes;
} Reading;

static void *run_reading(void *data) {
  Reading *reading = data;
  off_t size;
  reading->bytes = read_all(reading->path, &size);
  return NULL;
}

static void reading_start(Reading *reading, Mounted *mounted, const char *name) {
  reading->path = mounted_path(mounted, name);
  pthread_create(&reading->thread, NULL, run_reading, reading);
}

static void reading_end(Reading *reading, const char *expected) {
  pthread_join(reading->thread, NULL);
  g_assert_cmpstr(reading->bytes, ==, expected);
  g_free(reading->bytes);
  g_free(reading->path);
}

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

static int exit_code_of(pid_t pid) {
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Waits until a signal has turned the wait in open() into one that only a fatal signal ends: then
// the kernel has told the file system.
static void wait_until_interrupted(pid_t pid) {
  g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
  for (bool told = false; !told;) {
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    told = strstr(text, ") D ") != NULL;
    g_usleep(1000);
  }
}

// ---- Reading.

// Names, sizes, times and bytes are those of the store, the same in readdir and lstat.
static void test_look(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  uint64_t ino = add(mounted, "a,1.eml", LETTER, strlen(LETTER));
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

// An open that waits for the server holds up nobody else.
static void test_others_go_on(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  Reading waiting[40];
  add(mounted, "slow", LETTER, strlen(LETTER));
  add(mounted, "known", LETTER, strlen(LETTER));
  assert_read(mounted, "INBOX/known", LETTER);
  set_outcome(mounted, FAKE_WAIT);
  for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++)
    reading_start(&waiting[i], mounted, "INBOX/slow");
  fake_wait_asked(mounted->store, 1 + G_N_ELEMENTS(waiting));
  assert_list(mounted, "INBOX", "slow known ");
  look(mounted, "INBOX/slow");
  assert_read(mounted, "INBOX/known", LETTER);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, ENOENT);
  mounted_call(mounted, do_go_on, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(waiting); i++)
    reading_end(&waiting[i], LETTER);
}

// Ctrl-C ends a waiting open at once, with EINTR.
static void test_interrupt(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add(mounted, "slow", LETTER, strlen(LETTER));
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
  add(mounted, "slow", LETTER, strlen(LETTER));
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
  add(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/slow", signal, SA_RESTART);
  fake_wait_asked(mounted->store, 1);
  kill(pid, signal);
  wait_until_interrupted(pid);
  look_errno(mounted, "INBOX/none");  // answered after the interruption was read
  mounted_call(mounted, do_go_on, NULL);
  g_assert_cmpint(exit_code_of(pid), ==, 0);
  g_assert_cmpuint(count_cancelled(mounted), ==, 0);
}

// A size that was announced too small or too big is right once the file is open.
static void test_resize(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add(mounted, "small", LETTER, 3);
  add(mounted, "big", LETTER, 3000);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, 3);
  g_assert_cmpint(look(mounted, "INBOX/big").st_size, ==, 3000);
  assert_read(mounted, "INBOX/small", LETTER);
  assert_read(mounted, "INBOX/big", LETTER);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, strlen(LETTER));
}

// So it is when the body came only after the first open had given up.
static void test_resize_late(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add(mounted, "small", LETTER, 3);
  g_assert_cmpint(look(mounted, "INBOX/small").st_size, ==, 3);
  set_outcome(mounted, FAKE_WAIT);
  pid_t pid = start_opener(mounted, "INBOX/small", SIGINT, 0);
  fake_wait_asked(mounted->store, 1);
  kill(pid, SIGINT);
  g_assert_cmpint(exit_code_of(pid), ==, EINTR);
  mounted_call(mounted, do_go_on, NULL);
  assert_read(mounted, "INBOX/small", LETTER);
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
  add(mounted, "a", LETTER, strlen(LETTER));
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = mounted_path(mounted, "INBOX/a");
    set_outcome(mounted, rows[i].code);
    g_assert_cmpint(open(path, O_RDONLY), ==, -1);
    g_assert_cmpint(errno, ==, rows[i].expected);
  }
  set_outcome(mounted, FAKE_SUCCEED);
  assert_read(mounted, "INBOX/a", LETTER);
}

// ---- Listings.

// A stale listing waits for a newer one only so long, then the last good one is shown.
static void test_stale(void) {
  g_autoptr(Mounted) mounted = mounted_new(HASTY_MS);
  add(mounted, "a", LETTER, strlen(LETTER));
  set_listing(mounted, STORE_STALE);
  set_outcome(mounted, FAKE_WAIT);
  int64_t start_us = g_get_monotonic_time();
  assert_list(mounted, "INBOX", "a ");
  g_assert_cmpint(g_get_monotonic_time() - start_us, >=, HASTY_MS * 1000);
  set_outcome(mounted, NET_ERROR_OFFLINE);
  assert_list(mounted, "INBOX", "a ");
}

// A folder never listed is an error while it cannot be listed, never empty, and its names are not
// said to be missing.
static void test_unlisted(void) {
  g_autoptr(Mounted) mounted = mounted_new(HASTY_MS);
  g_autofree char *offline = g_strdup_printf("errno %d", EHOSTUNREACH);
  add(mounted, "a", LETTER, strlen(LETTER));
  set_listing(mounted, STORE_UNLISTED);
  set_outcome(mounted, NET_ERROR_OFFLINE);
  assert_list(mounted, "INBOX", offline);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, EHOSTUNREACH);
  set_outcome(mounted, FAKE_WAIT);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, EHOSTUNREACH);
  look(mounted, "INBOX");
  set_outcome(mounted, FAKE_SUCCEED);
  assert_list(mounted, "INBOX", "a ");
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, ENOENT);
}

// What left the server is gone from names and listings once the kernel was told, though it may
// keep both for a day.
static void test_removed(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  uint64_t ino = add(mounted, "a", LETTER, strlen(LETTER));
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  assert_list(mounted, "INBOX", "a ");
  assert_read(mounted, "INBOX/a", LETTER);
  int fd = open(path, O_RDONLY);
  mounted_call(mounted, do_remove, &ino);
  assert_list(mounted, "INBOX", "");
  while (look_errno(mounted, "INBOX/a") != ENOENT)
    g_usleep(1000);
  char byte;
  g_assert_cmpint(pread(fd, &byte, 1, 0), ==, 1);  // still readable
  close(fd);
}

// What is new is there at the next opendir: the kernel's copy of the listing is not used again.
static void test_changed(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add(mounted, "a", LETTER, strlen(LETTER));
  assert_list(mounted, "INBOX", "a ");
  assert_list(mounted, "INBOX", "a ");
  add(mounted, "b", LETTER, strlen(LETTER));
  mounted_call(mounted, do_change, NULL);
  assert_list(mounted, "INBOX", "a b ");
  struct stat before = look(mounted, "INBOX");
  mounted_call(mounted, do_change, NULL);
  assert_list(mounted, "INBOX", "a b ");
  g_assert_cmpint(look(mounted, "INBOX").st_mtim.tv_nsec, >, before.st_mtim.tv_nsec);
}

// A busy index is asked again, and nobody notices.
static void test_busy(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add(mounted, "a", LETTER, strlen(LETTER));
  mounted_call(mounted, do_busy, NULL);
  look(mounted, "INBOX/a");
  mounted_call(mounted, do_busy, NULL);
  assert_list(mounted, "INBOX", "a ");
  mounted_call(mounted, do_busy, NULL);
  assert_read(mounted, "INBOX/a", LETTER);
}

#define MANY 100000

static void do_add_many(Mounted *mounted, gpointer data) {
  fake_add_many(mounted->store, mounted->inbox, 0, MANY);
}

static void do_churn(Mounted *mounted, gpointer data) {
  g_autofree char *name = g_strdup_printf("new-%u", *(unsigned *)data);
  fake_add_message(mounted->store, mounted->inbox, name, "", 1);
  uint64_t *doomed = (uint64_t *)data + 1;
  fake_remove(mounted->store, *doomed);
}

// While a large folder is read, others come and go: each name that stays is told exactly once.
static void test_many(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX");
  g_autofree unsigned char *seen = g_malloc0(MANY);
  mounted_call(mounted, do_add_many, NULL);
  DIR *directory = opendir(path);
  unsigned told = 0, removed = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL; told++) {
    if (!g_ascii_isdigit(entry->d_name[0])) continue;
    seen[strtoul(entry->d_name, NULL, 10)]++;
    if (told % 1000 != 0) continue;
    // The first entries, long told, and so removed behind the reader's back.
    uint64_t churn[2] = {told, mounted->inbox + 1 + removed++};
    mounted_call(mounted, do_churn, churn);
  }
  closedir(directory);
  for (unsigned i = 0; i < MANY; i++)
    g_assert_cmpuint(seen[i], ==, 1);
  directory = opendir(path);
  unsigned count = 0;
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  g_assert_cmpuint(count, ==, 2 + MANY);  // as many came as went
}

// ---- Details.

static void test_xattr(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  static const char names[] = "user.mailfs.uid\0user.mailfs.from";
  char value[100];
  add(mounted, "a", LETTER, strlen(LETTER));
  g_assert_cmpint(getxattr(path, "user.mailfs.uid", value, sizeof value), ==, 4);
  g_assert_cmpmem(value, 4, "4711", 4);
  g_assert_cmpint(getxattr(path, "user.mailfs.uid", NULL, 0), ==, 4);
  g_assert_cmpint(listxattr(path, value, sizeof value), ==, sizeof names);
  g_assert_cmpmem(value, sizeof names, names, sizeof names);
  static const struct {
    const char *name;
    size_t size;
    int expected;
  } rows[] = {
      {"user.mailfs.uid", 3, ERANGE},
      {"user.mailfs.subject", 100, ENODATA},
      {"user.other", 100, ENODATA},
      {"security.selinux", 100, EOPNOTSUPP},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_assert_cmpint(getxattr(path, rows[i].name, value, rows[i].size), ==, -1);
    g_assert_cmpint(errno, ==, rows[i].expected);
  }
}

static void do_usage(Mounted *mounted, gpointer data) {
  fake_set_usage(mounted->store, 10000, *(uint64_t *)data);
}

// df shows the quota; without one there is still room.
static void test_statfs(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  struct statvfs usage;
  uint64_t limit = 4096000;
  mounted_call(mounted, do_usage, &limit);
  g_assert_cmpint(statvfs(mounted->directory, &usage), ==, 0);
  g_assert_cmpuint(usage.f_bsize, ==, 4096);
  g_assert_cmpuint(usage.f_blocks, ==, 1000);
  g_assert_cmpuint(usage.f_bavail, ==, 997);
  g_assert_cmpuint(usage.f_namemax, ==, 255);
  limit = 0;
  mounted_call(mounted, do_usage, &limit);
  g_assert_cmpint(statvfs(mounted->directory, &usage), ==, 0);
  g_assert_cmpuint(usage.f_blocks, ==, usage.f_bfree + 3);
}

// ---- Changing.

static int try_open_write(const char *path) {
  return open(path, O_WRONLY);
}

static int try_create(const char *path) {
  g_autofree char *other = g_strconcat(path, ".new", NULL);
  return open(other, O_WRONLY | O_CREAT, 0600);
}

static int try_mkdir(const char *path) {
  g_autofree char *other = g_strconcat(path, ".new", NULL);
  return mkdir(other, 0700);
}

static int try_rename(const char *path) {
  g_autofree char *other = g_strconcat(path, ".new", NULL);
  return rename(path, other);
}

static int try_rename_to_outbox(const char *path) {
  g_autofree char *inbox = g_path_get_dirname(path);
  g_autofree char *root = g_path_get_dirname(inbox);
  g_autofree char *other = g_build_filename(root, "outbox", "a", NULL);
  return rename(path, other);
}

static int try_chmod_other(const char *path) {
  return chmod(path, 0644);
}

static int try_chmod_same(const char *path) {
  return chmod(path, 0600);
}

static int try_touch(const char *path) {
  return utimensat(AT_FDCWD, path, NULL, 0);
}

static int try_same_times(const char *path) {
  struct stat now;
  stat(path, &now);
  return utimensat(AT_FDCWD, path, (struct timespec[]){now.st_atim, now.st_mtim}, 0);
}

static int try_truncate(const char *path) {
  return truncate(path, 0);
}

static int try_setxattr(const char *path) {
  return setxattr(path, "user.mailfs.flags", "x", 1, 0);
}

static int try_long_name(const char *path) {
  g_autofree char *name = g_strnfill(256, 'x');
  g_autofree char *inbox = g_path_get_dirname(path);
  g_autofree char *other = g_build_filename(inbox, name, NULL);
  return access(other, F_OK);
}

// The server's mail is for reading; to set what is already so is no change.
static void test_refusals(void) {
  static const struct {
    int (*attempt)(const char *path);
    int expected;
  } rows[] = {
      {try_open_write, EPERM},
      {try_create, EROFS},
      {try_mkdir, EROFS},
      {unlink, EROFS},
      {try_rename, EROFS},
      {try_rename_to_outbox, EXDEV},
      {try_chmod_other, EPERM},
      {try_chmod_same, 0},
      {try_touch, EPERM},
      {try_same_times, 0},
      {try_truncate, EROFS},
      {try_setxattr, EROFS},
      {try_long_name, ENAMETOOLONG},
  };
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  add(mounted, "a", LETTER, strlen(LETTER));
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    int result = rows[i].attempt(path) == 0 ? 0 : errno;
    g_test_message("row %zu", i);
    g_assert_cmpint(result, ==, rows[i].expected);
  }
  assert_list(mounted, "INBOX", "a ");
}

// Bytes, or the errno of the call that failed.
static int write_letter(const char *path, const char *bytes) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
  if (fd < 0) return errno;
  int error = write(fd, bytes, strlen(bytes)) < 0 ? errno : 0;
  return close(fd) != 0 ? errno : error;
}

// The outbox takes letters, and says what it refuses where the writer sees it.
static void test_outbox(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "outbox/letter");
  g_autofree char *other = mounted_path(mounted, "outbox/other");
  g_autofree char *note = mounted_path(mounted, "outbox/a.error");
  g_autofree char *below = mounted_path(mounted, "outbox/failed");
  g_autofree char *big = g_strnfill(2000, 'x');
  char value[10];
  g_assert_cmpint(write_letter(path, LETTER), ==, 0);
  assert_list(mounted, "outbox", "failed letter ");
  assert_read(mounted, "outbox/letter", LETTER);
  g_assert_cmpuint(look(mounted, "outbox/letter").st_mode, ==, S_IFREG | 0640);
  g_assert_cmpint(getxattr(path, "user.mailfs.state", value, sizeof value), ==, 4);
  g_assert_cmpint(chmod(path, 0600), ==, 0);
  g_assert_cmpint(truncate(path, 4), ==, 0);
  g_assert_cmpint(utimensat(AT_FDCWD, path, (struct timespec[]){{1, 2}, {3, 4}}, 0), ==, 0);
  struct stat attr = look(mounted, "outbox/letter");
  g_assert_cmpuint(attr.st_mode, ==, S_IFREG | 0600);
  g_assert_cmpint(attr.st_size, ==, 4);
  g_assert_cmpint(attr.st_mtim.tv_sec, ==, 3);
  g_assert_cmpint(rename(path, other), ==, 0);
  assert_list(mounted, "outbox", "failed other ");
  g_assert_cmpint(unlink(other), ==, 0);
  assert_list(mounted, "outbox", "failed ");
  g_assert_cmpint(write_letter(path, "bad"), ==, EINVAL);
  g_assert_cmpint(write_letter(path, big), ==, ENOSPC);
  g_assert_cmpint(write_letter(note, LETTER), ==, EINVAL);
  g_assert_cmpint(rmdir(below), ==, -1);
  g_assert_cmpint(errno, ==, EBUSY);
  g_assert_cmpuint(look(mounted, "outbox").st_nlink, ==, 3);
}

// ---- The end.

// fusermount3 -u is noticed.
static void test_unmount(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  mounted_unmount(mounted->directory);
  sem_wait(&mounted->ended);
  assert_list(mounted, ".", "");
}

// The end does not wait for a server: who waits gets an error, what was told is dropped.
static void test_end_while_waiting(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *offline = g_strdup_printf("errno %d", EHOSTUNREACH);
  Reading reading;
  add(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  reading_start(&reading, mounted, "INBOX/slow");
  fake_wait_asked(mounted->store, 1);
  mounted_call(mounted, do_change, NULL);
  mounted_end(mounted);
  reading_end(&reading, offline);
  assert_list(mounted, ".", "");
}

// A mount whose process was killed is replaced.
static void test_dead_mount(void) {
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = g_dir_make_tmp("mailfs-test-XXXXXX", NULL);
  FilesystemOptions options = {.source = "dead", .mountpoint = directory, .timeout_ms = 1000};
  struct stat attr;
  pid_t pid = fork();
  if (pid == 0) {
    GMainContext *context = g_main_context_new();
    Store *store = fake_store_new(context);
    Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, NULL);
    _exit(filesystem_mount(filesystem, NULL, NULL, NULL) ? 0 : 1);
  }
  g_assert_cmpint(exit_code_of(pid), ==, 0);
  g_assert_cmpint(stat(directory, &attr), ==, -1);
  g_assert_cmpint(errno, ==, ENOTCONN);
  GMainContext *context = g_main_context_new();
  Store *store = fake_store_new(context);
  Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, &error);
  g_assert_true(filesystem_mount(filesystem, NULL, NULL, &error));
  g_assert_no_error(error);
  filesystem_free(filesystem);
  fake_store_free(store);
  g_main_context_unref(context);
  g_assert_cmpint(rmdir(directory), ==, 0);
}

// What cannot be a mount point, or is no option, is refused with words.
static void test_refused_mounts(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Store *store = fake_store_new(context);
  g_autoptr(GError) error = NULL;
  FilesystemOptions options = {.source = "none", .mountpoint = "/dev/null", .timeout_ms = 1000};
  Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, &error);
  g_assert_no_error(error);
  g_assert_false(filesystem_mount(filesystem, NULL, NULL, &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
  filesystem_free(filesystem);
  g_clear_error(&error);
  options.fuse_options = "no_such_option";
  g_test_expect_message("mailfs-fs", G_LOG_LEVEL_WARNING, "*no_such_option*");
  g_assert_null(filesystem_new(&options, store, NULL, context, NULL, NULL, &error));
  g_test_assert_expected_messages();
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL);
  fake_store_free(store);
}

int main(int argc, char **argv) {
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/dead-mount", test_dead_mount);
  g_test_add_func("/mount/refused-mounts", test_refused_mounts);
  g_test_add_func("/mount/look", test_look);
  g_test_add_func("/mount/others-go-on", test_others_go_on);
  g_test_add_func("/mount/interrupt", test_interrupt);
  g_test_add_func("/mount/kill", test_kill);
  g_test_add_data_func("/mount/signal/chld", GINT_TO_POINTER(SIGCHLD), test_harmless_signal);
  g_test_add_data_func("/mount/signal/winch", GINT_TO_POINTER(SIGWINCH), test_harmless_signal);
  g_test_add_func("/mount/resize", test_resize);
  g_test_add_func("/mount/resize-late", test_resize_late);
  g_test_add_func("/mount/open-errors", test_open_errors);
  g_test_add_func("/mount/stale", test_stale);
  g_test_add_func("/mount/unlisted", test_unlisted);
  g_test_add_func("/mount/removed", test_removed);
  g_test_add_func("/mount/changed", test_changed);
  g_test_add_func("/mount/busy", test_busy);
  g_test_add_func("/mount/many", test_many);
  g_test_add_func("/mount/xattr", test_xattr);
  g_test_add_func("/mount/statfs", test_statfs);
  g_test_add_func("/mount/refusals", test_refusals);
  g_test_add_func("/mount/outbox", test_outbox);
  g_test_add_func("/mount/unmount", test_unmount);
  g_test_add_func("/mount/end-while-waiting", test_end_while_waiting);
  return g_test_run();
}
