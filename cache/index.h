// An Index is one connection to an account's SQLite index: the inode table, and with it all that is
// known of the mailbox but the bytes of messages. It is a cache: it may be deleted at any time, and
// a broken one is rebuilt.
//
// One thread owns an Index. The main loop's is for reading only, never waits and never writes; each
// session thread that writes has one of its own. WAL lets them work side by side.
//
// What a listing shows: a folder row that is not gone, and the message rows that are neither gone
// nor hidden and carry their folder's generation. A listing that is being built carries a
// generation of its own, which becomes the folder's in one commit: no reader sees half of it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "cache/inode.h"
#include "net/mailbox.h"
#include "net/uid_set.h"

typedef struct Index Index;

#define INDEX_ERROR index_error_quark()
GQuark index_error_quark(void);
typedef enum {
  INDEX_ERROR_SQLITE,   // the disk or the database; the message says which call
  INDEX_ERROR_FULL,     // the disk has no room for it
  INDEX_ERROR_CORRUPT,  // not a database, another version, another account: index_create it anew
} IndexError;

typedef enum {
  INDEX_FOUND,
  INDEX_ABSENT,
  INDEX_BUSY,    // a writer is in the way for a moment
  INDEX_FAILED,  // logged
} IndexAnswer;

// Makes the index file of `owner` ("user@host") if there is none. Blocks on the disk. CORRUPT: the
// file is of no use; delete it and its bodies, and call again.
bool index_create(const char *path, const char *owner, GError **error);
typedef enum { INDEX_READ, INDEX_WRITE } IndexMode;
// A connection to an index that exists.
Index *index_open(const char *path, IndexMode mode, GError **error);
void index_free(Index *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Index, index_free)
// Messages are named UID.eml instead of by their stored names.
void index_use_uid_names(Index *index);
// Makes their order (INDEX_BY_NAME) one that is not sorted anew each time. Within a transaction.
bool index_order_by_uid_names(Index *index, GError **error);

// -- Reading; no call blocks in INDEX_READ mode. There, all reads see the index as of the first one
// after index_refresh, so that many of them cost the file's locks once; held for long, it would
// keep the writers' log from being folded in.
void index_refresh(Index *index);
bool index_is_fresh(const Index *index);  // nothing was read since
IndexAnswer index_get(Index *index, uint64_t ino, Inode *inode);
IndexAnswer index_lookup(Index *index, uint64_t parent, const char *name, Inode *inode);
// Children with ino > after, rising, until `each` returns false.
typedef bool (*IndexEach)(const Inode *inode, gpointer data);
IndexAnswer index_children(Index *index, uint64_t folder, uint64_t after, IndexEach each,
                           gpointer data);

// A folder's row: what synchronisation has to know. Strings live until index_folder_clear.
typedef struct {
  uint64_t ino, parent;
  char *server_name;  // "" for the root
  char delimiter;
  unsigned attributes;   // MailboxAttributes
  MailboxStatus status;  // of the server when the listing was made
  // The highest UID that was ever given to one of its messages here, where the server has no UIDs
  // (MailboxTraits.has_uids): it is never given again. 0: none was.
  uint32_t last_number;
  uint32_t n_messages;  // in the index, those of a listing under way too
  uint64_t generation;
  bool listed;
  int64_t synced_ns;  // since 1970, 0: never
  bool gone;
} IndexFolder;
IndexAnswer index_folder(Index *index, uint64_t ino, IndexFolder *folder);
// The folder that the server calls so.
IndexAnswer index_folder_named(Index *index, const char *server_name, IndexFolder *folder);
void index_folder_clear(IndexFolder *folder);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(IndexFolder, index_folder_clear)

// Where a message's bytes are to be had.
typedef struct {
  uint64_t folder;
  uint32_t uidvalidity, uid;
  bool gone, has_body;
  uint64_t size;
  bool size_exact;
  int64_t announced;  // RFC822.SIZE, -1: not told
  bool has_email_id;
} IndexMessage;
IndexAnswer index_message(Index *index, uint64_t ino, IndexMessage *message);
// The same mail in another folder (one EMAILID) whose body is here.
IndexAnswer index_twin(Index *index, uint64_t ino, uint64_t *twin, uint64_t *size);
// Whether the archive has the message, its id (newly allocated) and size.
IndexAnswer index_archived(Index *index, uint64_t ino, char **id, uint64_t *size);
// The digest (32 bytes) of a body; false: not known.
bool index_digest(Index *index, uint64_t ino, uint8_t *sha256);

// The messages that a folder shows, in the orders in which readers go through them; names are those
// that are shown.
typedef enum { INDEX_BY_INO, INDEX_BY_NAME, INDEX_BY_UID, INDEX_N_ORDERS } IndexOrder;
typedef struct {
  uint64_t ino;
  uint32_t uid;
  uint64_t size;
  bool size_exact, has_body, has_email_id;
} IndexStep;
// Tells what follows message `after` in `folder`, until `each` returns false.
typedef bool (*IndexStepFunc)(const IndexStep *step, gpointer data);
IndexAnswer index_following(Index *index, uint64_t folder, IndexOrder order, uint64_t after,
                            IndexStepFunc each, gpointer data);

typedef enum {
  INDEX_UID,  // or the id, where the server has no UIDs
  INDEX_FLAGS,
  INDEX_FROM,
  INDEX_SUBJECT,
  INDEX_DATE,
  INDEX_MESSAGE_ID,
  INDEX_FOLDER_NAME,
} IndexDetail;
// Newly allocated text; FOUND with NULL: there is no such detail.
IndexAnswer index_detail(Index *index, uint64_t ino, IndexDetail detail, char **text);

typedef struct {
  uint64_t used_bytes, limit_bytes, messages;
} IndexUsage;
IndexAnswer index_usage(Index *index, IndexUsage *usage);

// -- Writing; may wait some seconds for another writer. All are part of the transaction between
// begin and commit; a rollback (or an Index freed in between) leaves no trace.
bool index_begin(Index *index, GError **error);
bool index_commit(Index *index, GError **error);
void index_rollback(Index *index);

// What a write did is told as it is done; it is true once the transaction is committed.
typedef struct {
  void (*removed)(uint64_t parent, uint64_t ino, const char *name, gpointer data);
  void (*added)(uint64_t parent, uint64_t ino, const char *name, gpointer data);
  void (*changed)(uint64_t folder, gpointer data);  // the listing of `folder`
  gpointer data;
} IndexListener;

// The folder tree. begin_tree marks all folders; put_folder adds one or unmarks it (names are made
// here, reserved: see name_folder); end_tree makes those still marked gone and tells what changed.
// Folders that changed get a new mtime.
bool index_begin_tree(Index *index, GError **error);
bool index_put_folder(Index *index, const MailboxFolder *folder, const char *reserved,
                      GError **error);
bool index_end_tree(Index *index, int64_t now_ns, const IndexListener *listener, GError **error);

// Messages of a folder. Begins a listing, out of sight, under a generation never used before; one
// that was begun earlier and not ended is given up.
bool index_new_generation(Index *index, uint64_t folder, uint64_t *generation, GError **error);
// Messages being added to a generation, over any number of transactions. The caller sets the first
// three; the rest is the index's.
typedef struct {
  uint64_t folder, generation;
  int64_t now_ns;
  uint32_t last_uid;     // no message above it was added
  uint32_t last_number;  // nor was such a UID given by us
  bool has_ids;          // some messages of the folder are called by other than their UIDs
  uint64_t n, bytes;     // added since the last count
} IndexAddition;
bool index_begin_addition(Index *index, IndexAddition *addition, GError **error);
// One that is there already is passed over. A message that comes with its header is known by its id
// and by what the header says (cache/summary.h): it is as old as its Date, but not newer than now.
bool index_add_message(Index *index, IndexAddition *addition, const MailboxMessage *message,
                       GError **error);
// Before each commit: the folder holds so many more, and UIDs of ours up to the last are given.
bool index_count_addition(Index *index, IndexAddition *addition, GError **error);
// Stores flags where they differ; a UID that is not known is passed over.
bool index_set_flags(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                     const char *flags, GError **error);
// The UIDs a generation holds, and the highest of them (0: none).
UidSet *index_uids(Index *index, uint64_t folder, uint64_t generation, GError **error);
bool index_last_uid(Index *index, uint64_t folder, uint64_t generation, uint32_t *uid,
                    GError **error);
// How many it holds below a UID.
bool index_count_below(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                       uint32_t *count, GError **error);
bool index_has_uid(Index *index, uint64_t folder, uint64_t generation, uint32_t uid, bool *has,
                   GError **error);
// The UID of the message that a server without UIDs calls so; 0: there is none. One that it does
// not list any more, and that stays, is meant only if it lists nothing else under that name.
bool index_number(Index *index, uint64_t folder, uint64_t generation, const char *called,
                  uint32_t *uid, GError **error);
// A server without UIDs refuses what a message that it calls so is to be named by. Since when: of
// all listings that ended, or were tried, one behind the other. Also without a transaction.
bool index_note_refusal(Index *index, const char *called, int64_t now_ns, int64_t *since_ns,
                        GError **error);
// Those of which nothing was noted from then on are forgotten.
bool index_forget_refusals(Index *index, int64_t before_ns, GError **error);
// What the server listed last of what has an id here. uid 0: it did not.
typedef struct {
  uint32_t uid;
  bool is_hidden;  // a user removed it
  bool has_twins;  // the server calls others the same
} IndexListed;
bool index_listed(Index *index, uint64_t folder, uint64_t generation, const char *id,
                  IndexListed *listed, GError **error);
// The inode of the message with that UID; 0: there is none.
bool index_ino(Index *index, uint64_t folder, uint64_t generation, uint32_t uid, uint64_t *ino,
               GError **error);
// Whether the message with that UID, of which the server announces that size by now (-1: none), is
// certainly the one that we know: it always had it, and is shown as one of the server's. What a
// user removed, or what the server did not list for a while, may be another by now.
bool index_is_certain(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                      int64_t size, bool *is_certain, GError **error);
// Whether the message with that UID is the one with that header: it has the same Message-ID, date,
// sender and subject; without a header (NULL) if it has none of these, and was announced with that
// size. Its announced size is then the one told; else what a user removed under its id is not what
// the server calls so by now, which will not be hidden.
bool index_compare(Index *index, uint64_t folder, uint64_t generation,
                   const MailboxMessage *message, bool *is_same, GError **error);
// Makes the messages of a range gone, telling each; of those that are hidden nothing is told. Those
// that are archived stay, as what the server does not list; where all is to be kept, those with a
// body too.
bool index_remove_range(Index *index, uint64_t folder, uint64_t generation, UidRange range,
                        const IndexListener *listener, GError **error);
// Of those that stayed so, these are listed again.
bool index_note_present(Index *index, uint64_t folder, uint64_t generation, const UidSet *present,
                        GError **error);
// Shows what was listed under `from`, all of it above `after_uid`, as messages of `generation`;
// tells the first `max_told` of them as added.
bool index_adopt(Index *index, uint64_t folder, uint64_t generation, uint64_t from,
                 uint32_t after_uid, unsigned max_told, const IndexListener *listener,
                 GError **error);
// The server has renumbered the folder: messages of `generation` that are certainly those of `old`
// again keep the old one's inode, name and body. That is by EMAILID, else by Message-ID, date,
// size, sender and subject, where no other message has the same, or as many as before and all of
// those had the same bytes. The others are new messages. `uidvalidity` tells apart the names of new
// messages whose UID was another's.
bool index_rematch(Index *index, uint64_t folder, uint64_t old, uint64_t generation,
                   uint32_t uidvalidity, GError **error);
// Ends the listing: makes `generation` the folder's, and what carried another one gone, telling
// each. changed: the listing differs, so the folder's mtime moves.
bool index_end_sync(Index *index, uint64_t folder, uint64_t generation, const MailboxStatus *status,
                    bool changed, int64_t now_ns, const IndexListener *listener, GError **error);
// The server's state of a folder that was not looked into: if it is the listing's, the listing is
// as of now (`current`).
bool index_note_status(Index *index, const char *server_name, const MailboxStatus *status,
                       int64_t now_ns, uint64_t *folder, bool *current, GError **error);
bool index_set_quota(Index *index, const MailboxQuota *quota, GError **error);

// A body came: its exact size and digest (32 bytes) are known from now on. on_disk: it can be had
// again; is_linked: it is the file of its twin (index_twin) too.
bool index_set_body(Index *index, uint64_t ino, uint64_t size, const uint8_t *sha256, bool on_disk,
                    bool is_linked, int64_t now_ns, GError **error);
// Its exact size is known, the body is not here.
bool index_set_size(Index *index, uint64_t ino, uint64_t size, GError **error);
// The body was read: it is not among the first to be evicted.
bool index_touch_body(Index *index, uint64_t ino, int64_t now_ns, GError **error);
// The body is no longer on disk.
bool index_forget_body(Index *index, uint64_t ino, GError **error);
// What all bodies on disk take; those that are one file count once.
bool index_cached_bytes(Index *index, uint64_t *bytes, GError **error);
// Tells bodies on disk, the least recently used first, until `each` returns false; not those that
// nobody has any more.
typedef bool (*IndexBodyFunc)(uint64_t ino, uint64_t size, gpointer data);
bool index_oldest_bodies(Index *index, IndexBodyFunc each, gpointer data, GError **error);

// Forgets for good what is gone or was never finished, telling the inodes whose bodies can go.
// Only before anything is mounted.
bool index_purge(Index *index, void (*body_gone)(uint64_t ino, gpointer data), gpointer data,
                 GError **error);
