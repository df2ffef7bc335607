#include "net/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "net/error.h"

#define COMMAND_TIMEOUT_MS 60000
// Longer first lines are no password; bearer tokens have a few kilobytes.
#define SECRET_MAX_BYTES 16384

typedef enum {
  SOURCE_COMMAND,
  SOURCE_FILE,
  SOURCE_VALUE,
} SecretSource;

struct Secret {
  SecretSource source;
  SecretKind kind;
  char *text;    // the command or the path; NULL for a value
  char *value;   // kept in pages of its own, which are neither swapped nor dumped
  size_t pages;  // their size
};

static Secret *secret_new(SecretSource source, SecretKind kind, const char *text) {
  Secret *secret = g_atomic_rc_box_new0(Secret);
  secret->source = source;
  secret->kind = kind;
  secret->text = g_strdup(text);
  return secret;
}

Secret *secret_new_from_command(SecretKind kind, const char *command) {
  return secret_new(SOURCE_COMMAND, kind, command);
}

Secret *secret_new_from_value(SecretKind kind, const char *value) {
  Secret *secret = secret_new(SOURCE_VALUE, kind, NULL);
  secret->pages = strlen(value) + 1;
  secret->value =
      mmap(NULL, secret->pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (secret->value == MAP_FAILED) g_error("mmap: %s", g_strerror(errno));
  // Both are as good as the system allows (a limit on locked memory is no reason to stop).
  madvise(secret->value, secret->pages, MADV_DONTDUMP);
  mlock(secret->value, secret->pages);
  memcpy(secret->value, value, secret->pages);
  return secret;
}

// Opens a file that nobody but its owner can read. Never waits, also for a FIFO.
static int open_private(const char *path, GError **error) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    g_set_error(error, NET_ERROR, NET_ERROR_REFUSED, "the password file %s cannot be read: %s",
                path, g_strerror(errno));
    return -1;
  }
  struct stat status;
  const char *reason = NULL;
  if (fstat(fd, &status) != 0)
    reason = g_strerror(errno);
  else if (!S_ISREG(status.st_mode))
    reason = "it is not a regular file";
  else if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    reason = "others may read or write it (chmod 600 makes it private)";
  if (reason == NULL) return fd;
  close(fd);
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED, "the password file %s is refused: %s", path,
              reason);
  return -1;
}

Secret *secret_new_from_file(const char *path, GError **error) {
  int fd = open_private(path, error);
  if (fd < 0) return NULL;
  close(fd);
  return secret_new(SOURCE_FILE, SECRET_PASSWORD, path);
}

Secret *secret_ref(Secret *secret) {
  return g_atomic_rc_box_acquire(secret);
}

static void secret_clear(gpointer data) {
  Secret *secret = data;
  g_free(secret->text);
  if (secret->value == NULL) return;
  OPENSSL_cleanse(secret->value, secret->pages);
  munmap(secret->value, secret->pages);
}

void secret_unref(Secret *secret) {
  if (secret != NULL) g_atomic_rc_box_release_full(secret, secret_clear);
}

SecretKind secret_kind(const Secret *secret) {
  return secret->kind;
}

bool secret_is_renewable(const Secret *secret) {
  return secret->source != SOURCE_VALUE;
}

static const char *kind_name(const Secret *secret) {
  return secret->kind == SECRET_TOKEN ? "token" : "password";
}

// Takes what there is to read, keeps as much as fits. Returns false when no more will come.
static bool read_some(int fd, char *buffer, size_t *length) {
  char rest[512];
  size_t space = SECRET_MAX_BYTES - *length;
  ssize_t got = space > 0 ? read(fd, buffer + *length, space) : read(fd, rest, sizeof rest);
  OPENSSL_cleanse(rest, sizeof rest);
  if (got > 0 && space > 0) *length += (size_t)got;
  return got > 0 || (got < 0 && errno == EINTR);
}

// The first line of `buffer` as a string of its own, or NULL with the reason why it cannot be one.
static char *first_line(const char *buffer, size_t length, const char **reason) {
  const char *end = memchr(buffer, '\n', length);
  size_t size = end != NULL ? (size_t)(end - buffer) : length;
  if (size == 0)
    *reason = "is empty";
  else if (end == NULL && length == SECRET_MAX_BYTES)
    *reason = "is too long";
  else if (memchr(buffer, '\0', size) != NULL || memchr(buffer, '\r', size) != NULL)
    *reason = "has a NUL or a carriage return in it";
  else
    return g_strndup(buffer, size);
  return NULL;
}

static bool load_file(const Secret *secret, char *buffer, size_t *length, GError **error) {
  int fd = open_private(secret->text, error);
  if (fd < 0) return false;
  while (*length < SECRET_MAX_BYTES && read_some(fd, buffer, length))
    continue;
  close(fd);
  return true;
}

typedef struct {
  pid_t pid;
  int pidfd;
  int out;
} Command;

// In the child. Our threads block signals; a command must not inherit that. In a group that is not
// the terminal's foreground it would be stopped as soon as it asks there.
static void prepare_command(gpointer data) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (terminal < 0)
    setpgid(0, 0);
  else
    close(terminal);
}

static bool command_start(Command *command, const Secret *secret, GError **error) {
  char *argv[] = {(char *)"/bin/sh", (char *)"-c", secret->text, NULL};
  g_autoptr(GError) cause = NULL;
  if (g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, prepare_command, NULL,
                               &command->pid, NULL, &command->out, NULL, &cause)) {
    command->pidfd = pidfd_open(command->pid, 0);
    return true;
  }
  g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "the %s command cannot be run: %s",
              kind_name(secret), cause->message);
  return false;
}

// Waits for the command's end, and returns what waitpid tells of it.
static int command_finish(Command *command, bool is_killed) {
  bool has_group = getpgid(command->pid) == command->pid;
  if (is_killed) kill(has_group ? -command->pid : command->pid, SIGKILL);
  int status = 0;
  while (waitpid(command->pid, &status, 0) < 0 && errno == EINTR)
    continue;
  close(command->out);
  if (command->pidfd >= 0) close(command->pidfd);
  return status;
}

// Collects the output until the command itself has ended: something that it left running may keep
// the pipe open. Returns false when it took too long or was cancelled.
static bool collect_output(const Command *command, const Waker *waker, char *buffer,
                           size_t *length) {
  int64_t deadline = g_get_monotonic_time() + COMMAND_TIMEOUT_MS * INT64_C(1000);
  struct pollfd fds[] = {{.fd = command->pidfd, .events = POLLIN},
                         {.fd = command->out, .events = POLLIN},
                         {.fd = waker_cancel_fd(waker), .events = POLLIN}};
  while (command->pidfd >= 0) {
    int64_t left_ms = (deadline - g_get_monotonic_time()) / 1000;
    if (left_ms <= 0) return false;
    if (poll(fds, G_N_ELEMENTS(fds), (int)left_ms) <= 0) continue;
    if (fds[2].revents != 0) return false;
    if (fds[1].revents != 0) {
      if (!read_some(command->out, buffer, length)) fds[1].fd = -1;
    } else if (fds[0].revents != 0) {
      return true;
    }
  }
  return false;
}

static bool load_command(const Secret *secret, const Waker *waker, char *buffer, size_t *length,
                         GError **error) {
  Command command;
  if (!command_start(&command, secret, error)) return false;
  bool has_ended = collect_output(&command, waker, buffer, length);
  int status = command_finish(&command, !has_ended);
  if (has_ended && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  if (!has_ended && waker_is_cancelled(waker))
    g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "the %s command was cancelled",
                kind_name(secret));
  else if (!has_ended)
    g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "the %s command took longer than %d s",
                kind_name(secret), COMMAND_TIMEOUT_MS / 1000);
  else if (WIFEXITED(status))
    g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "the %s command failed with exit code %d",
                kind_name(secret), WEXITSTATUS(status));
  else
    g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "the %s command was killed by signal %d",
                kind_name(secret), WTERMSIG(status));
  return false;
}

static bool load_bytes(const Secret *secret, const Waker *waker, char *buffer, size_t *length,
                       GError **error) {
  switch (secret->source) {
    case SOURCE_COMMAND:
      return load_command(secret, waker, buffer, length, error);
    case SOURCE_FILE:
      return load_file(secret, buffer, length, error);
    case SOURCE_VALUE:
      // Once more: a process does not inherit its parent's locks.
      mlock(secret->value, secret->pages);
      *length = MIN(secret->pages - 1, SECRET_MAX_BYTES);
      memcpy(buffer, secret->value, *length);
      return true;
  }
  g_assert_not_reached();
}

char *secret_load(Secret *secret, const Waker *waker, GError **error) {
  char *buffer = g_malloc(SECRET_MAX_BYTES);
  size_t length = 0;
  char *value = NULL;
  g_autoptr(GError) load_error = NULL;
  const char *reason = NULL;
  if (load_bytes(secret, waker, buffer, &length, &load_error))
    value = first_line(buffer, length, &reason);
  OPENSSL_cleanse(buffer, SECRET_MAX_BYTES);
  g_free(buffer);
  bool is_cancelled = g_error_matches(load_error, NET_ERROR, NET_ERROR_CANCELLED);
  if (load_error != NULL)
    g_set_error_literal(error, NET_ERROR, is_cancelled ? NET_ERROR_CANCELLED : NET_ERROR_DENIED,
                        load_error->message);
  else if (value == NULL)
    g_set_error(error, NET_ERROR, NET_ERROR_DENIED, "the %s %s", kind_name(secret), reason);
  return value;
}

void secret_wipe(char *value) {
  if (value == NULL) return;
  OPENSSL_cleanse(value, strlen(value));
  g_free(value);
}
