// The OutboxSpool is the thread that waits for the disk, so that the main loop never does. It owns
// the journal and takes SpoolJobs, in order. Those of an OutboxBatch share one group commit: their
// letters are checked; large ones are fsynced, and then the directory; then comes one transaction
// for all rows and the bytes of small letters (see outbox_inline.h), then files that are no more
// wanted are removed; only then is each answered. If the shared commit fails, each job is tried by
// itself, so that one cannot spoil another; what must not be lost has the space of the
// OutboxReserve then.
//
//   main loop, courier ──SpoolJob──> spool thread ──the same SpoolJob──> main loop, or a Queue
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/outbox_journal.h"
#include "cache/queue.h"

typedef struct OutboxSpool OutboxSpool;

typedef enum {
  SPOOL_NO_CHANGE,
  SPOOL_PUT,      // row and recipients
  SPOOL_RELABEL,  // row's name, place, mode and times
  SPOOL_ADVANCE,  // row.phase and recipients; only row.id and row.phase are set
  SPOOL_COPY,     // row.copied and row.accepted_at; only these and row.id are set
  SPOOL_REMOVE,   // the row, and then the file, also on a full disk; only row.id is set
  SPOOL_RESERVE,  // numbers below row.id
  SPOOL_LIST,     // no row: `drops` becomes those after row.origin
} SpoolChange;

// One thing to do for one letter, and later its outcome. Belongs to whoever holds it.
typedef struct SpoolJob {
  bool check;    // letter_read; the row's from, message_id and date are the defaults
  bool sync;     // make the letter's bytes durable
  bool relaxed;  // need not survive a power failure
  bool vital;    // on a full disk, the reserve is given up for it
  bool patient;  // nobody waits for it: see OutboxBatch
  // For SPOOL_PUT: the letter is the drop row.origin, linked into letters/ before and removed from
  // incoming/ after. One that is refused, or lacks its letter, is stored as a draft.
  bool take;
  // The letter's file is made anew first, with the bytes of this one (owned); -1: it is there.
  int copied_fd;
  // Where `check` refuses the letter, the row is stored only if this is set.
  bool put_refused;
  uint64_t max_size;  // for `check`: of what may be sent; 0: not known
  SpoolChange change;
  OutboxRow row;          // owned
  GPtrArray *recipients;  // of OutboxRecipient, owned; may be NULL

  // Where the answer goes: to `reply` if that is set, else to the function on the main loop.
  Queue *reply;
  void (*done)(struct SpoolJob *job, gpointer data);
  gpointer done_data;
  gpointer detail;  // for `done`, with its own free function
  GDestroyNotify free_detail;

  // The outcome, each an OUTBOX_ERROR with an errno. refused: the letter is not fit to be sent
  // (EINVAL) or too large (EMSGSIZE); error: nothing of this job can be relied on.
  GError *refused, *error;
  GBytes *content;  // the bytes that are stored with the row; NULL: none are
  // The errno of an fsync that failed, 0: none did. What was written since the last one may be lost
  // and another fsync would not tell, see fsync(2).
  int unsynced;
  GPtrArray *drops;  // of Drop
  bool is_taken;     // `take`: the row is stored; with `error`: but the drop may still be there
} SpoolJob;

SpoolJob *spool_job_new(SpoolChange change);
void spool_job_free(SpoolJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SpoolJob, spool_job_free)

typedef struct {
  OutboxJournal *journal;    // taken
  int letters_fd;            // the directory of letters; stays the caller's
  int incoming_fd;           // that of drops; likewise
  const char *reserve_path;  // where the reserve is kept
  GMainContext *context;     // where answers are given
  gpointer data;             // for `done` and `unsynced`
  // Called on the main loop: the file of a letter that was made durable cannot be synced, with that
  // errno; what is read from it may not be what was written.
  void (*unsynced)(uint64_t id, int code, gpointer data);
  void (*after_step)(gpointer data);  // NULL, or called on the spool thread after each step
  gpointer step_data;
} OutboxSpoolOptions;

// Starts the thread.
OutboxSpool *outbox_spool_new(const OutboxSpoolOptions *options);
// Does what was asked for, ends the thread, frees answers nobody has taken. No other thread may
// push any more.
void outbox_spool_free(OutboxSpool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OutboxSpool, outbox_spool_free)
// Takes the job. Any thread.
void outbox_spool_push(OutboxSpool *spool, SpoolJob *job);
