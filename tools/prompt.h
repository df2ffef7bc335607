// Asks the user, on the terminal, for a password. Signals that come meanwhile find the terminal as
// it was.
#pragma once

#include <glib.h>

// Shows `question` on /dev/tty and reads a line of at most 1,000 bytes without echo: blocks, before
// any thread. The answer is to be given to secret_wipe. NULL with EXIT_ERROR: EX_NOPERM without a
// terminal or an answer.
char *prompt_password(const char *question, GError **error);
