#include "tools/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "tools/exit_code.h"

#define MAX_BYTES 1000

// A signal's handler can reach nothing but a global.
static volatile sig_atomic_t caught_signal;

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

typedef struct {
  int fd;
  struct termios terminal;
  struct sigaction actions[G_N_ELEMENTS(signals)];
} Saved;

static void catch_signal(int number) {
  caught_signal = number;
}

static bool silence(Saved *saved) {
  if (tcgetattr(saved->fd, &saved->terminal) < 0) return false;
  caught_signal = 0;
  // Without SA_RESTART: the read has to end.
  struct sigaction action = {.sa_handler = catch_signal};
  for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
    sigaction(signals[i], &action, &saved->actions[i]);
  struct termios silent = saved->terminal;
  silent.c_lflag &= ~(tcflag_t)ECHO;
  return tcsetattr(saved->fd, TCSAFLUSH, &silent) == 0;
}

static void restore(const Saved *saved) {
  while (tcsetattr(saved->fd, TCSAFLUSH, &saved->terminal) < 0 && errno == EINTR)
    continue;
  for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
    sigaction(signals[i], &saved->actions[i], NULL);
}

// Reads to the end of the line, keeping what fits. False at the end of the input or on a signal.
static bool read_line(int fd, char *line) {
  size_t length = 0;
  char byte = '\0';
  while (caught_signal == 0) {
    ssize_t got = read(fd, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || byte == '\n') {
      line[length] = '\0';
      return got > 0 && length > 0;
    }
    if (length < MAX_BYTES) line[length++] = byte;
  }
  return false;
}

// One attempt: the answer, or NULL without one, perhaps because of *interrupted_by, a signal.
static char *ask(int fd, const char *question, int *interrupted_by) {
  char line[MAX_BYTES + 1];
  Saved saved = {.fd = fd};
  if (!silence(&saved)) return NULL;
  dprintf(fd, "%s", question);
  char *answer = read_line(fd, line) ? g_strdup(line) : NULL;
  OPENSSL_cleanse(line, sizeof line);
  dprintf(fd, "\n");
  *interrupted_by = caught_signal;
  restore(&saved);
  return answer;
}

char *prompt_password(const char *question, GError **error) {
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    g_set_error(error, EXIT_ERROR, EX_NOPERM,
                "there is no password: set password_command, password_file or MAILFS_PASSWORD "
                "(and no terminal to ask on)");
    return NULL;
  }
  char *answer = NULL;
  int interrupted_by = 0;
  do {
    interrupted_by = 0;
    answer = ask(fd, question, &interrupted_by);
    // As if we had never caught it; after a stop, ask again.
    if (interrupted_by != 0) raise(interrupted_by);
  } while (interrupted_by != 0);
  close(fd);
  if (answer == NULL) g_set_error(error, EXIT_ERROR, EX_NOPERM, "no password was given");
  return answer;
}
