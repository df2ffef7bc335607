#include "cache/sync.h"

#include <string.h>

#include "cache/name.h"
#include "net/error.h"

// Rows written in one transaction: enough to make commits cheap, few enough that other writers wait
// some milliseconds only.
#define BATCH_ROWS 500
// A subject may be as long as the server cares to make it.
#define BATCH_BYTES (1 << 20)

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

static void collect_removed(uint64_t parent, uint64_t ino, const char *name, gpointer changes) {
  changes_add_removed(changes, parent, ino, name);
}

// ---- The tree.

typedef struct {
  const SyncOptions *options;
  GPtrArray *folders;  // of MailboxFolder, with names of their own
  unsigned listed;     // by the server, wanted or not
} Tree;

static void free_folder(gpointer folder) {
  g_free((char *)((MailboxFolder *)folder)->name);
  g_free(folder);
}

// The folder's name as the globs see it: decoded, with "/" between levels.
static bool is_wanted(const MailboxFolder *folder, const char *const *globs) {
  if (globs == NULL || globs[0] == NULL) return true;
  const char delimiter[2] = {folder->delimiter, '\0'};
  g_auto(GStrv) levels = delimiter[0] != '\0' ? g_strsplit(folder->name, delimiter, -1)
                                              : g_strsplit(folder->name, "", 1);
  for (char **level = levels; *level != NULL; level++) {
    char *decoded = name_folder_display(*level);
    g_free(*level);
    *level = decoded;
  }
  g_autofree char *path = g_strjoinv("/", levels);
  return name_folder_wanted(path, globs);
}

static bool collect_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  Tree *tree = data;
  tree->listed++;
  if (!is_wanted(folder, tree->options->folders)) return true;
  MailboxFolder *copy = g_memdup2(folder, sizeof *folder);
  copy->name = g_strdup(folder->name);
  g_ptr_array_add(tree->folders, copy);
  return true;
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return g_strcmp0((*(const MailboxFolder *const *)a)->name,
                   (*(const MailboxFolder *const *)b)->name);
}

static void collect_changed(uint64_t folder, gpointer changes) {
  changes_add_folder(changes, folder);
}

static bool write_tree(Index *index, Tree *tree, Changes *changes, GError **error) {
  const IndexListener listener = {collect_removed, collect_changed, changes};
  if (!index_begin(index, error) || !index_begin_tree(index, error)) return false;
  for (unsigned i = 0; i < tree->folders->len; i++) {
    if (!index_put_folder(index, tree->folders->pdata[i], tree->options->reserved, error))
      return false;
  }
  return index_end_tree(index, now_ns(), &listener, error) && index_commit(index, error);
}

// A quota is good to know, no more: the tree does not fail with it.
static void sync_quota(Index *index, Mailbox *mailbox) {
  MailboxQuota quota;
  g_autoptr(GError) error = NULL;
  if (!mailbox_quota(mailbox, &quota, &error) || !index_begin(index, &error) ||
      !index_set_quota(index, &quota, &error) || !index_commit(index, &error)) {
    g_info("no quota: %s", error->message);
  }
  index_rollback(index);
}

bool sync_tree(Index *index, Mailbox *mailbox, const SyncOptions *options, Changes *changes,
               GError **error) {
  Tree tree = {.options = options};
  g_autoptr(GPtrArray) folders = tree.folders = g_ptr_array_new_with_free_func(free_folder);
  if (!mailbox_list(mailbox, collect_folder, &tree, error)) return false;
  if (folders->len == 0) {
    const char *words = tree.listed > 0 ? "folders= wants none of the server's folders"
                                        : "the server lists no folder";
    g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, words);
    return false;
  }
  // Sorted, so that where two names clash the same one is told apart on every machine.
  g_ptr_array_sort(folders, compare_names);
  bool done = write_tree(index, &tree, changes, error);
  index_rollback(index);
  if (done) sync_quota(index, mailbox);
  return done;
}

// ---- A folder.

// Messages on their way from the server into the index.
typedef struct {
  Index *index;
  uint64_t folder, generation;
  uint32_t uidvalidity;
  GPtrArray *waiting;    // of MailboxMessage, with strings of their own
  size_t waiting_bytes;  // of these strings
  UidSet *seen;          // all UIDs that the server told of
  UidSet *bare;          // of these, those it told no more of than flags
  uint32_t added;
} Listing;

static void free_message(gpointer data) {
  MailboxMessage *message = data;
  g_free((char *)message->flags);
  g_free((char *)message->from_name);
  g_free((char *)message->from_address);
  g_free((char *)message->subject);
  g_free((char *)message->date);
  g_free((char *)message->message_id);
  g_free(message);
}

static MailboxMessage *copy_message(const MailboxMessage *message) {
  MailboxMessage *copy = g_memdup2(message, sizeof *message);
  copy->flags = g_strdup(message->flags);
  copy->from_name = g_strdup(message->from_name);
  copy->from_address = g_strdup(message->from_address);
  copy->subject = g_strdup(message->subject);
  copy->date = g_strdup(message->date);
  copy->message_id = g_strdup(message->message_id);
  return copy;
}

static size_t text_bytes(const MailboxMessage *message) {
  const char *texts[] = {message->flags,   message->from_name, message->from_address,
                         message->subject, message->date,      message->message_id};
  size_t bytes = 0;
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
    bytes += texts[i] != NULL ? strlen(texts[i]) : 0;
  return bytes;
}

static void listing_init(Listing *listing, Index *index, const IndexFolder *folder,
                         const MailboxStatus *status) {
  *listing = (Listing){
      .index = index,
      .folder = folder->ino,
      .generation = folder->generation,
      .uidvalidity = status->uidvalidity,
      .waiting = g_ptr_array_new_with_free_func(free_message),
      .seen = uid_set_new(),
      .bare = uid_set_new(),
  };
}

static void listing_clear(Listing *listing) {
  index_rollback(listing->index);
  g_ptr_array_unref(listing->waiting);
  uid_set_free(listing->seen);
  uid_set_free(listing->bare);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Listing, listing_clear)

static bool write_message(Listing *listing, const MailboxMessage *message, GError **error) {
  listing->added++;
  return index_add_message(listing->index, listing->folder, listing->generation,
                           listing->uidvalidity, message, now_ns(), error);
}

static bool write_flags(Listing *listing, const MailboxMessage *message, GError **error) {
  return index_set_flags(listing->index, listing->folder, listing->generation, message->uid,
                         message->flags, error);
}

typedef bool (*WriteOne)(Listing *listing, const MailboxMessage *message, GError **error);

static bool flush(Listing *listing, WriteOne write_one, GError **error) {
  if (listing->waiting->len == 0) return true;
  if (!index_begin(listing->index, error)) return false;
  for (unsigned i = 0; i < listing->waiting->len; i++) {
    if (!write_one(listing, listing->waiting->pdata[i], error)) return false;
  }
  g_ptr_array_set_size(listing->waiting, 0);
  listing->waiting_bytes = 0;
  return index_commit(listing->index, error);
}

static bool wait_for_flush(Listing *listing, const MailboxMessage *message, WriteOne write_one,
                           GError **error) {
  bool is_full = listing->waiting->len >= BATCH_ROWS || listing->waiting_bytes >= BATCH_BYTES;
  if (is_full && !flush(listing, write_one, error)) return false;
  g_ptr_array_add(listing->waiting, copy_message(message));
  listing->waiting_bytes += text_bytes(message);
  return true;
}

static void complete(const char **text, const char *told) {
  if (*text == NULL) *text = g_strdup(told);
}

// A server may tell one message in several responses, one behind the other (RFC 3501 7.4.2). What
// was told first stays; only flags change. False: this is another message than the last.
static bool complete_last(Listing *listing, const MailboxMessage *message) {
  unsigned n = listing->waiting->len;
  MailboxMessage *last = n > 0 ? listing->waiting->pdata[n - 1] : NULL;
  if (last == NULL || last->uid != message->uid) return false;
  if (message->flags != NULL) g_clear_pointer((char **)&last->flags, g_free);
  if (last->internaldate < 0) last->internaldate = message->internaldate;
  if (last->size < 0) last->size = message->size;
  complete(&last->flags, message->flags);
  complete(&last->from_name, message->from_name);
  complete(&last->from_address, message->from_address);
  complete(&last->subject, message->subject);
  complete(&last->date, message->date);
  complete(&last->message_id, message->message_id);
  listing->waiting_bytes += text_bytes(message);
  return true;
}

static bool is_bare(const MailboxMessage *message) {
  return message->internaldate < 0 && message->size < 0 && message->subject == NULL &&
         message->from_address == NULL && message->from_name == NULL && message->date == NULL &&
         message->message_id == NULL;
}

static bool take_summary(const MailboxMessage *message, gpointer data, GError **error) {
  Listing *listing = data;
  uid_set_add(listing->seen, message->uid);
  if (complete_last(listing, message)) return true;
  // A change of flags that the server tells of in between looks like a message it knows nothing of;
  // the real answer comes before or after it.
  if (is_bare(message)) {
    uid_set_add(listing->bare, message->uid);
    return true;
  }
  return wait_for_flush(listing, message, write_message, error);
}

static bool take_flags(const MailboxMessage *message, gpointer data, GError **error) {
  Listing *listing = data;
  uid_set_add(listing->seen, message->uid);
  if (message->flags == NULL) return true;
  return wait_for_flush(listing, message, write_flags, error);
}

// Messages that the server has but tells nothing of are shown all the same.
static bool add_bare(Listing *listing, GError **error) {
  for (size_t i = 0; i < uid_set_n_ranges(listing->bare); i++) {
    UidRange range = uid_set_range(listing->bare, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++) {
      MailboxMessage message = {.uid = (uint32_t)uid, .internaldate = -1, .size = -1};
      if (!wait_for_flush(listing, &message, write_message, error)) return false;
    }
  }
  return flush(listing, write_message, error);
}

static bool add_from(Listing *listing, Mailbox *mailbox, uint32_t first, GError **error) {
  return mailbox_scan(mailbox, first, UINT32_MAX, MAILBOX_SUMMARY, take_summary, listing, error) &&
         flush(listing, write_message, error) && add_bare(listing, error);
}

static bool begin_listing(Listing *listing, GError **error) {
  return index_begin(listing->index, error) &&
         index_new_generation(listing->index, listing->folder, &listing->generation, error) &&
         index_commit(listing->index, error);
}

static bool list_anew(Index *index, Mailbox *mailbox, const IndexFolder *folder,
                      const MailboxStatus *status, Changes *changes, GError **error) {
  g_auto(Listing) listing;
  const IndexListener listener = {collect_removed, collect_changed, changes};
  listing_init(&listing, index, folder, status);
  if (!begin_listing(&listing, error)) return false;
  if (status->exists > 0 && !add_from(&listing, mailbox, 1, error)) return false;
  if (!index_begin(index, error) ||
      !index_end_sync(index, folder->ino, listing.generation, status, true, now_ns(), &listener,
                      error) ||
      !index_commit(index, error)) {
    return false;
  }
  changes_add_folder(changes, folder->ino);
  return true;
}

static bool remove_gone(Index *index, const IndexFolder *folder, const UidSet *gone,
                        const IndexListener *listener, GError **error) {
  for (size_t i = 0; i < uid_set_n_ranges(gone); i++) {
    if (!index_remove_range(index, folder->ino, folder->generation, uid_set_range(gone, i),
                            listener, error)) {
      return false;
    }
  }
  return true;
}

// Refreshes the flags of the messages up to `last` and tells which of them are still there.
static bool compare(Listing *listing, Mailbox *mailbox, uint32_t last, const MailboxStatus *status,
                    GError **error) {
  if (status->exists == 0 || last == 0) return true;
  return mailbox_scan(mailbox, 1, last, MAILBOX_FLAGS, take_flags, listing, error) &&
         flush(listing, write_flags, error);
}

static bool add_new(Listing *listing, Mailbox *mailbox, uint32_t last, const MailboxStatus *status,
                    GError **error) {
  bool none = status->exists == 0 || last == UINT32_MAX ||
              (status->uidnext != 0 && status->uidnext <= last + 1);
  if (none) return true;
  return begin_listing(listing, error) && add_from(listing, mailbox, last + 1, error);
}

static bool update(Index *index, Mailbox *mailbox, const IndexFolder *folder,
                   const MailboxStatus *status, Changes *changes, GError **error) {
  g_auto(Listing) listing;
  listing_init(&listing, index, folder, status);
  const IndexListener listener = {collect_removed, collect_changed, changes};
  g_autoptr(UidSet) known = index_uids(index, folder->ino, folder->generation, error);
  if (known == NULL) return false;

  uint32_t last = uid_set_last(known);
  if (!compare(&listing, mailbox, last, status, error)) return false;
  g_autoptr(UidSet) gone = uid_set_subtract(known, listing.seen);
  if (!add_new(&listing, mailbox, last, status, error)) return false;

  bool changed = listing.added > 0 || !uid_set_is_empty(gone);
  if (!index_begin(index, error) || !remove_gone(index, folder, gone, &listener, error) ||
      !index_adopt(index, folder->ino, folder->generation, listing.generation, last, error) ||
      !index_end_sync(index, folder->ino, folder->generation, status, changed, now_ns(), &listener,
                      error) ||
      !index_commit(index, error)) {
    return false;
  }
  if (changed) changes_add_folder(changes, folder->ino);
  return true;
}

bool sync_folder(Index *index, Mailbox *mailbox, const IndexFolder *folder,
                 const MailboxStatus *status, Changes *changes, GError **error) {
  // UIDs that count backwards mean another mailbox under the old name (a restored backup).
  bool same_mailbox = folder->listed && folder->uidvalidity == status->uidvalidity &&
                      (status->uidnext == 0 || status->uidnext >= folder->uidnext);
  return same_mailbox ? update(index, mailbox, folder, status, changes, error)
                      : list_anew(index, mailbox, folder, status, changes, error);
}
