// The inside of the IMAP mailbox, for the files that each fulfil a part of net/mailbox.h. For
// net/imap*.c only.
#pragma once

#include "net/imap.h"
#include "net/mailbox.h"

typedef struct {
  Mailbox mailbox;
  ImapSession *session;
  char *folder;          // the open one, or the one that will be when what was sent is answered
  MailboxStatus status;  // as the server told last; uidvalidity 0: not answered yet
  GQueue requests;       // of ImapRequest (imap_request.h), oldest first
  // What is heard goes to whoever watches, else it is noted for the next who does.
  const MailboxNewsFuncs *watcher;  // NULL: nobody
  char *warning;                    // that the watcher is to be told; NULL: none
  bool has_news;                    // of the open folder
  bool has_missed;                  // of others
  bool is_listing;                  // LIST is an answer now
  bool is_status_asked;             // STATUS is
  bool is_fetching;                 // FETCH is
  bool is_leaving;                  // what comes may still be of the folder before
  int64_t told_exists;              // in the open folder, -1: it changed since
  bool has_notify;                  // NOTIFY is set, or was refused
  bool is_notified;
  bool is_idle_refused;
  unsigned n_short_idles;  // in a row
  int64_t idle_since_us;
  bool has_qresync, has_condstore;
} ImapMailbox;

static inline ImapMailbox *imap_of(Mailbox *mailbox) {
  return (ImapMailbox *)mailbox;
}

// imap.c
// Notes what the responses to EXAMINE tell of the folder (RFC 3501 6.3.2, RFC 7162 3.1.2); true if
// the event was one of those.
bool imap_note_status(const ImapEvent *event, MailboxStatus *status);
// Sends EXAMINE; `condition` is its parameter list ("(CONDSTORE)"), NULL: none. Whatever comes of
// it, the folder that was open no longer is (RFC 3501 6.3.1), and news of it are news of others.
bool imap_send_examine(ImapMailbox *imap, const char *folder, const char *condition,
                       GError **error);
// An ImapHandler for its reply where nothing but the status counts; `data` is the ImapMailbox.
bool imap_take_status(const ImapEvent *event, gpointer data, GError **error);
// Takes its reply: `handler` is told all of it.
bool imap_receive_examine(ImapMailbox *imap, ImapHandler handler, gpointer data, GError **error);
// Makes of a refusal to open `folder` what it means, asking the server whether the folder exists;
// no command may be on its way.
void imap_explain_refusal(ImapMailbox *imap, const char *folder, GError **failure);
// Sends a command of our own words.
bool imap_send_words(ImapSession *session, const char *words, GError **error);
// An ImapOverhear: takes what is news.
void imap_overhear(const ImapEvent *event, gpointer data);

// The parts of the contract.
bool imap_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
               GError **error);
bool imap_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *update, GError **error);
bool imap_request(Mailbox *mailbox, const MailboxRequest *request, GError **error);
bool imap_wants_pause(Mailbox *mailbox);
bool imap_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error);
void imap_free_requests(ImapMailbox *imap);
bool imap_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs, GError **error);
MailboxWatch imap_can_watch(Mailbox *mailbox);
bool imap_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain, GError **error);
bool imap_keeps_sent(Mailbox *mailbox);
bool imap_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
               bool *found, GError **error);
// False if the server, asked for this folder alone, does not list it; true also when it cannot say.
bool imap_has_folder(ImapMailbox *imap, const char *folder);
// What a STATUS response tells of a folder (RFC 3501 7.2.4); false: nothing useful.
bool imap_read_status(const ImapValue *items, MailboxStatus *status);
// The items that make a MailboxMessage, as the server offers them.
const char *imap_summary_items(ImapSession *session);
