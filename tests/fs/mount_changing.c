// What programs may change at a mount, and the details they see: df and extended attributes.
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/steps.h"

static void test_xattr(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  static const char names[] = "user.mailfs.uid\0user.mailfs.from\0user.mailfs.date";
  char value[100];
  add_message(mounted, "a", LETTER, strlen(LETTER));
  g_assert_cmpint(getxattr(path, "user.mailfs.uid", value, sizeof value), ==, 4);
  g_assert_cmpmem(value, 4, "4711", 4);
  g_assert_cmpint(getxattr(path, "user.mailfs.uid", NULL, 0), ==, 4);
  g_assert_cmpint(getxattr(path, "user.mailfs.date", NULL, 0), ==, XATTR_SIZE_MAX - 1);
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
      {try_truncate, EPERM},
      {try_setxattr, EROFS},
      {try_long_name, ENAMETOOLONG},
  };
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  add_message(mounted, "a", LETTER, strlen(LETTER));
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    int result = rows[i].attempt(path) == 0 ? 0 : errno;
    g_test_message("row %zu", i);
    g_assert_cmpint(result, ==, rows[i].expected);
  }
  assert_list(mounted, "INBOX", "a ");
}

static void let_remove(Mounted *mounted, gpointer data) {
  fake_set_removal(mounted->store, (StoreRemoval)GPOINTER_TO_UINT(data));
}

static int try_unlink(const char *path) {
  return unlink(path) == 0 ? 0 : errno;
}

// rm does what the store is set to: it is refused, or the name is gone once the store has said so,
// and who has the file open reads on; an error of the store's is the caller's.
static void test_removal(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  g_autofree char *other = mounted_path(mounted, "INBOX/b");
  g_autofree char *inbox = mounted_path(mounted, "INBOX");
  char bytes[sizeof LETTER];
  add_message(mounted, "a", LETTER, strlen(LETTER));
  add_message(mounted, "b", LETTER, strlen(LETTER));
  mounted_call(mounted, let_remove, GUINT_TO_POINTER(STORE_REFUSES_REMOVAL));
  g_assert_cmpint(try_unlink(path), ==, EPERM);
  mounted_call(mounted, let_remove, GUINT_TO_POINTER(STORE_EXPUNGES));
  assert_list(mounted, "INBOX", "a b ");
  struct timespec before = look(mounted, "INBOX").st_mtim;
  int fd = open(path, O_RDONLY);
  g_assert_cmpint(try_unlink(path), ==, 0);
  g_assert_cmpint(look_errno(mounted, "INBOX/a"), ==, ENOENT);
  g_assert_cmpint(try_unlink(path), ==, ENOENT);
  assert_list(mounted, "INBOX", "b ");
  g_assert_cmpint(look(mounted, "INBOX").st_mtim.tv_nsec, !=, before.tv_nsec);
  g_assert_cmpint(pread(fd, bytes, sizeof bytes, 0), ==, (ssize_t)strlen(LETTER));
  close(fd);
  g_assert_cmpint(try_unlink(inbox), ==, EISDIR);
  set_outcome(mounted, NET_ERROR_UNSUPPORTED);
  g_assert_cmpint(try_unlink(other), ==, ENOTSUP);
  assert_list(mounted, "INBOX", "b ");
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
  fake_seen_by(mounted->outbox);
  g_assert_cmpuint(look(mounted, "outbox/letter").st_mode, ==, S_IFREG | 0600);
  g_assert_cmpint(fake_seen_by(mounted->outbox), ==, gettid());
  g_assert_cmpint(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600), ==, -1);
  g_assert_cmpint(errno, ==, EEXIST);
  g_assert_cmpint(fake_seen_by(mounted->outbox), ==, gettid());
  g_assert_cmpint(getxattr(path, "user.mailfs.state", value, sizeof value), ==, 4);
  g_assert_cmpint(chmod(path, 0400), ==, 0);
  g_assert_cmpint(truncate(path, 4), ==, 0);
  g_assert_cmpint(utimensat(AT_FDCWD, path, (struct timespec[]){{1, 2}, {3, 4}}, 0), ==, 0);
  struct stat attr = look(mounted, "outbox/letter");
  g_assert_cmpuint(attr.st_mode, ==, S_IFREG | 0400);
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

// A letter's sender for the servers can be set, read and taken back; no other attribute of it.
static void test_sender(void) {
  static const char name[] = "user.mailfs.envelope-from";
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "outbox/letter");
  g_autofree char *directory = mounted_path(mounted, "outbox");
  char value[10];
  g_assert_cmpint(write_letter(path, LETTER), ==, 0);
  const struct {
    const char *path, *name, *value;
    size_t size;
    int flags, expected;
  } rows[] = {
      {path, name, "x", 1, XATTR_REPLACE, ENODATA},
      {path, name, "bad", 3, 0, EINVAL},
      {path, name, "a\0b", 3, 0, EINVAL},
      {path, name, "a@b", 3, XATTR_CREATE, 0},
      {path, name, "a@b", 3, XATTR_CREATE, EEXIST},
      {path, name, "me@b.org", 4, XATTR_REPLACE, 0},
      {path, "user.mailfs.state", "x", 1, 0, EOPNOTSUPP},
      {path, "user.other", "x", 1, 0, EOPNOTSUPP},
      {directory, name, "a@b", 3, 0, EOPNOTSUPP},
  };
  g_assert_cmpint(removexattr(path, name), ==, -1);
  g_assert_cmpint(errno, ==, ENODATA);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    int result = setxattr(rows[i].path, rows[i].name, rows[i].value, rows[i].size, rows[i].flags);
    g_test_message("row %zu", i);
    g_assert_cmpint(result == 0 ? 0 : errno, ==, rows[i].expected);
  }
  g_assert_cmpint(getxattr(path, name, value, sizeof value), ==, 4);
  g_assert_cmpmem(value, 4, "me@b", 4);
  g_assert_cmpint(removexattr(path, name), ==, 0);
  g_assert_cmpint(getxattr(path, name, value, sizeof value), ==, -1);
  g_assert_cmpint(errno, ==, ENODATA);
}

int main(int argc, char **argv) {
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/changing/xattr", test_xattr);
  g_test_add_func("/mount/changing/statfs", test_statfs);
  g_test_add_func("/mount/changing/refusals", test_refusals);
  g_test_add_func("/mount/changing/removal", test_removal);
  g_test_add_func("/mount/changing/outbox", test_outbox);
  g_test_add_func("/mount/changing/sender", test_sender);
  return g_test_run();
}
