#include "cache/job.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

typedef struct {
  pthread_cond_t wake;
  bool idle;
  const char *open_folder;
} Seat;

struct JobBoard {
  pthread_mutex_t lock;  // guards all of it
  GQueue jobs;           // of Job, oldest first
  bool closed;
  unsigned n_seats;
  Seat *seats;  // one for each session
};

Job *job_new(JobKind kind, uint64_t ino) {
  Job *job = g_new0(Job, 1);
  job->kind = kind;
  job->ino = ino;
  job->fd = -1;
  return job;
}

void job_free(Job *job) {
  if (job == NULL) return;
  g_free(job->folder);
  g_clear_error(&job->error);
  changes_free(job->changes);
  g_free(job);
}

static bool may_take(const JobBoard *board, unsigned session, const Job *job) {
  if (board->n_seats == 1) return true;
  return job->kind == JOB_FETCH ? session != 0 : session != 1;
}

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
  g_queue_init(&board->jobs);
  return board;
}

static void free_job(gpointer job) {
  job_free(job);
}

void job_board_free(JobBoard *board) {
  if (board == NULL) return;
  g_queue_clear_full(&board->jobs, free_job);
  for (unsigned i = 0; i < board->n_seats; i++)
    pthread_cond_destroy(&board->seats[i].wake);
  pthread_mutex_destroy(&board->lock);
  g_free(board->seats);
  g_free(board);
}

// The idle session that should take `job`, or NULL if none may.
static Seat *choose_seat(JobBoard *board, const Job *job) {
  Seat *first = NULL;
  for (unsigned i = 0; i < board->n_seats; i++) {
    Seat *seat = &board->seats[i];
    if (!seat->idle || !may_take(board, i, job)) continue;
    if (job->folder != NULL && g_strcmp0(seat->open_folder, job->folder) == 0) return seat;
    if (first == NULL) first = seat;
  }
  return first;
}

static void wake_for(JobBoard *board, const Job *job) {
  Seat *seat = choose_seat(board, job);
  if (seat == NULL) return;
  seat->idle = false;
  pthread_cond_signal(&seat->wake);
}

// A session that was woken for one job may have taken another: nothing that an idle one may do is
// left lying.
static void wake_for_all(JobBoard *board) {
  for (GList *link = board->jobs.head; link != NULL; link = link->next)
    wake_for(board, link->data);
}

void job_board_push(JobBoard *board, Job *job) {
  pthread_mutex_lock(&board->lock);
  g_queue_push_tail(&board->jobs, job);
  wake_for(board, job);
  pthread_mutex_unlock(&board->lock);
}

Job *job_board_withdraw_any(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  Job *job = g_queue_pop_head(&board->jobs);
  pthread_mutex_unlock(&board->lock);
  return job;
}

bool job_board_withdraw(JobBoard *board, Job *job) {
  pthread_mutex_lock(&board->lock);
  bool withdrawn = g_queue_remove(&board->jobs, job);
  pthread_mutex_unlock(&board->lock);
  return withdrawn;
}

void job_board_close(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  board->closed = true;
  for (unsigned i = 0; i < board->n_seats; i++)
    pthread_cond_signal(&board->seats[i].wake);
  pthread_mutex_unlock(&board->lock);
}

bool job_board_is_closed(JobBoard *board) {
  pthread_mutex_lock(&board->lock);
  bool closed = board->closed;
  pthread_mutex_unlock(&board->lock);
  return closed;
}

static Job *choose_job(JobBoard *board, unsigned session, const char *open_folder) {
  GList *first = NULL;
  for (GList *link = board->jobs.head; link != NULL; link = link->next) {
    const Job *job = link->data;
    if (!may_take(board, session, job)) continue;
    if (first == NULL) first = link;
    if (job->folder != NULL && g_strcmp0(job->folder, open_folder) == 0) {
      first = link;
      break;
    }
  }
  if (first == NULL) return NULL;
  Job *job = first->data;
  g_queue_delete_link(&board->jobs, first);
  return job;
}

static struct timespec deadline_in(int timeout_ms) {
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  int64_t ns = deadline.tv_nsec + (int64_t)timeout_ms * 1000000;
  deadline.tv_sec += ns / 1000000000;
  deadline.tv_nsec = ns % 1000000000;
  return deadline;
}

Job *job_board_take(JobBoard *board, unsigned session, const char *open_folder, int timeout_ms) {
  Seat *seat = &board->seats[session];
  struct timespec deadline = deadline_in(MAX(timeout_ms, 0));
  Job *job = NULL;
  bool expired = false;
  pthread_mutex_lock(&board->lock);
  while (!board->closed && (job = choose_job(board, session, open_folder)) == NULL && !expired) {
    seat->idle = true;
    seat->open_folder = open_folder;
    if (timeout_ms < 0) {
      pthread_cond_wait(&seat->wake, &board->lock);
    } else {
      expired = pthread_cond_timedwait(&seat->wake, &board->lock, &deadline) == ETIMEDOUT;
    }
  }
  seat->idle = false;
  seat->open_folder = NULL;
  wake_for_all(board);
  pthread_mutex_unlock(&board->lock);
  return job;
}
