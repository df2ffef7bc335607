// The job board gives each job to one session that may do it: listings to the first, nothing but
// bodies to the second, the folder a session has open before others; what nobody took can be taken
// back; closing it ends every wait.

#include "cache/job_board.h"

#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>

typedef struct {
  JobBoard *board;
  unsigned session;
  const char *open_folder;
  Job *taken;
  GThread *thread;
  sem_t *ready, *took;
} Taker;

static gpointer take(gpointer data) {
  Taker *taker = data;
  taker->taken = job_board_take(taker->board, taker->session, taker->open_folder, -1);
  return NULL;
}

static Job *new_job(JobKind kind, uint64_t ino, const char *folder) {
  Job *job = job_new(kind, kind == JOB_BODIES ? JOB_URGENT : JOB_LISTING, ino);
  job->folder = g_strdup(folder);
  return job;
}

static Job *new_ahead(uint64_t ino, const char *folder) {
  Job *job = job_new(JOB_BODIES, JOB_AHEAD, ino);
  job->folder = g_strdup(folder);
  return job;
}

static uint64_t take_now(JobBoard *board, unsigned session, const char *open_folder) {
  g_autoptr(Job) job = job_board_take(board, session, open_folder, 0);
  return job != NULL ? job->ino : 0;
}

static void test_who_may(void) {
  g_autoptr(JobBoard) board = job_board_new(3);
  job_board_push(board, new_job(JOB_BODIES, 1, "a"));
  job_board_push(board, new_job(JOB_SYNC, 2, "b"));
  job_board_push(board, new_job(JOB_TREE, 3, NULL));
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 1);
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 0);
  g_assert_cmpuint(take_now(board, 2, NULL), ==, 2);
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 3);
  job_board_push(board, new_job(JOB_BODIES, 4, "a"));
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 0);
  g_assert_cmpuint(take_now(board, 2, NULL), ==, 4);
  // What is fetched ahead never stands in the way of a reader.
  job_board_push(board, new_ahead(5, "a"));
  g_assert_cmpuint(take_now(board, 1, "a"), ==, 0);
  job_board_push(board, new_job(JOB_BODIES, 6, "b"));
  g_assert_cmpuint(take_now(board, 2, "a"), ==, 6);
  g_assert_cmpuint(take_now(board, 2, "a"), ==, 5);

  g_autoptr(JobBoard) lone = job_board_new(1);
  job_board_push(lone, new_job(JOB_BODIES, 5, "a"));
  g_assert_cmpuint(take_now(lone, 0, NULL), ==, 5);
}

static void test_open_folder_first(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  job_board_push(board, new_job(JOB_BODIES, 1, "a"));
  job_board_push(board, new_job(JOB_BODIES, 2, "b"));
  job_board_push(board, new_job(JOB_BODIES, 3, "b"));
  g_assert_cmpuint(take_now(board, 1, "b"), ==, 2);
  g_assert_cmpuint(take_now(board, 1, "c"), ==, 1);
  g_assert_cmpuint(take_now(board, 1, "a"), ==, 3);
}

// A reader who goes on in the open folder does not hold up who waits for another.
static void test_patience(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  Job *old = new_job(JOB_BODIES, 1, "a");
  job_board_push(board, old);
  job_board_push(board, new_job(JOB_BODIES, 2, "b"));
  job_board_push(board, new_job(JOB_BODIES, 3, "b"));
  g_assert_cmpuint(take_now(board, 1, "b"), ==, 2);
  old->pinned_us -= G_USEC_PER_SEC;
  g_assert_null(job_board_take_more(board, 1, "b", 0));
  g_assert_cmpuint(take_now(board, 1, "b"), ==, 1);
}

static Job *new_part(uint64_t ino, uint64_t offset, JobPriority priority) {
  Job *job = job_new(JOB_PART, priority, ino);
  job->folder = g_strdup("a");
  job->range = (MailboxRange){offset, 100};
  return job;
}

// Parts ahead of a reader come behind those who wait, until he waits for them himself.
static void test_hasten(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  job_board_push(board, new_part(1, 0, JOB_AHEAD));
  job_board_push(board, new_part(2, 0, JOB_AHEAD));
  job_board_push(board, new_part(2, 100, JOB_AHEAD));
  job_board_push(board, new_part(2, 200, JOB_AHEAD));
  job_board_push(board, new_job(JOB_BODIES, 3, "b"));
  job_board_hasten(board, 2, (MailboxRange){150, 50});
  g_assert_cmpuint(take_now(board, 1, "b"), ==, 3);
  g_autoptr(Job) wanted = job_board_take(board, 1, NULL, 0);
  g_assert_cmpuint(wanted->ino, ==, 2);
  g_assert_cmpuint(wanted->range.offset, ==, 100);
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 1);
}

// A second job goes along with the first where it is of the same folder, unless somebody waits for
// another.
static void test_take_more(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  job_board_push(board, new_ahead(1, "a"));
  job_board_push(board, new_ahead(2, "a"));
  job_board_push(board, new_job(JOB_SYNC, 3, "a"));
  g_autoptr(Job) more = job_board_take_more(board, 1, "a", 0);
  g_assert_cmpuint(more->ino, ==, 1);
  g_assert_null(job_board_take_more(board, 1, "b", 0));
  job_board_push(board, new_job(JOB_BODIES, 4, "b"));
  g_assert_null(job_board_take_more(board, 1, "a", 0));
  g_assert_cmpuint(take_now(board, 1, "a"), ==, 4);
}

// What would be fetched ahead goes along only as far as there is room for it; a reader always does.
static void test_ahead_room(void) {
  g_autoptr(JobBoard) board = job_board_new(1);
  Job *large = new_ahead(1, "a");
  large->bytes = 1000;
  job_board_push(board, large);
  g_assert_null(job_board_take_more(board, 0, "a", 999));
  job_board_push(board, new_job(JOB_BODIES, 2, "a"));
  g_autoptr(Job) urgent = job_board_take_more(board, 0, "a", 0);
  g_assert_cmpuint(urgent->ino, ==, 2);
  g_autoptr(Job) ahead = job_board_take_more(board, 0, "a", 1000);
  g_assert_true(ahead == large);
}

// A session that the server has no connection for is left out, its part taken by others; the last
// is never left out.
static void test_bar(void) {
  g_autoptr(JobBoard) board = job_board_new(3);
  g_assert_true(job_board_bar(board, 1, 600));
  job_board_push(board, new_job(JOB_BODIES, 1, "a"));
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 0);
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 0);
  g_assert_cmpuint(take_now(board, 2, NULL), ==, 1);
  g_assert_true(job_board_bar(board, 2, 600));
  g_assert_false(job_board_bar(board, 0, 600));
  job_board_push(board, new_ahead(2, "a"));
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 2);
  job_board_unbar(board);
  job_board_push(board, new_ahead(3, "a"));
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 0);
  g_assert_cmpuint(take_now(board, 2, NULL), ==, 3);
}

// Who waits elsewhere is woken for what only he may do, and does not go while there is such a job.
static void test_away(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  g_autoptr(Waker) waker = waker_new();
  struct pollfd woken = {.fd = waker_fd(waker), .events = POLLIN};
  g_assert_true(job_board_go_away(board, 0, "INBOX", waker));
  job_board_push(board, new_job(JOB_BODIES, 1, "INBOX"));
  g_assert_cmpint(poll(&woken, 1, 0), ==, 0);
  job_board_push(board, new_job(JOB_SYNC, 2, "INBOX"));
  g_assert_cmpint(poll(&woken, 1, 0), ==, 1);
  job_board_come_back(board, 0);
  g_assert_false(job_board_go_away(board, 0, "INBOX", waker));
  g_assert_cmpuint(take_now(board, 0, NULL), ==, 2);
  waker_clear(waker);
  g_assert_true(job_board_go_away(board, 0, "INBOX", waker));
  job_board_close(board);
  g_assert_cmpint(poll(&woken, 1, 0), ==, 1);
  g_assert_true(job_board_claim(board, 5));
  g_assert_false(job_board_claim(board, 5));
  job_board_unclaim(board, 5);
  g_assert_true(job_board_claim(board, 5));
}

// A job is kept for the session that was woken for it, but not if that does not come.
static void test_lapse(void) {
  g_autoptr(JobBoard) board = job_board_new(3);
  g_autoptr(Waker) waker = waker_new();
  g_assert_true(job_board_go_away(board, 0, NULL, waker));
  job_board_push(board, new_job(JOB_SYNC, 1, "a"));
  g_assert_cmpuint(take_now(board, 2, "a"), ==, 0);
  g_autoptr(Job) job = job_board_take(board, 2, NULL, 60000);
  g_assert_nonnull(job);
  g_assert_cmpuint(job->ino, ==, 1);
}

static gpointer take_once(gpointer data) {
  Taker *taker = data;
  sem_post(taker->ready);
  take(taker);
  return NULL;
}

// Also if the other one waited already when the job came.
static void test_lapse_while_waiting(void) {
  g_autoptr(JobBoard) board = job_board_new(3);
  g_autoptr(Waker) waker = waker_new();
  sem_t ready;
  sem_init(&ready, 0, 0);
  Taker taker = {.board = board, .session = 2, .ready = &ready};
  g_assert_true(job_board_go_away(board, 0, "a", waker));
  taker.thread = g_thread_new("taker", take_once, &taker);
  sem_wait(&ready);
  for (int turns = 0; turns < 50; turns++)
    sched_yield();
  job_board_push(board, new_job(JOB_SYNC, 1, "a"));
  g_thread_join(taker.thread);
  g_assert_cmpuint(taker.taken->ino, ==, 1);
  job_free(taker.taken);
  sem_destroy(&ready);
}

static void test_withdraw(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  g_autoptr(Job) job = new_job(JOB_BODIES, 1, "a");
  job_board_push(board, job);
  g_assert_true(job_board_withdraw(board, job));
  g_assert_false(job_board_withdraw(board, job));
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 0);
}

// Every job is taken exactly once, however many threads take.
static void test_threads(void) {
  g_autoptr(JobBoard) board = job_board_new(4);
  Taker takers[] = {{.board = board, .session = 1, .open_folder = "a"},
                    {.board = board, .session = 2, .open_folder = "b"},
                    {.board = board, .session = 3}};
  for (size_t i = 0; i < G_N_ELEMENTS(takers); i++)
    takers[i].thread = g_thread_new("taker", take, &takers[i]);
  for (uint64_t ino = 1; ino <= 3; ino++)
    job_board_push(board, new_job(JOB_BODIES, ino, ino == 1 ? "a" : "b"));
  uint64_t sum = 0;
  for (size_t i = 0; i < G_N_ELEMENTS(takers); i++) {
    g_thread_join(takers[i].thread);
    sum += takers[i].taken->ino;
    job_free(takers[i].taken);
  }
  g_assert_cmpuint(sum, ==, 1 + 2 + 3);
}

static gpointer take_and_tell(gpointer data) {
  Taker *taker = data;
  sem_post(taker->ready);
  take(taker);
  sem_post(taker->took);
  return NULL;
}

// A session that was woken for one job may take another: the first is not left lying while a third
// session is idle. The order in which they run is the scheduler's, so it is tried many times.
static void test_no_lost_wake_up(void) {
  for (int i = 0; i < 300; i++) {
    g_autoptr(JobBoard) board = job_board_new(4);
    sem_t ready, took;
    sem_init(&ready, 0, 0);
    sem_init(&took, 0, 0);
    Taker takers[] = {{.session = 0}, {.session = 2, .open_folder = "INBOX"}, {.session = 3}};
    for (size_t t = 0; t < G_N_ELEMENTS(takers); t++) {
      takers[t].board = board;
      takers[t].ready = &ready;
      takers[t].took = &took;
      takers[t].thread = g_thread_new("taker", take_and_tell, &takers[t]);
      sem_wait(&ready);
    }
    for (int turns = 0; turns < 50; turns++)
      sched_yield();
    job_board_push(board, new_job(JOB_BODIES, 1, "other"));
    job_board_push(board, new_job(JOB_SYNC, 2, "INBOX"));
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 20;
    for (int jobs = 0; jobs < 2; jobs++)
      g_assert_cmpint(sem_timedwait(&took, &deadline), ==, 0);
    job_board_close(board);
    for (size_t t = 0; t < G_N_ELEMENTS(takers); t++) {
      g_thread_join(takers[t].thread);
      job_free(takers[t].taken);
    }
    sem_destroy(&ready);
    sem_destroy(&took);
  }
}

static void test_close(void) {
  g_autoptr(JobBoard) board = job_board_new(2);
  Taker taker = {.board = board, .session = 1};
  taker.thread = g_thread_new("taker", take, &taker);
  job_board_close(board);
  g_thread_join(taker.thread);
  g_assert_null(taker.taken);
  job_board_push(board, new_job(JOB_BODIES, 1, "a"));
  g_assert_cmpuint(take_now(board, 1, NULL), ==, 0);
  g_assert_true(job_board_is_closed(board));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/job-board/who-may", test_who_may);
  g_test_add_func("/job-board/open-folder-first", test_open_folder_first);
  g_test_add_func("/job-board/patience", test_patience);
  g_test_add_func("/job-board/hasten", test_hasten);
  g_test_add_func("/job-board/take-more", test_take_more);
  g_test_add_func("/job-board/ahead-room", test_ahead_room);
  g_test_add_func("/job-board/bar", test_bar);
  g_test_add_func("/job-board/away", test_away);
  g_test_add_func("/job-board/lapse", test_lapse);
  g_test_add_func("/job-board/lapse-while-waiting", test_lapse_while_waiting);
  g_test_add_func("/job-board/withdraw", test_withdraw);
  g_test_add_func("/job-board/threads", test_threads);
  g_test_add_func("/job-board/no-lost-wake-up", test_no_lost_wake_up);
  g_test_add_func("/job-board/close", test_close);
  return g_test_run();
}
