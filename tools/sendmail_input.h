// A SendmailInput is the message that a program gives to mailfs-sendmail, as it comes: its header
// is held in memory, the rest goes straight to a file. It ends with the input, or at a line with a
// lone dot. Blocks on both. Errors: an EXIT_ERROR, EX_DATAERR for a message that is none, EX_IOERR.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct SendmailInput SendmailInput;

// Reads up to the empty line behind the header, at most 1 MiB.
SendmailInput *sendmail_input_new(int fd, bool takes_dots, GError **error);
void sendmail_input_free(SendmailInput *input);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SendmailInput, sendmail_input_free)

// The value of a header field, decoded no further than to one line; NULL: there is none.
char *sendmail_input_field(const SendmailInput *input, const char *name);
// Writes the message to a file. `from`: a From field's value, put in front where the message has
// none; NULL: not. A message of mere text becomes one with a header in any case.
bool sendmail_input_write(SendmailInput *input, int fd, const char *from, GError **error);
