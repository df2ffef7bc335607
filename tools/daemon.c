#include "tools/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/exit_code.h"

struct Daemon {
  int parent_fd;  // the writing end of the pipe; -1: the parent knows
};

// The parent's part: a byte means success, the end of the pipe without one that the child ended.
static void wait_for(pid_t child, int fd) {
  char byte;
  ssize_t got;
  while ((got = read(fd, &byte, 1)) < 0 && errno == EINTR)
    continue;
  // No exit handlers: they are the child's.
  if (got == 1) _exit(EXIT_SUCCESS);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR)
    continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) _exit(WEXITSTATUS(status));
  if (WIFSIGNALED(status))
    g_message("ended by signal %d (%s) before the mount answered", WTERMSIG(status),
              strsignal(WTERMSIG(status)));
  else
    g_message("ended before the mount answered");
  _exit(EX_SOFTWARE);
}

Daemon *daemon_fork(GError **error) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) {
    g_set_error(error, EXIT_ERROR, EX_OSERR, "cannot make a pipe: %s", g_strerror(errno));
    return NULL;
  }
  pid_t child = fork();
  if (child < 0) {
    g_set_error(error, EXIT_ERROR, EX_OSERR, "cannot fork: %s", g_strerror(errno));
    close(ends[0]);
    close(ends[1]);
    return NULL;
  }
  if (child > 0) {
    close(ends[1]);
    wait_for(child, ends[0]);
  }
  close(ends[0]);
  Daemon *daemon = g_new0(Daemon, 1);
  daemon->parent_fd = ends[1];
  return daemon;
}

int daemon_parent_fd(const Daemon *daemon) {
  return daemon->parent_fd;
}

void daemon_ready(Daemon *daemon) {
  // The user's shell goes on as soon as the parent has ended, so everything else comes first.
  setsid();
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
    dup2(null, fd);
  if (null > STDERR_FILENO) close(null);
  while (write(daemon->parent_fd, "", 1) < 0 && errno == EINTR)
    continue;
  close(daemon->parent_fd);
  daemon->parent_fd = -1;
}

void daemon_free(Daemon *daemon) {
  if (daemon == NULL) return;
  if (daemon->parent_fd >= 0) close(daemon->parent_fd);
  g_free(daemon);
}
