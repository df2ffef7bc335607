// A Store is all of one account that a file system needs: its tree, its bodies, kept on disk and
// brought up to date by session threads behind it. The file system calls down, on the main loop's
// thread, and never waits: what disk can answer is answered at once, the rest by a callback on the
// main loop.
//
//   fs (main loop) ──> Store ──> Index (reading)
//                        │ jobs ──> session threads: Mailbox, Index (writing), Body files
//                        ^ results ──┘
//
// Every call is for the main loop's thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "cache/copy.h"
#include "cache/inode.h"
#include "net/mailbox.h"

typedef struct Store Store;

// What becomes of a message that a user removes.
typedef enum {
  STORE_REMOVES_NOTHING,  // the store is for reading
  STORE_REFUSES_REMOVAL,  // the user said so
  STORE_EXPUNGES,         // the server removes it for good; only with a state_directory
} StoreRemoval;

typedef struct {
  const Account *account;      // lives as long as the store
  const char *directory;       // the account's own cache directory, locked by the caller
  const char *const *folders;  // globs, `!` excludes; NULL or empty: all
  const char *reserved;        // a name no folder in the root may have (the outbox); NULL: none
  bool uid_names;              // names=uid
  unsigned refresh_s;          // how old a listing may be
  unsigned connections;        // at least 1, all
  uint64_t prefetch_bytes;     // how far bodies are fetched ahead of a reader; 0: never
  uint64_t cache_bytes;        // how much the bodies may take on disk; 0: as much as there is
  // The account's own state directory, locked by the caller, for removals and the archive of a
  // store without UIDs; NULL: it has neither.
  const char *state_directory;
  bool keeps_forever;  // what was once listed is put into the archive
  StoreRemoval removal;
  MailboxOpen open_mailbox;  // NULL: mailbox_open; tests put another server here
  // What kind of server it is; NULL: mailbox_traits of the account.
  const MailboxTraits *traits;
} StoreOptions;

// What is told, on the main loop, when the server's side has changed; the store is already new.
typedef struct {
  // `name` is no longer in `parent`; `ino` may still be open.
  void (*removed)(uint64_t parent, uint64_t ino, const char *name, gpointer data);
  // `name` is new in `parent`, which was listed before. Only told for up to STORE_ADDED_MAX of one
  // change; of more, `changed` alone tells.
  void (*added)(uint64_t parent, uint64_t ino, const char *name, gpointer data);
  // Something in the listing of `folder` is new, gone or renamed. `is_no_news`: those who watch it
  // know, or nobody does: it went by store_remove, or the folder had no listing before.
  void (*changed)(uint64_t folder, bool is_no_news, gpointer data);
} StoreListener;

#define STORE_ADDED_MAX 200

typedef enum {
  STORE_FOUND,
  STORE_ABSENT,
  STORE_LATER,   // the index is busy for a moment: ask again in some milliseconds
  STORE_FAILED,  // the index cannot be read; the log says why
} StoreAnswer;

typedef enum {
  STORE_FRESH,     // no older than refresh_s
  STORE_STALE,     // a listing is here; a newer one can be had
  STORE_UNLISTED,  // never listed as a whole
} StoreListing;

// Opens or creates the cache (a broken or foreign index is rebuilt: it is only a cache). `context`
// is the main loop's. Starts no thread and no connection.
Store *store_open(const StoreOptions *options, GMainContext *context, GError **error);
// Starts the sessions. `ready` is called once, on the main loop: without error after the first
// login and folder list, else with why not (the sessions go on trying when asked for something).
typedef void (*StoreDone)(const GError *error, gpointer data);
void store_start(Store *store, StoreDone ready, gpointer data);
// Cancels what is under way, without calling anyone back, says goodbye to the servers (about
// 1 s, 3 s while they still send) and frees all.
void store_free(Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_free)
void store_set_listener(Store *store, const StoreListener *listener, gpointer data);

// True when the root was listed once: the account can be shown without a network.
bool store_has_tree(Store *store);

// Reading the tree: from disk, at once.
StoreAnswer store_get(Store *store, uint64_t ino, Inode *inode);
StoreAnswer store_lookup(Store *store, uint64_t parent, const char *name, Inode *inode);
// Calls `each` for the children of `folder` with ino > `after`, by rising ino, until it returns
// false.
typedef bool (*StoreEach)(const Inode *inode, gpointer data);
StoreAnswer store_children(Store *store, uint64_t folder, uint64_t after, StoreEach each,
                           gpointer data);

// Details of a message as text, for extended attributes: newly allocated UTF-8, NULL if there is no
// such detail.
typedef enum {
  STORE_UID,
  STORE_FLAGS,  // separated by spaces
  STORE_FROM,   // "Name <address>", decoded
  STORE_SUBJECT,
  STORE_DATE,  // the header's words
  STORE_MESSAGE_ID,
  STORE_FOLDER,  // the server's folder, decoded, with its delimiter
} StoreDetail;
StoreAnswer store_detail(Store *store, uint64_t ino, StoreDetail detail, char **text);

// Asking the server. Each returns a ticket that lives until `done` was called or it was cancelled.
typedef struct StoreTicket StoreTicket;
// Never calls back after this; the work itself goes on where others wait for it or a retry profits.
void store_cancel(StoreTicket *ticket);

StoreListing store_listing(Store *store, uint64_t folder);
// Brings a folder's listing (the root: the folder tree) up to date; callers of one folder share one
// synchronisation. Errors: any NetError; HOST, OFFLINE and DENIED come at once while known, and
// where there is an older listing, that the server lets nobody in for now (BUSY).
StoreTicket *store_sync(Store *store, uint64_t folder, StoreDone done, gpointer data);

// A StoreBody is a message's body, held open. Its exact size is known; of a large one the bytes may
// still be arriving: what is ready can be read from the descriptor, the rest must be waited for.
typedef struct StoreBody StoreBody;
int store_body_fd(const StoreBody *body);  // the body's, until it is closed
uint64_t store_body_size(const StoreBody *body);
bool store_body_is_whole(const StoreBody *body);  // nothing of it is still to come
bool store_body_is_ready(const StoreBody *body, uint64_t offset, uint64_t size);
// Fetches what is missing of a range (cut at the body's end), and what a reader who goes on like
// this will want next. Errors: any NetError.
StoreTicket *store_want(Store *store, StoreBody *body, uint64_t offset, uint64_t size,
                        StoreDone done, gpointer data);

// A body that is here, whole on disk or a large one that is arriving; NULL: it must be fetched. To
// be closed like every body.
StoreBody *store_body(Store *store, uint64_t ino);
// How often the bytes of a message turned out to be, or may be, others than it had before: 0 but
// for servers that change what never changes, and for a large message that had to be fetched again.
// What is opened from now on is of this edition; what is open stays as it is.
uint64_t store_edition(Store *store, uint64_t ino);
void store_close_body(Store *store, StoreBody *body);
// Opens a body, fetching it: a small one whole, of a large one its first part and its end. Callers
// of one message share one fetch. `body`, the caller's, is NULL exactly if error is set; its size
// may not be what store_get told before.
// Errors: any NetError; GONE: the message was expunged; REFUSED, PROTOCOL, LIMIT: this message
// cannot be had.
typedef void (*StoreFetched)(StoreBody *body, const GError *error, gpointer data);
StoreTicket *store_fetch(Store *store, uint64_t ino, StoreFetched done, gpointer data);
// When bytes of any message came last, monotonic, to the second; 0: never. While they come, those
// who wait in line behind them get nearer.
int64_t store_progress_us(Store *store);

// Puts a letter that was sent into its folder, or looks whether it is there: see cache/copy.h,
// which is taken. `done` is told what came of this one try. Errors: any NetError; GONE: there is no
// such folder; UNSUPPORTED: the account's server takes no messages.
void store_copy(Store *store, Copy *copy, CopyDone done, gpointer data);

StoreRemoval store_removal(Store *store);
// Removes a message, of a store that expunges: when it is answered without error, the message is
// not shown any more, and never will be, and the server removes it as soon as it can be asked,
// whatever happens meanwhile; who has it open can go on reading. Errors: a LEDGER_ERROR whose code
// is an errno: ENOENT, ENOSPC, EIO, or ENOTSUP for a message that the server does not tell from
// another. Nothing is removed then. Cancelling the ticket does not take it back.
StoreTicket *store_remove(Store *store, uint64_t ino, StoreDone done, gpointer data);

// Bytes that the account holds and may hold, from the last synchronisation: never waits, limit 0 if
// the server has no quota.
void store_usage(Store *store, uint64_t *used, uint64_t *limit, uint64_t *messages);
