#include "cache/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

static int sync_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int code = fd < 0 || fsync(fd) < 0 ? errno : 0;
  if (fd >= 0) close(fd);
  return code;
}

int directory_make(const char *path) {
  g_autofree char *above = g_path_get_dirname(path);
  if (mkdir(path, 0700) == 0) return sync_directory(above);
  if (errno == EEXIST) return g_file_test(path, G_FILE_TEST_IS_DIR) ? 0 : ENOTDIR;
  if (errno != ENOENT || strcmp(above, path) == 0) return errno;
  int code = directory_make(above);
  return code == 0 ? directory_make(path) : code;
}
