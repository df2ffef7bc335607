#include "cache/outbox_process.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PF_SIGNALED 0x400
// Fields of /proc/PID/stat between the command's name and the flags.
#define FIELDS_BEFORE_FLAGS 6

static char *read_proc(pid_t pid, const char *file) {
  g_autofree char *path = g_strdup_printf("/proc/%ld/%s", (long)pid, file);
  char *text = NULL;
  return pid > 0 && g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

pid_t outbox_process_of(pid_t thread) {
  g_autofree char *status = read_proc(thread, "status");
  const char *line = status != NULL ? strstr(status, "\nTgid:") : NULL;
  return line != NULL ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

// A process that ends has given its memory back before its files. One that has not is not asked
// for its flags: in exec(2), which closes files too, it holds a lock that reading stat waits for.
static bool is_ending(pid_t thread) {
  g_autofree char *status = read_proc(thread, "status");
  return status != NULL && strstr(status, "\nVmSize:") == NULL;
}

bool outbox_process_was_killed(pid_t thread) {
  if (!is_ending(thread)) return false;
  g_autofree char *stat = read_proc(thread, "stat");
  // The command's name may hold spaces and parentheses: what follows the last one is numbers.
  const char *at = stat != NULL ? strrchr(stat, ')') : NULL;
  for (unsigned i = 0; at != NULL && i <= FIELDS_BEFORE_FLAGS; i++)
    at = strchr(at + 1, ' ');
  return at != NULL && (strtoul(at, NULL, 10) & PF_SIGNALED) != 0;
}
