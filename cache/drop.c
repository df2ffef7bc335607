#include "cache/drop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/directory.h"
#include "cache/drop_format.h"
#include "cache/outbox.h"

#define ENVELOPE_MAX (1u << 20)
#define SWEEP_AGE_S (24 * 3600)

void drop_free(Drop *drop) {
  if (drop == NULL) return;
  g_free(drop->id);
  g_free(drop->name);
  envelope_clear(&drop->envelope);
  g_free(drop->broken);
  g_free(drop);
}

char *drop_file_name(const char *id, const char *suffix) {
  return g_strconcat(id, suffix, NULL);
}

// -- The directory.

static bool fail(const char *path, int code, GError **error) {
  g_set_error(error, OUTBOX_ERROR, code, "%s: %s", path, g_strerror(code));
  return false;
}

int drop_directory_open(const char *account_directory, GError **error) {
  g_autofree char *path = g_build_filename(account_directory, DROP_DIRECTORY, NULL);
  int code = directory_make(path);
  if (code != 0) {
    fail(path, code, error);
    return -1;
  }
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) < 0) {
    fail(path, errno, error);
  } else if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    g_set_error(error, OUTBOX_ERROR, EACCES, "%s: others may write there", path);
  } else {
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

int drop_directory_find(const char *account_directory) {
  g_autofree char *path = g_build_filename(account_directory, DROP_DIRECTORY, NULL);
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static DIR *open_stream(int directory_fd, GError **error) {
  int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
  if (stream == NULL) fail(DROP_DIRECTORY, errno, error);
  if (stream == NULL && fd >= 0) close(fd);
  return stream;
}

static bool is_regular(int directory_fd, const char *name) {
  struct stat status;
  return fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

static int compare_ids(gconstpointer a, gconstpointer b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *drop_list(int directory_fd, const char *after, unsigned max, GError **error) {
  DIR *stream = open_stream(directory_fd, error);
  if (stream == NULL) return NULL;
  GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
  const struct dirent *entry;
  while ((entry = readdir(stream)) != NULL) {
    const char *name = entry->d_name;
    if (!g_str_has_suffix(name, DROP_ENVELOPE) || !is_regular(directory_fd, name)) continue;
    char *id = g_strndup(name, strlen(name) - strlen(DROP_ENVELOPE));
    if (*id != '\0' && g_strcmp0(id, after) > 0)
      g_ptr_array_add(ids, id);
    else
      g_free(id);
  }
  closedir(stream);
  g_ptr_array_sort(ids, compare_ids);
  if (ids->len > max) g_ptr_array_set_size(ids, (int)max);
  return ids;
}

// -- What lies in it.

// The whole file; NULL: it is not there, too long or cannot be read.
static char *read_envelope(int directory_fd, const char *name, size_t *size) {
  int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return NULL;
  g_autofree char *text = g_malloc(ENVELOPE_MAX + 1);
  *size = 0;
  ssize_t got;
  while ((got = read(fd, text + *size, ENVELOPE_MAX + 1 - *size)) > 0)
    *size += (size_t)got;
  close(fd);
  return got == 0 && *size <= ENVELOPE_MAX ? g_steal_pointer(&text) : NULL;
}

Drop *drop_read(int directory_fd, const char *id) {
  g_autoptr(Drop) drop = g_new0(Drop, 1);
  drop->id = g_strdup(id);
  g_autofree char *name = drop_file_name(id, DROP_ENVELOPE);
  g_autoptr(GError) error = NULL;
  size_t size = 0;
  g_autofree char *text = read_envelope(directory_fd, name, &size);
  if (text != NULL && drop_format_read(drop, text, size, &error)) return g_steal_pointer(&drop);
  envelope_clear(&drop->envelope);
  drop->broken = g_strdup(error != NULL ? error->message : "it cannot be read");
  return g_steal_pointer(&drop);
}

// -- What nobody needs.

static bool is_left(int directory_fd, const char *name, const char *suffix) {
  if (!g_str_has_suffix(name, suffix)) return false;
  g_autofree char *id = g_strndup(name, strlen(name) - strlen(suffix));
  g_autofree char *envelope = drop_file_name(id, DROP_ENVELOPE);
  struct stat status;
  return fstatat(directory_fd, envelope, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

// A writer holds a lock on its .eml until it has committed.
static bool is_abandoned(int directory_fd, const char *name) {
  int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  struct stat status;
  bool old = fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
             time(NULL) - status.st_mtime > SWEEP_AGE_S;
  bool abandoned = old && flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (fd >= 0) close(fd);
  return abandoned;
}

void drop_sweep(int directory_fd) {
  DIR *stream = open_stream(directory_fd, NULL);
  const struct dirent *entry;
  while (stream != NULL && (entry = readdir(stream)) != NULL) {
    const char *name = entry->d_name;
    bool left =
        is_left(directory_fd, name, DROP_LETTER) || is_left(directory_fd, name, DROP_UNFINISHED);
    if (left && is_abandoned(directory_fd, name) && unlinkat(directory_fd, name, 0) == 0)
      g_info("outbox: %s/%s was never finished and is removed", DROP_DIRECTORY, name);
  }
  if (stream != NULL) closedir(stream);
}
