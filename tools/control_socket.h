// Where a running mailfs can be spoken to: a socket of mode 0600 for each account, known by the
// account's state directory. It lies in $XDG_RUNTIME_DIR/mailfs/ACCOUNT, and `control` in the state
// directory is a link to it; without such a directory, `control` is the socket itself.
//
// Everything here is quick and local. Errors are an EXIT_ERROR.
#pragma once

#include <glib.h>

// For whoever holds the state directory's lock, so that what is there was left by a crash. Listens:
// the descriptor, not blocking, or -1. *path: of the socket, newly allocated.
int control_socket_listen(const char *account_directory, char **path, GError **error);
void control_socket_remove(const char *account_directory, const char *path);
// Connects, for a client, without waiting: a descriptor that does not block; -1 with EX_UNAVAILABLE
// if nobody listens, EX_TEMPFAIL if too many want to be heard.
int control_socket_connect(const char *account_directory, GError **error);
