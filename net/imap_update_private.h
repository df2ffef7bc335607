// The inside of an update, for the files that each hold a part of it. For net/imap_update*.c only.
#pragma once

#include "net/imap_message.h"
#include "net/imap_private.h"
#include "net/imap_search.h"

// More ranges than this are no folder's, and shall not fill our memory: a million messages of which
// each second one is gone are half as many.
#define IMAP_RANGES_MAX 2000000

typedef enum {
  IMAP_BY_QRESYNC,
  IMAP_BY_CONDSTORE,
  IMAP_BY_COMPARING,
  IMAP_BY_LISTING
} ImapUpdateWay;

typedef struct {
  ImapMailbox *imap;
  ImapMessageReader *reader;
  const MailboxKnown *known;
  const MailboxUpdateFuncs *funcs;
  MailboxUpdate *update;
  ImapUpdateWay way;
  UidSet *news;          // the new ones that were told
  UidSet *news_before;   // those told before the hidden ones were asked for; NULL: not yet
  UidSet *vanished;      // of the known, told on when all was read
  bool is_counted;       // the server said how many messages there are
  bool tells_present;    // what is told now is told of all messages that are there
  bool missed_flags;     // of a folder that was not yet known to be the same
  bool missed_message;   // a FETCH of we do not know which
  bool hides_message;    // because it cannot be read, or the server refused to go on
  bool missed_vanished;  // VANISHED likewise
  bool has_failed;       // a callback did: nothing more is told
} ImapUpdate;

// One SEARCH for UIDs from `first` to `last`.
typedef struct {
  ImapUpdate *update;
  ImapSearch answer;
  uint32_t first, last;
  UidSet *found;
} ImapUpdateSearch;

// What the server says must be of the folder that the caller knows; nothing is told before it is
// certain that it is.
bool imap_update_is_same(const ImapUpdate *update);
// True for a new message that is not to be told now: when the hidden ones are asked for, most are
// told again, and one that came since the folder was opened is the next update's.
bool imap_update_is_for_another(const ImapUpdate *update, uint32_t uid);
// Fails with LIMIT: the server names more messages than any folder has.
bool imap_update_pass_limit(ImapUpdate *update, GError **error);
// ImapHandlers. Of the replies to FETCH; `data` is the ImapUpdate.
bool imap_update_take(const ImapEvent *event, gpointer data, GError **error);
// To EXAMINE, which may tell all that the others do.
bool imap_update_take_examine(const ImapEvent *event, gpointer data, GError **error);
// To SEARCH; `data` is the ImapUpdateSearch.
bool imap_update_take_search(const ImapEvent *event, gpointer data, GError **error);
