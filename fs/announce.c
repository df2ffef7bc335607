#include "fs/announce.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#define OPEN_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct Announcer {
  char *mountpoint;
  dev_t device;
  int fd;  // of the open directory; the notifier's thread
  pthread_mutex_t mutex;
  // Under the mutex, which is never held in a call on the mount.
  pid_t tid;             // the notifier's, 0: not known yet
  const Change *change;  // being performed
  bool found;
};

Change *change_new(ChangeKind kind, uint64_t directory, uint64_t ino, bool folder,
                   const char *name) {
  Change *change = g_new0(Change, 1);
  *change = (Change){kind, directory, ino, folder, g_strdup(name)};
  return change;
}

void change_free(Change *change) {
  g_free(change->name);
  g_free(change);
}

Announcer *announcer_new(const char *mountpoint, dev_t device) {
  Announcer *announcer = g_new0(Announcer, 1);
  announcer->mountpoint = g_strdup(mountpoint);
  announcer->device = device;
  announcer->fd = -1;
  pthread_mutex_init(&announcer->mutex, NULL);
  return announcer;
}

void announcer_free(Announcer *announcer) {
  if (announcer == NULL) return;
  pthread_mutex_destroy(&announcer->mutex);
  g_free(announcer->mountpoint);
  g_free(announcer);
}

static void set_change(Announcer *announcer, const Change *change) {
  pthread_mutex_lock(&announcer->mutex);
  announcer->tid = gettid();
  announcer->change = change;
  announcer->found = false;
  pthread_mutex_unlock(&announcer->mutex);
}

// The next component of a path; takes fd.
static int step(int fd, const char *name) {
  int next = openat(fd, name, OPEN_FLAGS);
  close(fd);
  return next;
}

bool announcer_open(Announcer *announcer, const char *path, uint64_t directory) {
  g_auto(GStrv) names = g_strsplit(path, "/", -1);
  struct stat attr;
  set_change(announcer, NULL);
  int fd = open(announcer->mountpoint, OPEN_FLAGS);
  if (fd < 0) return false;
  bool ours = fstat(fd, &attr) == 0 && attr.st_dev == announcer->device;
  for (char **name = names; ours && fd >= 0 && *name != NULL; name++)
    fd = step(fd, *name);
  if (fd >= 0 && ours && fstat(fd, &attr) == 0 && attr.st_dev == announcer->device &&
      attr.st_ino == directory) {
    announcer->fd = fd;
    return true;
  }
  if (fd >= 0) close(fd);
  return false;
}

void announcer_close(Announcer *announcer) {
  close(announcer->fd);
  announcer->fd = -1;
}

static int remove_at(int fd, const char *name) {
  if (unlinkat(fd, name, 0) == 0) return 0;
  return errno == EISDIR ? unlinkat(fd, name, AT_REMOVEDIR) : -1;
}

static int call(int fd, const Change *change) {
  switch (change->kind) {
    case CHANGE_ADDED:
      return change->folder ? mkdirat(fd, change->name, 0700)
                            : mknodat(fd, change->name, S_IFREG | 0600, 0);
    case CHANGE_REMOVED:
      return remove_at(fd, change->name);
    case CHANGE_LISTING:
      return utimensat(fd, ".", NULL, 0);
  }
  g_assert_not_reached();
}

int announcer_perform(Announcer *announcer, const Change *change) {
  set_change(announcer, change);
  int error = call(announcer->fd, change) == 0 ? 0 : errno;
  set_change(announcer, NULL);
  return error;
}

bool announcer_is(Announcer *announcer, pid_t tid) {
  if (announcer == NULL) return false;
  pthread_mutex_lock(&announcer->mutex);
  bool is = tid == announcer->tid;
  pthread_mutex_unlock(&announcer->mutex);
  return is && tid != 0;
}

static bool is_about(const Change *change, uint64_t directory, const char *name) {
  if (change == NULL || change->directory != directory) return false;
  if (name == NULL) return change->kind == CHANGE_LISTING;
  return change->kind != CHANGE_LISTING && strcmp(change->name, name) == 0;
}

bool announcer_means(Announcer *announcer, pid_t tid, uint64_t directory, const char *name,
                     Change *change) {
  if (!announcer_is(announcer, tid)) return false;
  pthread_mutex_lock(&announcer->mutex);
  bool about = is_about(announcer->change, directory, name);
  if (about) *change = *announcer->change;
  pthread_mutex_unlock(&announcer->mutex);
  change->name = NULL;
  return about;
}

void announcer_set_found(Announcer *announcer) {
  pthread_mutex_lock(&announcer->mutex);
  announcer->found = true;
  pthread_mutex_unlock(&announcer->mutex);
}

bool announcer_has_found(Announcer *announcer) {
  pthread_mutex_lock(&announcer->mutex);
  bool found = announcer->found;
  pthread_mutex_unlock(&announcer->mutex);
  return found;
}
