// The OutboxJournal is what the outbox knows of its letters on disk: a SQLite database
// (WAL), a row a letter, a row for each recipient that a server has answered for,
// and the bytes of letters that are not known to be in their files yet. It is never rebuilt and
// never overwritten: what it says is all that is known.
//
// One thread at a time: the one that opens it, then the spool thread.
//
// Errors are an OUTBOX_ERROR whose code is an errno: ENOSPC for a full disk, else EIO.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>

#include "cache/envelope.h"

typedef struct OutboxJournal OutboxJournal;

// Stored as numbers: never renumbered.
typedef enum {
  OUTBOX_OPEN = 1,       // being written
  OUTBOX_DRAFT = 2,      // closed, but not to be sent: its name, no bytes, an editor's lock
  OUTBOX_HELD = 3,       // committed; may still be continued or cancelled
  OUTBOX_QUEUED = 4,     // waits for the courier
  OUTBOX_SENDING = 5,    // with the courier; never stored
  OUTBOX_SENT_DATA = 6,  // its last bytes may have gone out
  OUTBOX_ACCEPTED = 7,   // the server has taken it, all that is left is to remove it
  OUTBOX_FAILED = 8,     // in failed/
  OUTBOX_KEPT = 9,       // has lost its name, by whom may be about to put another in its place
} OutboxPhase;

// A letter as stored. Strings are owned.
typedef struct {
  uint64_t id;         // names its file in letters/
  uint64_t ino;        // st_ino; its NAME.error has ino + 1
  uint64_t directory;  // OUTBOX_INO or OUTBOX_FAILED_INO
  char *name;
  OutboxPhase phase;
  mode_t mode;
  int64_t atime_ns, mtime_ns, ctime_ns;
  int64_t queued_at;  // seconds since 1970, when it was committed
  unsigned attempts;
  int64_t next_try;  // seconds since 1970
  // Given at commit, the same at every try: see LetterDefaults. NULL or 0: not yet.
  char *message_id, *from;
  int64_t date;
  char *error;  // FAILED: the text of NAME.error; else what the last try came to. NULL: nothing
  // Of its bytes, since it was last empty; so is what is known of recipients.
  // It is not whole: the errno of a write that failed, ECANCELED: who wrote it was killed,
  // EOWNERDEAD: we ended meanwhile. 0: none of these.
  int broken;
  bool perhaps_sent;    // a try ended after its last bytes, without an answer
  bool copied;          // a copy is kept, or none is wanted
  int64_t accepted_at;  // seconds since 1970, when somebody got it last; 0: not known
  Envelope envelope;
  char *origin;  // the drop it was taken from, see drop.h; NULL: none
} OutboxRow;

void outbox_row_copy(OutboxRow *to, const OutboxRow *from);
void outbox_row_clear(OutboxRow *row);
// True from commit until the server has taken it.
bool outbox_phase_is_waiting(OutboxPhase phase);
// "held", "queued" ...: what users are shown.
const char *outbox_phase_name(OutboxPhase phase);

// What a server said for one recipient; what is not stored is still to be asked.
typedef struct {
  char *address;
  int verdict;  // SenderVerdict
  char *reply;
} OutboxRecipient;

OutboxRecipient *outbox_recipient_new(const char *address, int verdict, const char *reply);
void outbox_recipient_free(OutboxRecipient *recipient);
OutboxRecipient *outbox_recipient_copy(const OutboxRecipient *recipient);

// Opens the journal at `path` or makes an empty one; one of an earlier version is brought up to
// this one, whole or not at all. One that cannot be read, of another version, or not a journal at
// all is left as it is: EIO.
OutboxJournal *outbox_journal_open(const char *path, GError **error);
// Opens one that is there only for outbox_journal_load; whoever has it open for writing is not
// disturbed. EIO also for one of an earlier version.
OutboxJournal *outbox_journal_open_to_read(const char *path, GError **error);
void outbox_journal_free(OutboxJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OutboxJournal, outbox_journal_free)

// Calls `each` for every letter by rising ino, `recipients` of OutboxRecipient; both are lent.
typedef void (*OutboxJournalEach)(const OutboxRow *row, GPtrArray *recipients, gpointer data);
bool outbox_journal_load(OutboxJournal *journal, OutboxJournalEach each, gpointer data,
                         GError **error);
// How many letters wait in the journal at `path`, which may belong to another account: reads only,
// 0 if there is none.
unsigned outbox_journal_count(const char *path);

// One transaction; a rollback leaves no trace. durable: the commit reaches the disk before it
// returns; else it survives the end of this process but not a power failure.
bool outbox_journal_begin(OutboxJournal *journal, bool durable, GError **error);
bool outbox_journal_commit(OutboxJournal *journal, GError **error);
void outbox_journal_rollback(OutboxJournal *journal);

// Stores a letter with all that belongs to it, as new or over what was known of that id.
bool outbox_journal_put(OutboxJournal *journal, const OutboxRow *row, GPtrArray *recipients,
                        GError **error);
// Stores ino, directory, name, mode and times only: phase and recipients may be the courier's now.
bool outbox_journal_relabel(OutboxJournal *journal, const OutboxRow *row, GError **error);
// Stores a phase and the recipients just answered for (NULL: none).
bool outbox_journal_advance(OutboxJournal *journal, uint64_t id, OutboxPhase phase,
                            GPtrArray *recipients, GError **error);
// Stores `copied` and `accepted_at` only.
bool outbox_journal_note_copy(OutboxJournal *journal, const OutboxRow *row, GError **error);
bool outbox_journal_remove(OutboxJournal *journal, uint64_t id, GError **error);

// The bytes of a letter that has a row, as they were when it was last made durable: kept for as
// long as its file may not be on the disk. A new one replaces the old; one that is not there is
// dropped too.
bool outbox_journal_put_content(OutboxJournal *journal, uint64_t id, GBytes *content,
                                GError **error);
bool outbox_journal_drop_content(OutboxJournal *journal, uint64_t id, GError **error);
bool outbox_journal_drop_contents(OutboxJournal *journal, GError **error);
typedef struct {
  uint64_t id;
  OutboxPhase phase;
  const void *bytes;
  size_t size;
} OutboxContent;
// Calls `each` for those of letters that are still wanted, one at a time in memory, until one
// fails; the content is lent.
typedef bool (*OutboxJournalEachContent)(const OutboxContent *content, gpointer data,
                                         GError **error);
bool outbox_journal_each_content(OutboxJournal *journal, OutboxJournalEachContent each,
                                 gpointer data, GError **error);

// Numbers below *next were never given out by this journal, *next and above are free.
bool outbox_journal_numbers(OutboxJournal *journal, uint64_t *next, GError **error);
// Numbers below `next` count as given out from now on.
bool outbox_journal_reserve(OutboxJournal *journal, uint64_t next, GError **error);
