// The only table from the errors of the rooms below to what a program sees: NET_ERROR by meaning
// (manual page, "Errors"), the outbox's by the errno that they already are.
#pragma once

#include <glib.h>

// A positive errno, never 0. Anything unknown is EIO. CANCELLED is EHOSTUNREACH: we stopped, the
// caller was not interrupted.
int errno_from_error(const GError *error);
