#include "cache/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/directory.h"
#include "net/error.h"

#define LOCK_NAME "lock"
// flock has no timed wait, so a waiter looks again this often.
#define RETRY_MS 50

struct DirectoryLock {
  int fd;
};

static void set_file_error(GError **error, int code, const char *doing, const char *directory) {
  g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code), "%s %s: %s", doing,
              directory, g_strerror(code));
}

// The directory's descriptor, or -1. Looked at through the descriptor, so that what was checked is
// what is used.
static int open_own_directory(const char *directory, GError **error) {
  int code = directory_make(directory);
  if (code != 0) {
    set_file_error(error, code, "cannot make the directory", directory);
    return -1;
  }
  int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) {
    set_file_error(error, errno, "cannot open the directory", directory);
    if (fd >= 0) close(fd);
    return -1;
  }
  if (status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0) return fd;
  g_set_error(
      error, G_FILE_ERROR, G_FILE_ERROR_PERM, "will not use the directory %s: %s", directory,
      status.st_uid == geteuid() ? "other users may write to it" : "it belongs to another user");
  close(fd);
  return -1;
}

// For the message of those who come later; the lock holds without it, also on a full disk.
static void write_holder(int fd) {
  if (ftruncate(fd, 0) < 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
    g_debug("lock: holder not written: %s", g_strerror(errno));
}

static long read_holder(int fd) {
  char text[32] = "";
  if (pread(fd, text, sizeof text - 1, 0) <= 0) return 0;
  g_strchomp(text);
  gint64 pid = 0;
  return g_ascii_string_to_signed(text, 10, 1, G_MAXINT, &pid, NULL) ? (long)pid : 0;
}

// One attempt. -1 with *holder set (0: not known) if another holds the lock, -1 with error set if
// it cannot be tried.
static int try_lock(int directory_fd, const char *directory, long *holder, GError **error) {
  int fd = openat(directory_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    set_file_error(error, errno, "cannot open the lock file in", directory);
    return -1;
  }
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno == EWOULDBLOCK || errno == EINTR)
    *holder = read_holder(fd);
  else
    set_file_error(error, errno, "cannot lock the directory", directory);
  close(fd);
  return -1;
}

static int wait_for_lock(int directory_fd, const char *directory, unsigned wait_ms,
                         GError **error) {
  const gint64 deadline_us = g_get_monotonic_time() + wait_ms * G_GINT64_CONSTANT(1000);
  for (;;) {
    g_autoptr(GError) failed = NULL;
    long holder = 0;
    int fd = try_lock(directory_fd, directory, &holder, &failed);
    if (fd >= 0) return fd;
    if (failed != NULL) {
      g_propagate_error(error, g_steal_pointer(&failed));
      return -1;
    }
    if (g_get_monotonic_time() >= deadline_us) {
      g_autofree char *who =
          holder > 0 ? g_strdup_printf("process %ld", holder) : g_strdup("another process");
      g_set_error(error, NET_ERROR, NET_ERROR_BUSY, "%s is in use by %s", directory, who);
      return -1;
    }
    g_usleep(RETRY_MS * 1000);
  }
}

DirectoryLock *directory_lock_new(const char *directory, unsigned wait_ms, GError **error) {
  int directory_fd = open_own_directory(directory, error);
  if (directory_fd < 0) return NULL;
  int fd = wait_for_lock(directory_fd, directory, wait_ms, error);
  close(directory_fd);
  if (fd < 0) return NULL;
  write_holder(fd);
  DirectoryLock *lock = g_new0(DirectoryLock, 1);
  lock->fd = fd;
  return lock;
}

bool directory_lock_is_held(const char *directory) {
  g_autofree char *path = g_build_filename(directory, LOCK_NAME, NULL);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
  if (fd >= 0) close(fd);
  return held;
}

void directory_lock_free(DirectoryLock *lock) {
  if (lock == NULL) return;
  close(lock->fd);
  g_free(lock);
}
