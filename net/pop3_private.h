// The inside of the POP3 mailbox, for the files that each fulfil a part of net/mailbox.h. For
// net/pop3*.c only.
#pragma once

#include "net/mailbox.h"
#include "net/pop3.h"
#include "net/pop3_session.h"
#include "net/pop3_table.h"

#define POP3_UIDVALIDITY 1

typedef struct {
  Mailbox mailbox;
  Pop3Session *session;
  Pop3Table *table;     // as of the last update; NULL: there was none, or it failed
  bool is_unsure;       // of what some messages are known as, in it or not
  bool has_top_worked;  // TOP was answered on this connection
  bool is_top_refused;  // it never was, and RETR was where it was refused, several times
  unsigned n_tops_refused;
  GQueue requests;  // of Pop3Request (pop3_bodies.c), oldest first
} Pop3Mailbox;

static inline Pop3Mailbox *pop3_of(Mailbox *mailbox) {
  return (Pop3Mailbox *)mailbox;
}

// pop3.c
// INBOX in any case.
bool pop3_has_folder(const char *folder);

// pop3_listing.c
// Fills an empty table with what is there (STAT, UIDL, LIST, in one flight): sizes, and keys where
// there is a UIDL to make one of; what has none where others have one is asked for once more.
// `has_uidls`: the server gives them. BUSY: the server counts more messages than it shows; REFUSED:
// it does not say in a readable way which are there, or refuses what it must know; LIMIT.
bool pop3_list_messages(Pop3Mailbox *pop3, Pop3Table *table, bool *has_uidls, GError **error);

// pop3_headers.c
typedef struct {
  const char *bytes;  // up to and with the empty line, as far as 256 KiB; NULL: refused
  size_t size;
  const char *refusal;  // the server's words, if it was
  bool is_put_off;      // and will pass, as it says
  // Of all that was read: what TOP gives and the message's size as it is listed; or the message.
  uint64_t key;
} Pop3Header;
typedef struct {
  bool (*wants)(const Pop3Message *message, gpointer data);
  // Before `header`, of what is not refused: a place to give it a UID; NULL: nothing is to be done.
  bool (*identify)(Pop3Message *message, const Pop3Header *header, gpointer data, GError **error);
  bool (*header)(Pop3Message *message, const Pop3Header *header, gpointer data, GError **error);
  // Is told those that are read whole, each before its header; what has no UID does not end. NULL:
  // nobody.
  const MailboxBodyFuncs *bodies;
  gpointer data;
} Pop3HeaderFuncs;
// Reads the headers of all messages of the table that are wanted, by TOP; by RETR where the server
// has no TOP or refuses it. Told usually in the order of their numbers. Refusals are told, too: one
// message that nobody gets is no reason to list none.
bool pop3_read_headers(Pop3Mailbox *pop3, Pop3Table *table, const Pop3HeaderFuncs *funcs,
                       GError **error);

// pop3_expunge.c, and the other parts of the contract.
bool pop3_expunge(Mailbox *mailbox, const char *folder, uint32_t uidvalidity, const UidSet *uids,
                  GError **error);
bool pop3_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *update, GError **error);
bool pop3_request(Mailbox *mailbox, const MailboxRequest *request, GError **error);
bool pop3_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error);
void pop3_free_requests(Pop3Mailbox *pop3);
