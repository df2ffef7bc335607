// Where a running mailfs can be spoken to: a socket of mode 0600 for each account, known by the
// account's state directory, in which it is called `control`. For other programs to find, and while
// nobody else has that name, $XDG_RUNTIME_DIR/mailfs/ACCOUNT is a link to it. Only that: the
// runtime directory is taken away at the user's last logout, and the mount may go on.
//
// Everything here is quick and local. Errors are an EXIT_ERROR.
#pragma once

#include <glib.h>

// For whoever holds the state directory's lock, so that what is there was left by a crash. Listens:
// the descriptor, not blocking, or -1. *link: in the runtime directory, newly allocated; NULL:
// there is none.
int control_socket_listen(const char *account_directory, char **link, GError **error);
// The link only if it is still this socket's.
void control_socket_remove(const char *account_directory, const char *link);
// Connects, for a client, without waiting: a descriptor that does not block; -1 with EX_UNAVAILABLE
// if nobody listens, EX_TEMPFAIL if too many want to be heard.
int control_socket_connect(const char *account_directory, GError **error);
