// The process that forked a daemon ends when the daemon is ready, with 0, or with the code of its
// end before that; a daemon whose parent was killed hears of it.
#include "tools/daemon.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/exit_code.h"

// What the daemon does; `report` is the writing end of a pipe to the test.
typedef void (*Play)(Daemon *daemon, int report);

typedef struct {
  pid_t pid;
  int report;
} Parent;

// A process that calls daemon_fork, as a shell's mailfs does.
static Parent start(Play play) {
  int ends[2];
  g_assert_cmpint(pipe(ends), ==, 0);
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    Daemon *daemon = daemon_fork(NULL);
    play(daemon, ends[1]);
    _exit(99);
  }
  close(ends[1]);
  return (Parent){pid, ends[0]};
}

static int wait_for(const Parent *parent) {
  int status;
  g_assert_cmpint(waitpid(parent->pid, &status, 0), ==, parent->pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// What the daemon reported: one byte, '\0' at its end without a report.
static char read_report(const Parent *parent) {
  char byte = '\0';
  g_assert_cmpint(read(parent->report, &byte, 1), >=, 0);
  close(parent->report);
  return byte;
}

static void get_ready(Daemon *daemon, int report) {
  daemon_ready(daemon);
  bool is_alone = getsid(0) == getpid() && daemon_parent_fd(daemon) < 0 && !isatty(STDERR_FILENO);
  g_assert_cmpint(write(report, is_alone ? "y" : "n", 1), ==, 1);
  _exit(EXIT_SUCCESS);
}

static void test_ready(void) {
  Parent parent = start(get_ready);
  g_assert_cmpint(wait_for(&parent), ==, 0);
  g_assert_cmpint(read_report(&parent), ==, 'y');
}

static void give_up(Daemon *daemon, int report) {
  _exit(EX_NOHOST);
}

static void test_failure(void) {
  Parent parent = start(give_up);
  g_assert_cmpint(wait_for(&parent), ==, EX_NOHOST);
  close(parent.report);
}

static void end_without_a_word(Daemon *daemon, int report) {
  _exit(EXIT_SUCCESS);
}

// Not 0 when the mount does not answer, whatever the daemon says at its end.
static void test_false_success(void) {
  Parent parent = start(end_without_a_word);
  g_assert_cmpint(wait_for(&parent), ==, EX_SOFTWARE);
  close(parent.report);
}

static void die(Daemon *daemon, int report) {
  raise(SIGKILL);
}

static void test_death(void) {
  Parent parent = start(die);
  g_assert_cmpint(wait_for(&parent), ==, EX_SOFTWARE);
  close(parent.report);
}

static void wait_for_parent_gone(Daemon *daemon, int report) {
  struct pollfd fd = {.fd = daemon_parent_fd(daemon)};
  bool is_waited_for = poll(&fd, 1, 0) == 0;
  kill(getppid(), SIGKILL);
  bool is_alone = poll(&fd, 1, -1) == 1 && (fd.revents & POLLERR) != 0;
  g_assert_cmpint(write(report, is_waited_for && is_alone ? "y" : "n", 1), ==, 1);
  _exit(EXIT_SUCCESS);
}

static void test_killed_parent(void) {
  Parent parent = start(wait_for_parent_gone);
  g_assert_cmpint(wait_for(&parent), ==, -SIGKILL);
  g_assert_cmpint(read_report(&parent), ==, 'y');
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/daemon/ready", test_ready);
  g_test_add_func("/daemon/failure", test_failure);
  g_test_add_func("/daemon/false-success", test_false_success);
  g_test_add_func("/daemon/death", test_death);
  g_test_add_func("/daemon/killed-parent", test_killed_parent);
  return g_test_run();
}
