// An ImapRequest asks for bytes of messages. It is sent without waiting and kept, in
// ImapMailbox.requests, until it is answered; its FETCHes are sent as there is room, after those of
// the one before it. For imap_bodies.c, which receives the answers.
#pragma once

#include "net/imap_private.h"

typedef struct {
  UidSet *uids;  // NULL: parts of `uid`
  uint32_t uid;
  MailboxRange ranges[2];
  unsigned n_ranges;
  uint32_t uidvalidity;
  bool examines;       // EXAMINE was sent before
  size_t next;         // the range of uids that is asked for next
  bool is_sent;        // nothing more is to be asked
  unsigned n_awaited;  // FETCHes sent and not answered
  UidSet *withheld;    // named, but without bytes, by whichever answer
  bool has_expunged;   // the server said that some are missing because they are no more
  GError *failure;     // of the EXAMINE before it, known already; its FETCHes are answered
} ImapRequest;

void imap_request_free(ImapRequest *request);
// Sends what there is room for, of the oldest request first.
bool imap_requests_send(ImapMailbox *imap, GError **error);
