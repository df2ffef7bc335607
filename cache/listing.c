#include "cache/listing.h"

#include <string.h>

// Rows written in one transaction: enough to make commits cheap, few enough that other writers wait
// some milliseconds only.
#define BATCH_ROWS 500
// A subject may be as long as the server cares to make it.
#define BATCH_BYTES (1 << 20)
#define TEXTS_BLOCK_BYTES (64 << 10)

struct Listing {
  Index *index;
  uint64_t folder, known_generation;
  IndexAddition addition;  // of the new messages; generation 0: not begun
  uint32_t last_uid;
  GArray *waiting;  // of MailboxMessage, with their strings in
  GStringChunk *texts;
  size_t waiting_bytes;  // of these strings
  UidSet *bare;          // new messages of which no more than flags was told, as it seems
  UidSet *missing;       // those of which it was so when the server was asked once more
  unsigned n_new;
};

static const char *keep(Listing *listing, const char *text) {
  if (text == NULL) return NULL;
  listing->waiting_bytes += strlen(text);
  return g_string_chunk_insert(listing->texts, text);
}

static void add_waiting(Listing *listing, const MailboxMessage *message) {
  MailboxMessage copy = *message;
  copy.flags = keep(listing, message->flags);
  copy.email_id = keep(listing, message->email_id);
  copy.from_name = keep(listing, message->from_name);
  copy.from_address = keep(listing, message->from_address);
  copy.subject = keep(listing, message->subject);
  copy.date = keep(listing, message->date);
  copy.message_id = keep(listing, message->message_id);
  copy.id = keep(listing, message->id);
  if (message->header != NULL) {
    copy.header =
        g_string_chunk_insert_len(listing->texts, message->header, (gssize)message->header_bytes);
    listing->waiting_bytes += message->header_bytes;
  }
  g_array_append_val(listing->waiting, copy);
}

Listing *listing_new(Index *index, uint64_t folder, uint64_t known_generation, uint32_t last_uid) {
  Listing *listing = g_new0(Listing, 1);
  *listing = (Listing){
      .index = index,
      .folder = folder,
      .known_generation = known_generation,
      .last_uid = last_uid,
      .waiting = g_array_new(FALSE, FALSE, sizeof(MailboxMessage)),
      .texts = g_string_chunk_new(TEXTS_BLOCK_BYTES),
      .bare = uid_set_new(),
      .missing = uid_set_new(),
  };
  return listing;
}

void listing_free(Listing *listing) {
  if (listing == NULL) return;
  index_rollback(listing->index);
  g_array_unref(listing->waiting);
  g_string_chunk_free(listing->texts);
  uid_set_free(listing->bare);
  uid_set_free(listing->missing);
  g_free(listing);
}

static bool is_new(const Listing *listing, const MailboxMessage *message) {
  return message->uid > listing->last_uid;
}

static bool begin_addition(Listing *listing, GError **error) {
  IndexAddition *addition = &listing->addition;
  addition->folder = listing->folder;
  return index_new_generation(listing->index, listing->folder, &addition->generation, error) &&
         index_begin_addition(listing->index, addition, error);
}

static bool write_message(Listing *listing, const MailboxMessage *message, GError **error) {
  if (!is_new(listing, message))
    return message->flags == NULL ||
           index_set_flags(listing->index, listing->folder, listing->known_generation, message->uid,
                           message->flags, error);
  listing->n_new++;
  listing->addition.now_ns = g_get_real_time() * 1000;
  return (listing->addition.generation != 0 || begin_addition(listing, error)) &&
         index_add_message(listing->index, &listing->addition, message, error);
}

bool listing_flush(Listing *listing, GError **error) {
  if (listing->waiting->len == 0) return true;
  if (!index_begin(listing->index, error)) return false;
  for (unsigned i = 0; i < listing->waiting->len; i++) {
    if (!write_message(listing, &g_array_index(listing->waiting, MailboxMessage, i), error))
      return false;
  }
  g_array_set_size(listing->waiting, 0);
  g_string_chunk_clear(listing->texts);
  listing->waiting_bytes = 0;
  return (listing->addition.n == 0 ||
          index_count_addition(listing->index, &listing->addition, error)) &&
         index_commit(listing->index, error);
}

static bool wait_for_flush(Listing *listing, const MailboxMessage *message, GError **error) {
  bool is_full = listing->waiting->len >= BATCH_ROWS || listing->waiting_bytes >= BATCH_BYTES;
  if (is_full && !listing_flush(listing, error)) return false;
  add_waiting(listing, message);
  return true;
}

static void complete(Listing *listing, const char **text, const char *told) {
  if (*text == NULL) *text = keep(listing, told);
}

// A server may tell one message in several responses, one behind the other (RFC 3501 7.4.2). What
// was told first stays; only flags change. False: this is another message than the last.
static bool complete_last(Listing *listing, const MailboxMessage *message) {
  unsigned n = listing->waiting->len;
  MailboxMessage *last = n > 0 ? &g_array_index(listing->waiting, MailboxMessage, n - 1) : NULL;
  if (last == NULL || last->uid != message->uid) return false;
  if (message->flags != NULL) last->flags = keep(listing, message->flags);
  if (last->internaldate < 0) last->internaldate = message->internaldate;
  if (last->size < 0) last->size = message->size;
  complete(listing, &last->from_name, message->from_name);
  complete(listing, &last->from_address, message->from_address);
  complete(listing, &last->subject, message->subject);
  complete(listing, &last->date, message->date);
  complete(listing, &last->message_id, message->message_id);
  complete(listing, &last->email_id, message->email_id);
  return true;
}

static bool is_bare(const MailboxMessage *message) {
  return message->internaldate < 0 && message->size < 0 && message->subject == NULL &&
         message->from_address == NULL && message->from_name == NULL && message->date == NULL &&
         message->message_id == NULL && message->email_id == NULL && message->id == NULL;
}

bool listing_take(Listing *listing, const MailboxMessage *message, GError **error) {
  if (complete_last(listing, message)) return true;
  // A change of flags that the server tells of in between looks like a message it knows nothing of;
  // the real answer comes before or after it.
  if (is_new(listing, message) && is_bare(message)) {
    uid_set_add(listing->bare, message->uid);
    return true;
  }
  return wait_for_flush(listing, message, error);
}

// The new messages among these that were not told, up to a UID; NULL: error.
static UidSet *find_untold(Listing *listing, const UidSet *uids, uint32_t last, GError **error) {
  g_autoptr(UidSet) untold = uid_set_new();
  for (size_t i = 0; i < uid_set_n_ranges(uids); i++) {
    UidRange range = uid_set_range(uids, i);
    for (uint64_t uid = range.first; uid <= MIN(range.last, last); uid++) {
      bool is_told;
      if (!index_has_uid(listing->index, listing->folder, listing->addition.generation,
                         (uint32_t)uid, &is_told, error))
        return NULL;
      if (!is_told) uid_set_add(untold, (uint32_t)uid);
    }
  }
  return g_steal_pointer(&untold);
}

bool listing_missing(Listing *listing, uint32_t *first, GError **error) {
  UidSet *missing = NULL;
  *first = 0;
  if (!listing_flush(listing, error) ||
      (missing = find_untold(listing, listing->bare, UINT32_MAX, error)) == NULL)
    return false;
  uid_set_free(listing->missing);
  uid_set_free(listing->bare);
  listing->missing = missing;
  listing->bare = uid_set_new();
  if (!uid_set_is_empty(missing)) *first = uid_set_range(missing, 0).first;
  return true;
}

static bool add_untold(Listing *listing, const UidSet *uids, uint32_t last, GError **error) {
  g_autoptr(UidSet) untold = find_untold(listing, uids, last, error);
  for (size_t i = 0; untold != NULL && i < uid_set_n_ranges(untold); i++) {
    UidRange range = uid_set_range(untold, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++) {
      MailboxMessage message = {.uid = (uint32_t)uid, .internaldate = -1, .size = -1};
      if (!wait_for_flush(listing, &message, error)) return false;
    }
  }
  return untold != NULL && listing_flush(listing, error);
}

// What came only since the second asking is left to the next one, if it is above all others.
bool listing_end(Listing *listing, GError **error) {
  return listing_flush(listing, error) &&
         add_untold(listing, listing->missing, UINT32_MAX, error) &&
         add_untold(listing, listing->bare, listing->addition.last_uid, error);
}

bool listing_generation(Listing *listing, uint64_t *generation, GError **error) {
  bool begun = listing->addition.generation != 0 ||
               (index_begin(listing->index, error) && begin_addition(listing, error) &&
                index_commit(listing->index, error));
  *generation = listing->addition.generation;
  return begun;
}

bool listing_count_below(Listing *listing, uint32_t uid, uint32_t *count, GError **error) {
  uint32_t n_known = 0, n_new = 0;
  uint64_t generation = listing->addition.generation;
  if (listing->last_uid > 0 && !index_count_below(listing->index, listing->folder,
                                                  listing->known_generation, uid, &n_known, error))
    return false;
  if (generation != 0 &&
      !index_count_below(listing->index, listing->folder, generation, uid, &n_new, error))
    return false;
  *count = n_known + n_new;
  return true;
}

unsigned listing_n_new(const Listing *listing) {
  return listing->n_new;
}
