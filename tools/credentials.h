// Where the passwords of an account come from: the options, else the environment, else the user.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/account.h"
#include "tools/options.h"

// Gives both accounts (smtp may be NULL) their secrets, where they have users. Takes
// MAILFS_PASSWORD out of the environment in any case, also out of what /proc shows of it. May ask
// on the terminal, and then blocks: before any thread. Errors: an EXIT_ERROR, EX_CONFIG for two
// sources at once, EX_NOPERM if there is nobody to ask.
bool credentials_set(const Options *options, Account *mailbox, Account *smtp, GError **error);
