// The log: what GLib's g_message, g_warning and the like of all folders say, from any thread. On
// the terminal of the user ("mailfs: ...") at first, in syslog once the program is a daemon. Each
// record is one line; control characters, which a server could have chosen, are shown as `?`.
// Informational and debugging records are shown only where asked for.
#pragma once

#include <stdbool.h>

// First of all, once, before any thread. `program`: what the lines begin with.
void log_start(const char *program);
// Shows everything. Before any thread.
void log_show_debug(void);
// From now on to syslog, which is the journal where there is one.
void log_to_syslog(void);
