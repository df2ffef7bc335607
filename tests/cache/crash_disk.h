// A CrashDisk stands between this test's process, with every library in it, and one directory: it
// is told of each call that changes something there (create, write, truncate, sync, link, rename,
// unlink) before the kernel is, so that the process can end just there, as by kill -9; and it knows
// what a power failure would leave there at that moment. To use it, link it in: it defines those
// calls.
//
//   kill -9       all that was done is there, synced or not
//   power, none   a file has what it had at its last fsync, a directory the names it had at its own
//   power, some   of what came after that, each write and each name by itself is there or is not
//
// Any thread may call what it stands before; they wait for each other there. A sync costs nothing.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef enum { CRASH_KILL, CRASH_POWER_NONE, CRASH_POWER_SOME, CRASHES } Crash;

#define CRASH_EXIT_CODE 42

// From now on, until the end of the process, in which one directory can be watched. What is there
// already counts as synced. The process ends with CRASH_EXIT_CODE at the step of that number,
// counted from 0; for a power failure, what that leaves is then in `left`, which must not be there.
// Copies the strings.
void crash_disk_watch(const char *directory, Crash crash, unsigned at_step, const char *left);
// A step of another kind, such as what a server does.
void crash_disk_step(void);
// How many there were.
unsigned crash_disk_steps(void);
