#include "cache/outbox_letters.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define BURIED_SUFFIX ".gone"

void outbox_file_name(uint64_t id, char name[24]) {
  snprintf(name, 24, "%" PRIu64, id);
}

int outbox_file_open(int letters_fd, uint64_t id, int flags) {
  char name[24];
  outbox_file_name(id, name);
  return openat(letters_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

size_t outbox_file_write(int fd, const char *bytes, size_t size, off_t offset) {
  size_t done = 0;
  while (done < size) {
    ssize_t put = pwrite(fd, bytes + done, size - done, offset + (off_t)done);
    if (put == 0) errno = EIO;
    if (put <= 0 && errno != EINTR) break;
    if (put > 0) done += (size_t)put;
  }
  return done;
}

static char *buried_name(uint64_t id) {
  return g_strdup_printf("%" PRIu64 BURIED_SUFFIX, id);
}

static bool make_empty(int letters_fd, const char *name) {
  int fd = openat(letters_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

bool outbox_file_bury(int letters_fd, uint64_t id) {
  char name[24];
  outbox_file_name(id, name);
  g_autofree char *buried = buried_name(id);
  bool is_marked =
      make_empty(letters_fd, buried) || renameat(letters_fd, name, letters_fd, buried) == 0;
  if (!is_marked || fsync(letters_fd) < 0) return false;
  unlinkat(letters_fd, name, 0);
  return true;
}

bool outbox_file_is_buried(int letters_fd, uint64_t id) {
  g_autofree char *buried = buried_name(id);
  return faccessat(letters_fd, buried, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void outbox_files_remove_buried(int letters_fd) {
  int fd = openat(letters_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
  if (directory == NULL) return;
  const struct dirent *entry;
  while ((entry = readdir(directory)) != NULL)
    if (g_str_has_suffix(entry->d_name, BURIED_SUFFIX)) unlinkat(letters_fd, entry->d_name, 0);
  closedir(directory);
}
