#include "cache/job_board.h"

#include <pthread.h>
#include <time.h>

#include "cache/job_share.h"

// How long jobs of other folders wait behind those of the one that a session has open.
#define PATIENCE_US (50 * 1000)
// How long a job is kept for whoever was woken for it: a session that ends its watch on a line that
// is dead does not come.
#define CALL_US (100 * 1000)

typedef struct {
  pthread_cond_t wake;
  bool idle;
  Waker *waker;  // NULL: waits on the condition
  const char *open_folder;
  const Job *called_for;  // what it was woken for and has not seen yet; NULL: nothing
  int64_t called_us;
  int64_t barred_until_us;
} Seat;

struct JobBoard {
  pthread_mutex_t lock;  // guards all of it
  GQueue jobs;           // of Job, by priority, oldest first
  GHashTable *claims;    // set of folders
  bool closed, spread_listings;
  unsigned n_seats;
  Seat *seats;  // one for each session
};

JobBoard *job_board_new(unsigned n_sessions) {
  JobBoard *board = g_new0(JobBoard, 1);
  pthread_condattr_t monotonic;
  pthread_mutex_init(&board->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  board->n_seats = n_sessions;
  board->seats = g_new0(Seat, n_sessions);
  for (unsigned i = 0; i < n_sessions; i++)
    pthread_cond_init(&board->seats[i].wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
  board->claims = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_queue_init(&board->jobs);
  return board;
}

static void free_job(gpointer job) {
  job_free(job);
}

void job_board_free(JobBoard *board) {
  if (board == NULL) return;
  g_queue_clear_full(&board->jobs, free_job);
  g_hash_table_unref(board->claims);
  for (unsigned i = 0; i < board->n_seats; i++)
    pthread_cond_destroy(&board->seats[i].wake);
  pthread_mutex_destroy(&board->lock);
  g_free(board->seats);
  g_free(board);
}

static bool is_usable(const Seat *seat) {
  return seat->barred_until_us == 0 || seat->barred_until_us <= g_get_monotonic_time();
}

static unsigned count_usable(const JobBoard *board) {
  unsigned n = 0;
  for (unsigned i = 0; i < board->n_seats; i++)
    if (is_usable(&board->seats[i])) n++;
  return n;
}

// The place of a session among those that are not barred.
static unsigned rank_of(const JobBoard *board, unsigned session) {
  unsigned rank = 0;
  for (unsigned i = 0; i < session; i++)
    if (is_usable(&board->seats[i])) rank++;
  return rank;
}

static bool may_take(const JobBoard *board, unsigned session, const Job *job) {
  const JobShare share = {
      .session = session,
      .rank = rank_of(board, session),
      .n = count_usable(board),
      .spreads_listings = board->spread_listings,
  };
  return is_usable(&board->seats[session]) && job_share_has(&share, job);
}

// A session that can do the job without giving up what it has open, or opening a connection.
static bool fits(const Seat *seat, const Job *job) {
  return job->folder != NULL && g_strcmp0(seat->open_folder, job->folder) == 0;
}

// The idle session that should take `job`, or NULL if none may.
static Seat *choose_seat(JobBoard *board, const Job *job) {
  Seat *first = NULL;
  for (unsigned i = 0; i < board->n_seats; i++) {
    Seat *seat = &board->seats[i];
    if (!seat->idle || !may_take(board, i, job)) continue;
    if (fits(seat, job)) return seat;
    if (first == NULL) first = seat;
  }
  return first;
}

// Those who could do the job look how long it is kept for another.
static void wake_substitutes(JobBoard *board, const Job *job) {
  for (unsigned i = 0; i < board->n_seats; i++)
    if (board->seats[i].idle && board->seats[i].waker == NULL && may_take(board, i, job))
      pthread_cond_signal(&board->seats[i].wake);
}

static void wake_for(JobBoard *board, const Job *job) {
  for (unsigned i = 0; i < board->n_seats; i++)
    if (board->seats[i].called_for == job) return;
  Seat *seat = choose_seat(board, job);
  if (seat == NULL) return;
  seat->idle = false;
  seat->called_for = job;
  seat->called_us = g_get_monotonic_time();
  if (seat->waker == NULL) {
    pthread_cond_signal(&seat->wake);
    return;
  }
  waker_wake(seat->waker);
  wake_substitutes(board, job);
}

// A session that was woken for one job may have taken another: nothing that an idle one may do is
// left lying.
static void wake_for_all(JobBoard *board) {
  for (GList *link = board->jobs.head; link != NULL; link = link->next)
    wake_for(board, link->data);
}

static void forget_calls(JobBoard *board, const Job *job) {
  for (unsigned i = 0; i < board->n_seats; i++)
    if (board->seats[i].called_for == job) board->seats[i].called_for = NULL;
}

// Who was woken for a job is the right one for it: nobody else takes it on the way.
static bool is_called_for(const JobBoard *board, unsigned session, const Job *job) {
  for (unsigned i = 0; i < board->n_seats; i++) {
    const Seat *seat = &board->seats[i];
    if (i != session && seat->called_for == job)
      return g_get_monotonic_time() - seat->called_us < CALL_US;
  }
  return false;
}

static void pin_up(JobBoard *board, Job *job) {
  GList *before = board->jobs.tail;
  while (before != NULL && ((Job *)before->data)->priority > job->priority)
    before = before->prev;
  if (before == NULL)
    g_queue_push_head(&board->jobs, job);
  else
    g_queue_insert_after(&board->jobs, before, job);
  job->pinned_us = g_get_monotonic_time();
  wake_for(board, job);
}

void job_board_push(JobBoard *board, Job *job) {
  pthread_mutex_lock(&board->lock);
  pin_up(board, job);
  pthread_mutex_unlock(&board->lock);
}

static bool overlaps(const MailboxRange *a, const MailboxRange *b) {
  return a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

void job_board_hasten(JobBoard *board, uint64_t ino, MailboxRange range) {
  pthread_mutex_lock(&board->lock);
  for (GList *link = board->jobs.head, *next; link != NULL; link = next) {
    Job *job = link->data;
    next = link->next;
    if (job->kind != JOB_PART || job->ino != ino || job->priority == JOB_URGENT) continue;
    if (!overlaps(&job->range, &range)) continue;
    g_queue_delete_link(&board->jobs, link);
    forget_calls(board, job);
    job->priority = JOB_URGENT;
    pin_up(board, job);
  }
  pthread_mutex_unlock(&board->lock);
}

Job *job_board_withdraw_any(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  Job *job = g_queue_pop_head(&board->jobs);
  forget_calls(board, job);
  pthread_mutex_unlock(&board->lock);
  return job;
}

bool job_board_withdraw(JobBoard *board, Job *job) {
  pthread_mutex_lock(&board->lock);
  bool withdrawn = g_queue_remove(&board->jobs, job);
  forget_calls(board, job);
  pthread_mutex_unlock(&board->lock);
  return withdrawn;
}

void job_board_close(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  board->closed = true;
  for (unsigned i = 0; i < board->n_seats; i++) {
    if (board->seats[i].waker != NULL) waker_wake(board->seats[i].waker);
    pthread_cond_signal(&board->seats[i].wake);
  }
  pthread_mutex_unlock(&board->lock);
}

bool job_board_is_closed(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  bool closed = board->closed;
  pthread_mutex_unlock(&board->lock);
  return closed;
}

void job_board_spread_listings(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  board->spread_listings = true;
  pthread_mutex_unlock(&board->lock);
}

// Of the jobs that come first by priority, one of the open folder, else the oldest; that one at
// once if it has waited for long.
static GList *choose_link(JobBoard *board, unsigned session, const char *open_folder) {
  GList *first = NULL;
  int64_t long_ago_us = g_get_monotonic_time() - PATIENCE_US;
  for (GList *link = board->jobs.head; link != NULL; link = link->next) {
    const Job *job = link->data;
    if (first != NULL && job->priority > ((Job *)first->data)->priority) break;
    if (!may_take(board, session, job) || is_called_for(board, session, job)) continue;
    if (job->folder != NULL && g_strcmp0(job->folder, open_folder) == 0) return link;
    if (first == NULL) first = link;
    if (job->pinned_us < long_ago_us) break;
  }
  return first;
}

static Job *take_link(JobBoard *board, GList *link) {
  if (link == NULL) return NULL;
  Job *job = link->data;
  g_queue_delete_link(&board->jobs, link);
  forget_calls(board, job);
  return job;
}

// When a job that this session could do stops to be kept for another; INT64_MAX: none is.
static int64_t next_lapse_us(const JobBoard *board, unsigned session) {
  int64_t lapse_us = INT64_MAX;
  for (unsigned i = 0; i < board->n_seats; i++) {
    const Seat *seat = &board->seats[i];
    if (i == session || seat->called_for == NULL) continue;
    if (may_take(board, session, seat->called_for))
      lapse_us = MIN(lapse_us, seat->called_us + CALL_US);
  }
  return lapse_us;
}

static void wait_until(Seat *seat, pthread_mutex_t *lock, int64_t time_us) {
  struct timespec deadline = {.tv_sec = time_us / G_USEC_PER_SEC,
                              .tv_nsec = time_us % G_USEC_PER_SEC * 1000};
  if (time_us == INT64_MAX)
    pthread_cond_wait(&seat->wake, lock);
  else
    pthread_cond_timedwait(&seat->wake, lock, &deadline);
}

Job *job_board_take(JobBoard *board, unsigned session, const char *open_folder, int timeout_ms) {
  Seat *seat = &board->seats[session];
  int64_t end_us = timeout_ms < 0 ? INT64_MAX : g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  Job *job = NULL;
  pthread_mutex_lock(&board->lock);
  while (!board->closed &&
         (job = take_link(board, choose_link(board, session, open_folder))) == NULL &&
         g_get_monotonic_time() < end_us) {
    seat->idle = true;
    seat->open_folder = open_folder;
    wait_until(seat, &board->lock, MIN(end_us, next_lapse_us(board, session)));
  }
  seat->idle = false;
  seat->open_folder = NULL;
  seat->called_for = NULL;
  wake_for_all(board);
  pthread_mutex_unlock(&board->lock);
  return job;
}

Job *job_board_take_more(JobBoard *board, unsigned session, const char *folder,
                         uint64_t ahead_room) {
  pthread_mutex_lock(&board->lock);
  GList *link = board->closed ? NULL : choose_link(board, session, folder);
  const Job *first = link != NULL ? link->data : NULL;
  bool goes_along = first != NULL && job_is_about_bodies(first) &&
                    g_strcmp0(first->folder, folder) == 0 &&
                    (first->priority != JOB_AHEAD || first->bytes <= ahead_room);
  Job *job = goes_along ? take_link(board, link) : NULL;
  pthread_mutex_unlock(&board->lock);
  return job;
}

bool job_board_go_away(JobBoard *board, unsigned session, const char *open_folder, Waker *waker) {
  Seat *seat = &board->seats[session];
  pthread_mutex_lock(&board->lock);
  seat->called_for = NULL;
  bool is_free = !board->closed && choose_link(board, session, open_folder) == NULL;
  if (is_free) {
    seat->idle = true;
    seat->waker = waker;
    seat->open_folder = open_folder;
  }
  pthread_mutex_unlock(&board->lock);
  return is_free;
}

void job_board_come_back(JobBoard *board, unsigned session) {
  Seat *seat = &board->seats[session];
  pthread_mutex_lock(&board->lock);
  seat->idle = false;
  seat->waker = NULL;
  seat->open_folder = NULL;
  pthread_mutex_unlock(&board->lock);
}

bool job_board_bar(JobBoard *board, unsigned session, unsigned seconds) {
  pthread_mutex_lock(&board->lock);
  bool is_last = count_usable(board) <= 1;
  if (!is_last) {
    board->seats[session].barred_until_us =
        g_get_monotonic_time() + (int64_t)seconds * G_USEC_PER_SEC;
    wake_for_all(board);
  }
  pthread_mutex_unlock(&board->lock);
  return !is_last;
}

bool job_board_is_first(JobBoard *board, unsigned session) {
  pthread_mutex_lock(&board->lock);
  bool is_first = is_usable(&board->seats[session]) && rank_of(board, session) == 0;
  pthread_mutex_unlock(&board->lock);
  return is_first;
}

void job_board_unbar(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  for (unsigned i = 0; i < board->n_seats; i++)
    board->seats[i].barred_until_us = 0;
  wake_for_all(board);
  pthread_mutex_unlock(&board->lock);
}

bool job_board_claim(JobBoard *board, uint64_t folder) {
  pthread_mutex_lock(&board->lock);
  bool claimed = g_hash_table_add(board->claims, g_memdup2(&folder, sizeof folder));
  pthread_mutex_unlock(&board->lock);
  return claimed;
}

void job_board_unclaim(JobBoard *board, uint64_t folder) {
  pthread_mutex_lock(&board->lock);
  g_hash_table_remove(board->claims, &folder);
  pthread_mutex_unlock(&board->lock);
}
