// A folder's messages, brought up to date.

#include "cache/sync.h"

#include "cache/listing.h"
#include "cache/sync_private.h"
#include "net/error.h"

// For how long what the server does not tell is waited for, as sync.h says.
#define PATIENCE_NS (INT64_C(3600) * 1000000000)
#define FIRST_PATIENCE_NS (INT64_C(30) * 1000000000)
// In the place of an id, in what is waited for.
#define WHAT_IS_PRESENT ""

// One talk with the server about one folder.
typedef struct {
  Index *index;
  const IndexFolder *folder;
  bool has_uids;
  uint32_t last_uid;  // no message above it is known
  Listing *listing;
  ListingBodies *bodies;  // NULL: none are kept
  UidSet *vanished;
  MailboxUpdate update;
  int64_t began_ns;
  unsigned n_waiting;  // messages that were passed over, since their headers were refused
} Talk;

int64_t sync_now_ns(void) {
  return g_get_real_time() * 1000;
}

static void collect_removed(uint64_t parent, uint64_t ino, const char *name, gpointer changes) {
  changes_add_removed(changes, parent, ino, name);
}

static void collect_added(uint64_t parent, uint64_t ino, const char *name, gpointer changes) {
  changes_add_added(changes, parent, ino, name);
}

static void collect_changed(uint64_t folder, gpointer changes) {
  changes_add_folder(changes, folder);
}

IndexListener sync_listener(Changes *changes) {
  return (IndexListener){collect_removed, collect_added, collect_changed, changes};
}

static void talk_init(Talk *talk, Index *index, bool has_uids, const IndexFolder *folder,
                      uint32_t last_uid) {
  *talk = (Talk){
      .index = index,
      .folder = folder,
      .has_uids = has_uids,
      .last_uid = last_uid,
      .listing = listing_new(index, folder->ino, folder->generation, last_uid),
      .vanished = uid_set_new(),
      .update = {.present = uid_set_new()},
      .began_ns = sync_now_ns(),
  };
}

static void talk_clear(Talk *talk) {
  g_clear_pointer(&talk->listing, listing_free);
  g_clear_pointer(&talk->vanished, uid_set_free);
  g_clear_pointer(&talk->update.present, uid_set_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Talk, talk_clear)

// The message has an inode only once it is written.
static bool keep_body(Talk *talk, uint32_t uid, GError **error) {
  uint64_t generation, ino;
  if (!listing_flush(talk->listing, error) ||
      !listing_generation(talk->listing, &generation, error) ||
      !index_ino(talk->index, talk->folder->ino, generation, uid, &ino, error))
    return false;
  if (ino != 0) listing_bodies_keep(talk->bodies, talk->index, ino);
  return true;
}

// What is known by its id is shown already, whatever it is called.
static bool is_to_wait(Talk *talk, const MailboxMessage *message, bool *waits, GError **error) {
  const IndexFolder *folder = talk->folder;
  uint32_t uid = 0;
  int64_t now_ns = sync_now_ns(), since_ns;
  *waits = false;
  if (message->id == NULL || message->header != NULL) return true;
  if (!index_number(talk->index, folder->ino, folder->generation, message->id, &uid, error))
    return false;
  if (uid != 0) return true;
  if (!index_note_refusal(talk->index, message->id, now_ns, &since_ns, error)) return false;
  bool is_soon = !folder->listed && !message->is_put_off;
  int64_t patience_ns = is_soon ? FIRST_PATIENCE_NS : PATIENCE_NS;
  *waits = since_ns <= now_ns && now_ns - since_ns < patience_ns;
  return true;
}

static bool take_message(const MailboxMessage *message, gpointer data, GError **error) {
  Talk *talk = data;
  bool waits;
  if (!is_to_wait(talk, message, &waits, error)) return false;
  if (waits) {
    talk->n_waiting++;
    return true;
  }
  if (!listing_take(talk->listing, message, error)) return false;
  bool has_body = talk->bodies != NULL && listing_bodies_has(talk->bodies, message->uid);
  return !has_body || keep_body(talk, message->uid, error);
}

static bool take_vanished(UidRange range, gpointer data, GError **error) {
  uid_set_add_range(((Talk *)data)->vanished, range.first, range.last);
  return true;
}

static bool tell_number(const char *id, int64_t size, uint32_t *uid, bool *is_certain,
                        gpointer data, GError **error) {
  const Talk *talk = data;
  const IndexFolder *folder = talk->folder;
  *is_certain = true;
  return index_number(talk->index, folder->ino, folder->generation, id, uid, error) &&
         (*uid == 0 || index_is_certain(talk->index, folder->ino, folder->generation, *uid, size,
                                        is_certain, error));
}

static bool tell_is_same(const MailboxMessage *message, bool *is_same, gpointer data,
                         GError **error) {
  const Talk *talk = data;
  const IndexFolder *folder = talk->folder;
  return index_compare(talk->index, folder->ino, folder->generation, message, is_same, error);
}

// What is gone is as of the first asking.
static bool ignore_vanished(UidRange range, gpointer data, GError **error) {
  return true;
}

// A change of flags that the server tells of before the message itself looks like a message of
// which it knows nothing.
static bool ask_again(Talk *talk, Mailbox *mailbox, const char *folder, uint32_t first,
                      GError **error) {
  const MailboxUpdateFuncs funcs = {
      .message = take_message, .vanished = ignore_vanished, .data = talk};
  const MailboxStatus *status = &talk->update.status;
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate update = {.present = present};
  MailboxKnown known = {
      .folder = folder,
      .uidvalidity = status->uidvalidity,
      .last_uid = first - 1,
      .modseq = status->highestmodseq,
  };
  if (!listing_count_below(talk->listing, first, &known.count, error) ||
      !mailbox_update(mailbox, &known, &funcs, &update, error))
    return false;
  if (update.status.uidvalidity == status->uidvalidity) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY, "%s was renumbered while it was listed", folder);
  return false;
}

// New messages may come to light later. But what is listed for the first time may have been seen
// before, with a cache that is no more, and would seem to be gone.
static bool check_whole(const Talk *talk, GError **error) {
  if (talk->folder->listed || talk->n_waiting == 0) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY,
              "the server refuses the headers of some messages (%u)", talk->n_waiting);
  return false;
}

static bool talk_about(Talk *talk, Mailbox *mailbox, const MailboxKnown *known, GError **error) {
  const MailboxUpdateFuncs funcs = {
      .message = take_message,
      .vanished = take_vanished,
      .number = talk->has_uids ? NULL : tell_number,
      .is_same = talk->has_uids ? NULL : tell_is_same,
      .bodies = talk->bodies != NULL ? listing_bodies_funcs(talk->bodies) : NULL,
      .data = talk,
  };
  uint32_t first;
  return mailbox_update(mailbox, known, &funcs, &talk->update, error) &&
         listing_missing(talk->listing, &first, error) &&
         (first == 0 || ask_again(talk, mailbox, known->folder, first, error)) &&
         check_whole(talk, error) && listing_end(talk->listing, error);
}

static bool list_anew(Index *index, Mailbox *mailbox, bool has_uids, const IndexFolder *folder,
                      ListingBodies *bodies, Changes *changes, GError **error) {
  g_auto(Talk) talk = {0};
  uint64_t generation;
  uint32_t last_uid = has_uids ? 0 : folder->last_number;
  const MailboxKnown nothing = {.folder = folder->server_name, .last_uid = last_uid};
  const IndexListener listener = sync_listener(changes);
  talk_init(&talk, index, has_uids, folder, last_uid);
  talk.bodies = bodies;
  if (!talk_about(&talk, mailbox, &nothing, error) ||
      !listing_generation(talk.listing, &generation, error) || !index_begin(index, error))
    return false;
  if (folder->listed && !index_rematch(index, folder->ino, folder->generation, generation,
                                       talk.update.status.uidvalidity, error))
    return false;
  // What is listed for the first time has not changed: nobody has seen it otherwise.
  if ((!has_uids && !index_forget_refusals(index, talk.began_ns, error)) ||
      !index_end_sync(index, folder->ino, generation, &talk.update.status, folder->listed,
                      sync_now_ns(), &listener, error) ||
      !index_commit(index, error))
    return false;
  if (folder->listed)
    changes_add_folder(changes, folder->ino);
  else
    changes_add_first(changes, folder->ino);
  return true;
}

static bool remove_gone(Index *index, const IndexFolder *folder, const UidSet *gone,
                        const IndexListener *listener, GError **error) {
  for (size_t i = 0; i < uid_set_n_ranges(gone); i++) {
    if (!index_remove_range(index, folder->ino, folder->generation, uid_set_range(gone, i),
                            listener, error))
      return false;
  }
  return true;
}

// A store without UIDs that cannot tell all that is present is believed after a while all the same:
// what it calls anew each time would pile up.
static bool is_told(const Talk *talk, bool *told, GError **error) {
  int64_t since_ns, now_ns = sync_now_ns();
  *told = talk->update.is_present_told;
  if (*told || talk->has_uids) return true;
  if (!index_note_refusal(talk->index, WHAT_IS_PRESENT, now_ns, &since_ns, error)) return false;
  *told = now_ns < since_ns || now_ns - since_ns >= PATIENCE_NS;
  return true;
}

// The known UIDs that are no more.
static UidSet *find_gone(Index *index, const IndexFolder *folder, const Talk *talk,
                         GError **error) {
  g_autoptr(UidSet) none = uid_set_new();
  bool told;
  if (!is_told(talk, &told, error)) return NULL;
  if (!told) return uid_set_subtract(talk->vanished, none);
  g_autoptr(UidSet) known = index_uids(index, folder->ino, folder->generation, error);
  return known != NULL ? uid_set_subtract(known, talk->update.present) : NULL;
}

static bool show_update(Talk *talk, Changes *changes, GError **error) {
  Index *index = talk->index;
  const IndexFolder *folder = talk->folder;
  const IndexListener listener = sync_listener(changes);
  uint64_t generation = 0;
  g_autoptr(UidSet) gone = find_gone(index, folder, talk, error);
  if (gone == NULL) return false;
  bool has_new = listing_n_new(talk->listing) > 0;
  if (has_new && !listing_generation(talk->listing, &generation, error)) return false;
  unsigned before, after;
  changes_removed(changes, &before);
  if (!index_begin(index, error) || !remove_gone(index, folder, gone, &listener, error))
    return false;
  changes_removed(changes, &after);
  if (!talk->has_uids &&
      (!index_note_present(index, folder->ino, folder->generation, talk->update.present, error) ||
       !index_forget_refusals(index, talk->began_ns, error)))
    return false;
  bool changed = has_new || after > before;
  if ((has_new && !index_adopt(index, folder->ino, folder->generation, generation, talk->last_uid,
                               SYNC_ADDED_MAX, &listener, error)) ||
      !index_end_sync(index, folder->ino, folder->generation, &talk->update.status, changed,
                      sync_now_ns(), &listener, error) ||
      !index_commit(index, error))
    return false;
  if (!folder->listed)
    changes_add_first(changes, folder->ino);
  else if (changed)
    changes_add_folder(changes, folder->ino);
  return true;
}

static bool is_same_mailbox(const MailboxStatus *then, const MailboxStatus *now,
                            uint32_t last_uid) {
  bool uids_go_on = now->uidnext == 0 || (now->uidnext > last_uid && now->uidnext >= then->uidnext);
  bool modseqs_go_on = now->highestmodseq == 0 || now->highestmodseq >= then->highestmodseq;
  return now->uidvalidity == then->uidvalidity && uids_go_on && modseqs_go_on;
}

bool sync_folder(Index *index, Mailbox *mailbox, bool has_uids, const IndexFolder *folder,
                 ListingBodies *bodies, Changes *changes, GError **error) {
  g_auto(Talk) talk = {0};
  uint32_t last_uid = folder->last_number;
  // What the archive has of a folder without UIDs is in it before it is listed.
  if (!folder->listed && (has_uids || folder->generation == 0))
    return list_anew(index, mailbox, has_uids, folder, bodies, changes, error);
  if (has_uids && !index_last_uid(index, folder->ino, folder->generation, &last_uid, error))
    return false;
  const MailboxKnown known = {
      .folder = folder->server_name,
      .uidvalidity = folder->status.uidvalidity,
      .last_uid = last_uid,
      .count = folder->n_messages,
      .modseq = folder->status.highestmodseq,
  };
  talk_init(&talk, index, has_uids, folder, last_uid);
  talk.bodies = bodies;
  if (!talk_about(&talk, mailbox, &known, error)) return false;
  if (!has_uids || is_same_mailbox(&folder->status, &talk.update.status, last_uid))
    return show_update(&talk, changes, error);
  talk_clear(&talk);
  return list_anew(index, mailbox, has_uids, folder, bodies, changes, error);
}
