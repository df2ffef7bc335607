// A Daemon is the process that a shell's `mailfs` leaves behind, seen by itself: daemon_fork makes
// it, its parent waits in there and ends with the daemon's success or exit code. Until it is ready
// it is an ordinary child, with the user's terminal for its errors, in the user's process group for
// Ctrl-C.
//
//   shell ──> parent ──fork──> child: locks, login, mount ...
//               │ waits            │ daemon_ready          │ or exits with a code, or dies
//               └─ exit 0 <────────┘                       └──> parent exits with it
#pragma once

#include <glib.h>

typedef struct Daemon Daemon;

// Before any thread, main context, SQLite or curl. Returns in the child only; NULL, still in the
// first process, if there can be no second (EXIT_ERROR, EX_OSERR).
Daemon *daemon_fork(GError **error);
// Readable, as poll sees it (POLLERR), once the parent was killed: nobody waits any more. -1 after
// daemon_ready.
int daemon_parent_fd(const Daemon *daemon);
// Tells the parent to exit with 0, and becomes a session of its own with nothing for its standard
// files. Once.
void daemon_ready(Daemon *daemon);
void daemon_free(Daemon *daemon);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Daemon, daemon_free)
