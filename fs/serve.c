#include "fs/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>

#include <glib-unix.h>

// Requests served before the main loop's other sources get their turn, and when a turn that lingers
// ends.
#define REQUESTS_A_TURN 64
#define TURN_US 500
// Requests further apart than this, waking up included, are not one process at work.
#define BUSY_US 250

// Who keeps a lent CPU for longer than this computes. He gets a whole slice of time for each loan,
// while a loop that sleeps is given the CPU as soon as it is woken up. Try again after a while.
#define CROWDED_US 500
#define CROWDED_FOR_US 1000000

bool serve_should_linger(int64_t idle_us, int64_t crowded_us) {
  return idle_us < BUSY_US && crowded_us > CROWDED_FOR_US;
}

// The first request is INIT.
static void after_first_request(Filesystem *filesystem) {
  FilesystemAnswers answers = filesystem->answers;
  filesystem->notifier = notifier_new(filesystem->session, filesystem->announcer);
  filesystem->answers = NULL;
  if (answers != NULL) answers(filesystem->answers_data);
}

// One request; false: there is none, or the mount is gone.
static bool serve_one(Filesystem *filesystem) {
  struct fuse_session *session = filesystem->session;
  int size = fuse_session_receive_buf(session, &filesystem->buffer);
  if (size == -EINTR) return true;
  if (size <= 0) return false;
  fuse_session_process_buf(session, &filesystem->buffer);
  if (filesystem->notifier == NULL) after_first_request(filesystem);
  return true;
}

// Waits a moment for one more request, until end_us at most, and serves it.
static bool linger(Filesystem *filesystem, int64_t end_us) {
  int64_t now_us = g_get_monotonic_time();
  end_us = MIN(end_us, now_us + SERVE_LINGER_US);
  while (now_us < end_us && !fuse_session_exited(filesystem->session)) {
    int64_t before_us = now_us;
    sched_yield();
    now_us = g_get_monotonic_time();
    if (now_us - before_us > CROWDED_US) filesystem->crowded_at_us = now_us;
    if (serve_one(filesystem)) return true;
  }
  return false;
}

static void serve_turn(Filesystem *filesystem) {
  int64_t start_us = g_get_monotonic_time();
  bool lingers = serve_should_linger(start_us - filesystem->idle_since_us,
                                     start_us - filesystem->crowded_at_us);
  for (int i = 0; i < REQUESTS_A_TURN && !fuse_session_exited(filesystem->session); i++)
    if (!serve_one(filesystem) && !(lingers && linger(filesystem, start_us + TURN_US))) break;
  filesystem->idle_since_us = g_get_monotonic_time();
}

static gboolean serve(int fd, GIOCondition condition, gpointer data) {
  Filesystem *filesystem = data;
  serve_turn(filesystem);
  if (!fuse_session_exited(filesystem->session)) return G_SOURCE_CONTINUE;
  g_clear_pointer(&filesystem->source, g_source_unref);
  filesystem->ended(filesystem->ended_data);
  return G_SOURCE_REMOVE;
}

void serve_start(Filesystem *filesystem) {
  int fd = fuse_session_fd(filesystem->session);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  filesystem->source = g_unix_fd_source_new(fd, G_IO_IN);
  g_source_set_callback(filesystem->source, G_SOURCE_FUNC(serve), filesystem, NULL);
  // Nothing here runs the loop from within. Else it would take the descriptor out of what it polls
  // and put it in again around each call, and wake itself up for that: four system calls more.
  g_source_set_can_recurse(filesystem->source, true);
  g_source_attach(filesystem->source, filesystem->context);
}

void serve_stop(Filesystem *filesystem) {
  if (filesystem->source == NULL) return;
  g_source_destroy(filesystem->source);
  g_clear_pointer(&filesystem->source, g_source_unref);
}
