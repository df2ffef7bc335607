#include "cache/outbox_process.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PF_SIGNALED 0x400
// Fields of /proc/PID/stat between the command's name and the flags.
#define FIELDS_BEFORE_FLAGS 6
// ... and the time of its start.
#define FIELDS_BEFORE_START 19

static char *read_proc(pid_t pid, const char *file) {
  g_autofree char *path = g_strdup_printf("/proc/%ld/%s", (long)pid, file);
  char *text = NULL;
  return pid > 0 && g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static pid_t group_of(const char *status) {
  const char *line = status != NULL ? strstr(status, "\nTgid:") : NULL;
  return line != NULL ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

pid_t outbox_process_of(pid_t thread) {
  g_autofree char *status = read_proc(thread, "status");
  return group_of(status);
}

// A process that ends has given its memory back before its files. One that has not is not asked
// for its flags: in exec(2), which closes files too, it holds a lock that reading stat waits for.
static bool is_ending(const char *status) {
  return status != NULL && strstr(status, "\nVmSize:") == NULL;
}

// A number of /proc/PID/stat, 0 if there is none.
static uint64_t read_field(pid_t pid, unsigned fields_before) {
  g_autofree char *stat = read_proc(pid, "stat");
  // The command's name may hold spaces and parentheses: what follows the last one is numbers.
  const char *at = stat != NULL ? strrchr(stat, ')') : NULL;
  for (unsigned i = 0; at != NULL && i <= fields_before; i++)
    at = strchr(at + 1, ' ');
  return at != NULL ? g_ascii_strtoull(at, NULL, 10) : 0;
}

OutboxProcess outbox_process_find(pid_t thread) {
  OutboxProcess process = {.id = outbox_process_of(thread)};
  process.started = read_field(process.id, FIELDS_BEFORE_START);
  return process;
}

bool outbox_process_is(OutboxProcess process, OutboxProcess other) {
  return process.id != 0 && process.id == other.id && process.started == other.started;
}

pid_t outbox_process_of_closing(pid_t thread, bool *was_killed) {
  g_autofree char *status = read_proc(thread, "status");
  *was_killed = is_ending(status) && (read_field(thread, FIELDS_BEFORE_FLAGS) & PF_SIGNALED) != 0;
  return group_of(status);
}
