#include "tools/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/exit_code.h"

#define LINK_NAME "control"
#define BACKLOG 16

static int fail(GError **error, int code, const char *path) {
  g_set_error(error, EXIT_ERROR, code, "%s: %s", path, g_strerror(errno));
  return -1;
}

// A socket's address holds no more than 107 bytes of path, so it is named within its directory,
// which is open.
static bool make_address(int directory_fd, const char *name, struct sockaddr_un *address) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  int length = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s",
                        directory_fd, name);
  bool fits = length > 0 && (size_t)length < sizeof address->sun_path;
  if (!fits) errno = ENAMETOOLONG;
  return fits;
}

static int connect_in(int directory_fd, const char *name) {
  struct sockaddr_un address;
  if (!make_address(directory_fd, name, &address)) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  int code = errno;
  if (fd >= 0) close(fd);
  errno = code;
  return -1;
}

// One that is there is taken for stale.
static int listen_in(int directory_fd, const char *name) {
  struct sockaddr_un address;
  if (!make_address(directory_fd, name, &address)) return -1;
  unlinkat(directory_fd, name, 0);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
      fchmodat(directory_fd, name, 0600, 0) == 0 && listen(fd, BACKLOG) == 0)
    return fd;
  int code = errno;
  if (fd >= 0) close(fd);
  errno = code;
  return -1;
}

static int open_directory(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat status;
  if (fd < 0) return -1;
  bool ours = fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
              (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (ours) return fd;
  close(fd);
  errno = EACCES;
  return -1;
}

// NULL: there is none, or none that can be used.
static char *runtime_directory(void) {
  const char *runtime = g_getenv("XDG_RUNTIME_DIR");
  if (runtime == NULL || !g_path_is_absolute(runtime)) return NULL;
  char *directory = g_build_filename(runtime, "mailfs", NULL);
  if (mkdir(directory, 0700) < 0 && errno != EEXIST) g_clear_pointer(&directory, g_free);
  return directory;
}

// -1 also where another mailfs answers there, for an account of the same name with another state
// directory.
static int listen_in_runtime(const char *account, char **path) {
  g_autofree char *directory = runtime_directory();
  int directory_fd = directory != NULL ? open_directory(directory) : -1;
  if (directory_fd < 0) return -1;
  int other = connect_in(directory_fd, account);
  int fd = other < 0 ? listen_in(directory_fd, account) : -1;
  if (other >= 0) close(other);
  close(directory_fd);
  if (fd >= 0) *path = g_build_filename(directory, account, NULL);
  return fd;
}

int control_socket_listen(const char *account_directory, char **path, GError **error) {
  g_autofree char *account = g_path_get_basename(account_directory);
  g_autofree char *link = g_build_filename(account_directory, LINK_NAME, NULL);
  int directory_fd = open_directory(account_directory);
  if (directory_fd < 0) return fail(error, EX_CANTCREAT, account_directory);
  unlinkat(directory_fd, LINK_NAME, 0);
  int fd = listen_in_runtime(account, path);
  if (fd >= 0 && symlinkat(*path, directory_fd, LINK_NAME) < 0) {
    close(fd);
    unlink(*path);
    g_clear_pointer(path, g_free);
    fd = -1;
  }
  if (fd < 0) {
    fd = listen_in(directory_fd, LINK_NAME);
    *path = fd >= 0 ? g_steal_pointer(&link) : NULL;
  }
  if (fd < 0) fail(error, EX_CANTCREAT, link);
  close(directory_fd);
  return fd;
}

void control_socket_remove(const char *account_directory, const char *path) {
  g_autofree char *link = g_build_filename(account_directory, LINK_NAME, NULL);
  unlink(path);
  unlink(link);
}

int control_socket_connect(const char *account_directory, GError **error) {
  int directory_fd = open(account_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int fd = directory_fd >= 0 ? connect_in(directory_fd, LINK_NAME) : -1;
  if (fd < 0) {
    int code = errno;
    g_autofree char *account = g_path_get_basename(account_directory);
    bool busy = code == EAGAIN;
    g_set_error(error, EXIT_ERROR, busy ? EX_TEMPFAIL : EX_UNAVAILABLE, "mailfs is %s for %s",
                busy ? "too busy" : "not running", account);
  }
  if (directory_fd >= 0) close(directory_fd);
  return fd;
}
