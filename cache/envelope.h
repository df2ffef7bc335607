// An Envelope is what whoever hands a letter over says of its way, beside what its header says: who
// gets the server's complaints, who gets the letter, and what is to be told of its fate (DSN,
// RFC 3461). A plain value; text that was not said is NULL.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/sender.h"

typedef struct {
  char *from;         // NULL: as the header says; "": the null sender
  char **recipients;  // NULL: those of the header; never empty
  char *notify;       // "NEVER", or some of SUCCESS, FAILURE and DELAY with commas between
  char *ret;          // "FULL" or "HDRS"
  char *envid;        // printable ASCII without blanks, at most 100 bytes
} Envelope;

void envelope_copy(Envelope *to, const Envelope *from);
void envelope_clear(Envelope *envelope);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Envelope, envelope_clear)

// The readers of each part: what is to be stored, newly allocated, or NULL with
// LETTER_ERROR_INVALID and words for whoever wrote it.

// The addresses of a list as a header field has it, added to `addresses` (of char *).
bool envelope_read_recipients(const char *text, GPtrArray *addresses, GError **error);
// One address, with or without angle brackets.
char *envelope_read_recipient(const char *text, GError **error);
// The same; "" and "<>" are the null sender.
char *envelope_read_sender(const char *text, GError **error);
// As sendmail's -N, -R and -V have it: any case, and "hdrs" for HDRS.
char *envelope_read_notify(const char *text, GError **error);
char *envelope_read_ret(const char *text, GError **error);
char *envelope_read_envid(const char *text, GError **error);

// As a Sender takes them; zero where nothing was said.
unsigned envelope_notify(const Envelope *envelope);
SenderReturn envelope_return(const Envelope *envelope);
