// A Control is the socket by which mailfsctl and mailfs-sendmail speak to a running mailfs; see
// control_socket.h for where it is and control_command.h for what can be said. Only the user and
// root are listened to. Main loop's thread.
#pragma once

#include <glib.h>

#include "cache/outbox.h"

typedef struct Control Control;

// Listens. `outbox` (NULL: the account cannot send) must have been started and outlive it. The
// state directory's lock is the caller's. NULL with an EXIT_ERROR if there can be no socket.
Control *control_new(const char *account_directory, Outbox *outbox, GMainContext *context,
                     GError **error);
// Ends all sessions, removes the socket. The outbox must not answer any more what it owes: it is
// freed before the main loop runs again.
void control_free(Control *control);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Control, control_free)
