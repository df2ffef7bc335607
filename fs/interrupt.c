#include "fs/interrupt.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static const uint64_t harmless = BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGSTOP) | BIT(SIGTSTP) |
                                 BIT(SIGTTIN) | BIT(SIGTTOU) | BIT(SIGURG) | BIT(SIGWINCH) |
                                 BIT(SIGPROF) | BIT(SIGVTALRM);

// The signal set on the line "KEY:\t0000000000000002".
static bool read_set(const char *status, const char *key, uint64_t *set) {
  const char *line = strstr(status, key);
  if (line == NULL) return false;
  *set = strtoull(line + strlen(key), NULL, 16);
  return true;
}

bool interrupt_is_real_in(const char *status) {
  uint64_t own, shared, blocked;
  if (!read_set(status, "\nSigPnd:", &own) || !read_set(status, "\nShdPnd:", &shared) ||
      !read_set(status, "\nSigBlk:", &blocked))
    return true;
  return ((own | shared) & ~blocked & ~harmless) != 0;
}

bool interrupt_is_real(pid_t tid) {
  g_autofree char *path = g_strdup_printf("/proc/%d/status", (int)tid);
  g_autofree char *status = NULL;
  if (!g_file_get_contents(path, &status, NULL, NULL)) return true;
  return interrupt_is_real_in(status);
}
