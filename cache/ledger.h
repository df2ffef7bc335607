// The Ledger is what must survive of an account's mail besides letters, a SQLite database (WAL,
// synchronous=FULL) in the state directory: a row for each message that a user removed, until its
// server has confirmed it, and one for each message in the archive, with all that the index tells
// of it. It is never rebuilt and never overwritten.
//
// A message is known by its id, which no other has that is here. It is what the server calls it,
// but for messages that the server calls as it did one that stays (`called` in the index); so what
// a user removed is deleted on the server only where what is called so has its size and its
// Message-ID.
//
// The account's index lies beside it on the same connection, so what passes between the two is
// plain SQL. The ledger decides: ledger_restore brings the index in line with it, whatever a crash
// came between, and makes an index that is new show what the archive has. Only for a store without
// UIDs, whose messages have ids (MailboxMessage.id) and lie in one folder, LEDGER_FOLDER.
//
//   removing    hide (index) ──> note (ledger) ──> forgotten by the server ──> settle ──> unnote
//                 └ the ledger fails ──> show again
//   archiving   the body lies in the archive ──> mark (index) ──> keep (ledger)
//                                 └ the ledger fails ──> unmark
//
// One thread at a time. May wait some seconds for another writer of the index. Errors are a
// LEDGER_ERROR whose code is an errno: ENOSPC for a full disk, else EIO unless said otherwise.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body.h"

typedef struct Ledger Ledger;

#define LEDGER_ERROR ledger_error_quark()
GQuark ledger_error_quark(void);

#define LEDGER_FOLDER "INBOX"
// The UIDVALIDITY of a folder whose numbers are ours (net/mailbox.h).
#define LEDGER_UIDVALIDITY 1

typedef struct {
  const char *path;
  const char *index_path;  // of an index that exists
  const char *owner;       // whose mail it is
  bool may_make;           // where there is none, or one of no bytes
} LedgerOptions;

// Opens the ledger and the index. One that cannot be read, of another version, of another owner's
// mail, no ledger at all or lost is left as it is: EIO. is_new: it was made, or had to be (ENOSPC).
// One that is there is opened on a full disk too; other programs have to wait for it then.
Ledger *ledger_open(const LedgerOptions *options, bool *is_new, GError **error);
void ledger_free(Ledger *ledger);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_free)

// How many messages the archive has.
bool ledger_count_kept(Ledger *ledger, uint64_t *count, GError **error);
// What the archive has, as it is asked of each that the ledger knows: a body that is not there is
// lost, and its message not in the archive, until a later start finds it. Tells how many are lost.
bool ledger_check(Ledger *ledger, bool (*is_there)(const char *id, uint64_t size, gpointer data),
                  gpointer data, uint64_t *n_lost, GError **error);
// What is known of a file of the archive's: it belongs there, its removal was asked for, or
// nothing.
typedef enum { LEDGER_KEEPS, LEDGER_REMOVES, LEDGER_KNOWS_NOT } LedgerFate;
LedgerFate ledger_fate(Ledger *ledger, const char *id);
// Brings the index in line; LEDGER_FOLDER must be there if the archive has anything. keeps: what is
// in the cache stays until it is archived, and the archive is a listing where the server told none.
// Before anything is mounted.
bool ledger_restore(Ledger *ledger, bool keeps, GError **error);
// The ids of all messages that were removed and not settled, as strings; the caller's.
GPtrArray *ledger_removals(Ledger *ledger, GError **error);

// One transaction, of changes on the ledger (on disk when commit returns) or on the index (need not
// be), never both: SQLite would not commit them as one.
bool ledger_begin(Ledger *ledger, GError **error);
bool ledger_commit(Ledger *ledger, GError **error);
void ledger_rollback(Ledger *ledger);

// A message by its inode. Newly allocated; NULL with error: ENOENT (it is not shown any more),
// EBUSY (the index is), ENOTSUP: it cannot be told for sure from others (several messages have one
// id, or it has none).
char *ledger_id_of(Ledger *ledger, uint64_t ino, GError **error);
// On the index. Hides a message, or shows it again. The folder's mtime moves. Hidden is the inode:
// a listing may have found another message under its id meanwhile.
bool ledger_hide(Ledger *ledger, uint64_t ino, int64_t now_ns, GError **error);
bool ledger_show(Ledger *ledger, const char *id, int64_t now_ns, GError **error);
// On the ledger: the message that is hidden, if it is, is to be removed, and is no longer in the
// archive.
bool ledger_note(Ledger *ledger, const char *id, int64_t now_ns, GError **error);
bool ledger_unnote(Ledger *ledger, const char *id, GError **error);
// On the index: the server does not have it any more. Tells the inodes whose bodies can go.
bool ledger_settle(Ledger *ledger, const char *id, void (*gone)(uint64_t ino, gpointer data),
                   gpointer data, GError **error);

// The messages that are shown and not in the archive, by rising ino from `after`, at most `most`.
typedef struct {
  uint64_t ino;
  char *id;
  uint32_t uid;
  uint64_t size;                      // announced, if no body ever came
  bool has_body;                      // in the cache, on disk
  bool has_digest;                    // of the body that came last
  bool is_absent;                     // the server does not have it any more
  uint8_t sha256[BODY_SHA256_BYTES];  // has_digest
} LedgerCandidate;
void ledger_candidate_clear(LedgerCandidate *candidate);
// An array of LedgerCandidate that clears them; the caller's.
GArray *ledger_candidates(Ledger *ledger, uint64_t after, unsigned most, GError **error);
// The archive has a body of that id whose bytes are not the candidate's.
bool ledger_keeps_other(Ledger *ledger, const LedgerCandidate *candidate);
// A message in the archive that the server had called the same, and has no more under that name, of
// the very bytes of this one: it is the same, called anew. 0: there is none.
uint64_t ledger_find_former(Ledger *ledger, uint64_t ino);
// On the index: the former is what the server lists as `ino`, which is gone.
bool ledger_take_over(Ledger *ledger, uint64_t former, uint64_t ino, GError **error);
// On the index: the message stays from now on, whatever its server lists; if it is still shown.
bool ledger_mark(Ledger *ledger, uint64_t ino, GError **error);
bool ledger_unmark(Ledger *ledger, uint64_t ino, GError **error);
// On the ledger: the archive has the body of a message that is marked; all that the index tells of
// it is written down.
bool ledger_keep(Ledger *ledger, uint64_t ino, GError **error);
// On the index: the body is not in the cache any more.
bool ledger_drop_body(Ledger *ledger, uint64_t ino, GError **error);
