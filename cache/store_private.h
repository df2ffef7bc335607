// What the files of the store share. For cache/store*.c only; all of it is the main loop's.
//
//   store.c           life
//   store_tree.c      reading the tree
//   store_listing.c   listings: who waits for one, what makes one old, news
//   store_bodies.c    bodies: who waits for one, and what becomes of what came
//   store_ahead.c     bodies that are fetched before anybody waits for them
//   store_kept.c      bodies fetched ahead that are kept open
//   store_large.c     large bodies that arrive while they are read
//   store_removal.c   what users removed: asked of the server until it has confirmed it
//   store_archive.c   what goes into the archive, and what is fetched for it
//   store_link.c      whether the server can be reached, and when it is tried again
#pragma once

#include "cache/body.h"
#include "cache/clock.h"
#include "cache/index.h"
#include "cache/job_board.h"
#include "cache/keeper.h"
#include "cache/queue.h"
#include "cache/readahead.h"
#include "cache/report.h"
#include "cache/session.h"
#include "cache/store.h"

// What one session watches.
typedef struct {
  MailboxWatch watch;
  char *folder;  // WATCHES_FOLDER
} Watched;

// What users removed and the server has not confirmed.
typedef struct {
  GHashTable *ids;  // set of strings
  bool is_asked;    // a job for them is under way, or what came of it is being noted
  unsigned n_failed;
  bool is_told;      // that the server refuses some of them
  int64_t first_us;  // when the first of those was removed that are to be asked for next
  GSource *timer;    // NULL: the next try is not set
} Removals;

// The way of all mail into the archive: round after round, until nothing is left.
typedef struct {
  bool is_busy;     // a round or a fetch is under way
  bool again;       // there is something new, perhaps where the rounds have been
  bool is_full;     // the archive could not take more at the last try
  uint64_t after;   // the next round begins behind it
  uint64_t asked;   // what is up to there was fetched, or could not be had
  unsigned n_jobs;  // fetching for it
  bool has_failed;  // one of them did
  GPtrArray *held;  // of StoreBody: came for it; not to be evicted before the next round
  GSource *retry;   // NULL: none is set
  GSource *poll;    // the next look for what is new
} Archiving;

struct Store {
  char *directory, *index_path;
  char *reserved;
  char **folders;
  unsigned refresh_s, n_sessions, timeout_ms;
  const MailboxTraits *traits;
  GMainContext *main_context;
  Index *index;      // for reading, see store_index
  GSource *refresh;  // ready when what was read is to be let go of
  BodyStore *bodies;
  JobBoard *board;
  Post *reports;
  SessionContext context;
  Session **sessions;  // NULL: not started
  StoreListener listener;
  gpointer listener_data;
  // Listings.
  GHashTable *syncs;     // ino -> Sync
  GHashTable *dirty;     // set of folders that changed on the server since they were synchronised
  GHashTable *lamented;  // set of folders of which it was told that they cannot be listed
  Watched *watched;      // by session
  // Bodies.
  GHashTable *fetches;      // ino -> Fetch
  GHashTable *larges;       // ino -> Large
  GHashTable *arrived;      // ino -> Arrived: came, and the index does not know yet, or never will
  GHashTable *editions;     // ino -> uint64_t, of messages that have more than one
  GHashTable *unfetchable;  // ino -> until when, monotonic microseconds
  GQueue kept;              // of StoreBody: fetched ahead, for readers who come soon
  uint64_t kept_bytes;
  GSource *kept_timer;    // NULL: none is kept
  ReadAhead *readahead;   // NULL: nothing is fetched ahead
  uint64_t ahead_bytes;   // how far ahead of a reader, in all
  uint64_t batch_bytes;   // the most that is fetched ahead in one job
  uint64_t whole_bytes;   // a message that is larger is not fetched ahead
  int64_t slow_until_us;  // the server asked for patience: nothing is fetched ahead
  // What must survive.
  Keeper *keeper;  // NULL: nothing has to
  StoreRemoval removal;
  Removals removals;
  bool keeps_forever;
  Archiving archiving;
  // The server.
  bool was_online;  // at least once
  GError *problem;  // why the last try to connect failed; NULL: it did not
  // Why the server let nobody in at the last try, though it can be reached: another client has the
  // mailbox, or the last login was a moment ago. It is tried again then. NULL: not so.
  GError *shut;
  int64_t shut_until_us;
  unsigned n_shut;  // tries, one after the other
  int64_t retry_at_us;
  unsigned retry_s, n_probes;
  int64_t connected_ahead_us;  // when that was done last; 0: never
  unsigned n_lost;
  int64_t lost_at_us;     // when the watching connection broke last; 0: never
  GSource *probe_timer;   // NULL: the next try is not set
  GSource *confirmation;  // all folders are to be compared; NULL: not so
  ClockWatch *clock;
};

typedef enum { TICKET_SYNC, TICKET_FETCH, TICKET_WANT, TICKET_REMOVE } TicketKind;
struct StoreTicket {
  TicketKind kind;
  Store *store;
  gpointer owner;  // Sync, Fetch or Large
  StoreDone done;
  StoreFetched fetched;
  uint64_t offset, size;  // TICKET_WANT
  gpointer data;
};
// The index, as it was at the last report or a few milliseconds ago: what sessions have written
// since is seen when they tell of it.
Index *store_index(Store *store);
StoreTicket *store_ticket_new(Store *store, TicketKind kind, gpointer owner, GPtrArray *tickets);
// Callbacks may cancel other tickets of the same list: each is out of it before its call. NULL:
// none.
StoreTicket *store_ticket_next(GPtrArray *tickets);
// The default: the answer to a job sends itself back with this error (taken), on the main loop.
void store_send_back(Store *store, Job *job, GError *error);
// Calls on the main loop in so many milliseconds. The caller's reference.
GSource *store_call_in(Store *store, int64_t delay_ms, GSourceFunc call, gpointer data);

// store_link.c
// Why the server is not asked now; NULL: it is. patient: the caller has an older answer.
GError *store_known_problem(Store *store, bool patient);
void store_note_connection(Store *store, const Job *job);
// The connection that watched broke: it is built anew soon.
void store_note_lost(Store *store, const GError *error);
void store_probe(Store *store);
// Somebody reads, or will soon: the connections for that are built now, not one after the other as
// they are needed.
void store_connect_ahead(Store *store);
// The server asked for patience: how long to wait before the nth try of this job.
unsigned store_note_busy(Store *store, const GError *error, unsigned attempt);
// The server lets nobody in for now.
bool store_is_shut(const Store *store);

// store_listing.c
void store_end_listing(Store *store, Job *job);
void store_tell_changes(Store *store, const Changes *changes);
void store_note_news(Store *store, const Report *report);
void store_note_watch(Store *store, const Report *report);
void store_cancel_sync(StoreTicket *ticket);
void store_free_sync(gpointer sync);

// store_bodies.c
typedef struct {
  uint64_t size;
  bool on_disk, recorded;
  StoreBody *kept;  // NULL: to be opened
} Arrived;
void store_note_body(Store *store, const Report *report);
void store_end_bodies(Store *store, Job *job);
void store_cancel_fetch(StoreTicket *ticket);
void store_free_fetch(gpointer fetch);
// The body comes with this job, and nobody waits for it.
void store_expect_body(Store *store, uint64_t ino, uint64_t folder, Job *job);
// The server did not give it a moment ago.
bool store_is_unfetchable(Store *store, uint64_t ino);

// store_ahead.c
// A message that is larger comes in parts, where these can be had.
#define STORE_WHOLE_MAX_BYTES (JOB_FIRST_BYTES + JOB_TAIL_BYTES)
void store_make_readahead(Store *store, uint64_t max_bytes);
// Fetches messages for the archive, after all else; those that are on their way, or
// that the server does not give, are left out.
void store_fetch_for_archive(Store *store, uint64_t folder, const IndexStep *steps, unsigned n);

// store_removal.c
void store_start_removals(Store *store);
// The server can be asked again.
void store_hurry_removals(Store *store);
void store_end_expunge(Store *store, Job *job);
void store_cancel_removal(StoreTicket *ticket);
void store_clear_removals(Store *store);

// store_archive.c
// Looks for mail from now on, whether anybody reads or not.
void store_start_archive(Store *store);
// There may be something new for the archive.
void store_archive(Store *store);
// A body that came for it.
void store_hold_for_archive(Store *store, StoreBody *body);
// One of its jobs is done; error: NULL if it did what it could.
void store_end_archive_fetch(Store *store, const GError *error);
// A message's body in the archive, opened; NULL: it is not there.
StoreBody *store_archived(Store *store, uint64_t ino);
void store_clear_archive(Store *store);

// store_kept.c
// Keeps a body that came for a reader to come, or closes it.
void store_keep(Store *store, Arrived *arrived, StoreBody *body);
// The body is the caller's again.
StoreBody *store_take_kept(Store *store, Arrived *arrived);
void store_drop_kept(Store *store);
// What came is known from here for as long as the index does not know it, or it is kept.
void store_forget_recorded(Store *store, const Arrived *arrived, uint64_t ino);

// store_copy.c
void store_end_copy(Store *store, Job *job);

// store_large.c
// A body that is arriving.
typedef struct Large Large;
struct StoreBody {
  unsigned refs;
  uint64_t ino, size;
  int fd;
  Large *large;  // NULL: whole
  GList *kept;   // its link in the store's list; NULL: it is in none
  int64_t kept_us;
};
StoreBody *store_body_new(uint64_t ino, int fd, uint64_t size);
// What is here of a large message, open once more; NULL: nobody has it open, and nothing is under
// way for it.
StoreBody *store_large_share(Store *store, uint64_t ino);
// From the job that opened it, which gives up its writer if the message is not open already.
StoreBody *store_large_open(Store *store, Job *opening);
void store_note_part(Store *store, const Report *report);
void store_end_part(Store *store, Job *job);
void store_end_seal(Store *store, Job *job);
void store_cancel_want(StoreTicket *ticket);
void store_free_large(gpointer large);
