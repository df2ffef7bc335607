// A MailboxCaller asks a mailbox for what the first line of a fuzz target's input says, a letter a
// call, and holds it to what net/mailbox.h says of every call: an error if and only if it failed,
// and no callback after one that failed. A target has one as the first part of its own.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/mailbox.h"

typedef struct {
  Mailbox *mailbox;
  unsigned n_requests;
  bool fails;       // the next callback does
  bool has_failed;  // so nothing may be called again in this call
  bool is_in_body;
} MailboxCaller;

typedef struct {
  char letter;
  bool is_alone;  // no request may be under way: those that are, are received first
  bool (*ask)(MailboxCaller *caller, GError **error);
} MailboxVerb;

// The letter of the verb that receives a request; f makes the next callback fail.
#define MAILBOX_VERB_RECEIVE 'g'

typedef struct {
  const MailboxVerb *verbs;
  size_t n_verbs;
  // With a server that says `bytes`; NULL: it did not even greet.
  Mailbox *(*open)(const char *bytes, size_t size);
} MailboxGame;

// Plays an input whole: opens the mailbox, asks until a connection is over, frees the mailbox.
void mailbox_caller_play(MailboxCaller *caller, const MailboxGame *game, const uint8_t *data,
                         size_t size);

// For the target's callbacks: what each that may fail returns.
bool mailbox_caller_answer(MailboxCaller *caller, GError **error);
// As MailboxBodyFuncs's `bytes`; `caller` is a MailboxCaller.
bool mailbox_caller_take_bytes(const void *bytes, size_t size, gpointer caller, GError **error);
// For its verbs: requests as many as may be under way, of INBOX, and receives what was requested.
bool mailbox_caller_request(MailboxCaller *caller, MailboxRequest wanted, GError **error);
bool mailbox_caller_receive(MailboxCaller *caller, const MailboxBodyFuncs *funcs, GError **error);
