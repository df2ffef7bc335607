#include "tools/control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/exit_code.h"

#define SOCKET_NAME "control"
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

static bool is_link(const char *path, const char *target) {
  char found[PATH_MAX];
  ssize_t length = readlink(path, found, sizeof found);
  return length == (ssize_t)strlen(target) && memcmp(found, target, (size_t)length) == 0;
}

// The runtime directory, open, and *path in it for the account; -1: there is none, or another
// mailfs answers there, for an account of the same name with another state directory.
static int open_runtime(const char *account, const char *own, char **path) {
  g_autofree char *directory = runtime_directory();
  int directory_fd = directory != NULL ? open_directory(directory) : -1;
  if (directory_fd < 0) return -1;
  *path = g_build_filename(directory, account, NULL);
  int other = is_link(*path, own) ? -1 : connect_in(directory_fd, account);
  if (other < 0) return directory_fd;
  close(other);
  close(directory_fd);
  return -1;
}

// Where it is looked for by others, NULL: nowhere. Whatever is there is taken for stale.
static char *link_runtime(const char *account, const char *own) {
  g_autofree char *path = NULL;
  int directory_fd = open_runtime(account, own, &path);
  if (directory_fd < 0) return NULL;
  unlinkat(directory_fd, account, 0);
  bool linked = symlinkat(own, directory_fd, account) == 0;
  close(directory_fd);
  return linked ? g_steal_pointer(&path) : NULL;
}

int control_socket_listen(const char *account_directory, char **link, GError **error) {
  g_autofree char *account = g_path_get_basename(account_directory);
  g_autofree char *path = g_build_filename(account_directory, SOCKET_NAME, NULL);
  int directory_fd = open_directory(account_directory);
  if (directory_fd < 0) return fail(error, EX_CANTCREAT, account_directory);
  int fd = listen_in(directory_fd, SOCKET_NAME);
  if (fd < 0) fail(error, EX_CANTCREAT, path);
  close(directory_fd);
  *link = fd >= 0 ? link_runtime(account, path) : NULL;
  return fd;
}

void control_socket_remove(const char *account_directory, const char *link) {
  g_autofree char *path = g_build_filename(account_directory, SOCKET_NAME, NULL);
  if (link != NULL && is_link(link, path)) unlink(link);
  unlink(path);
}

int control_socket_connect(const char *account_directory, GError **error) {
  int directory_fd = open(account_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int fd = directory_fd >= 0 ? connect_in(directory_fd, SOCKET_NAME) : -1;
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
