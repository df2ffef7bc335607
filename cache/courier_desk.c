#include "cache/courier_desk.h"

#include <pthread.h>
#include <time.h>

#include "net/error.h"

// How many letters that wait are journaled as perhaps sent.
#define AHEAD 2
// The second connection is worth its while if that many letters wait, or one for that long.
#define SECOND_FROM 2
#define SECOND_AFTER_US (3 * G_USEC_PER_SEC)
#define REST_US (60 * G_USEC_PER_SEC)

typedef enum { LANE_IDLE, LANE_CONNECTING, LANE_CONNECTED } LaneState;

typedef struct {
  LaneState state;
  int64_t rests_until_us;
  unsigned past_end;   // letters whose end may be on its way
  CourierTask *offer;  // the lane's, begun and not ended; NULL: none
  int64_t offered_us;
} Lane;

struct CourierDesk {
  OutboxSpool *spool;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  GQueue tasks;  // of CourierTask *
  Lane lanes[COURIER_LANES];
  bool closed;
};

CourierDesk *courier_desk_new(OutboxSpool *spool) {
  CourierDesk *desk = g_new0(CourierDesk, 1);
  desk->spool = spool;
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&desk->changed, &attributes);
  pthread_condattr_destroy(&attributes);
  pthread_mutex_init(&desk->mutex, NULL);
  g_queue_init(&desk->tasks);
  return desk;
}

void courier_desk_free(CourierDesk *desk) {
  g_queue_clear_full(&desk->tasks, (GDestroyNotify)courier_task_free);
  pthread_cond_destroy(&desk->changed);
  pthread_mutex_destroy(&desk->mutex);
  g_free(desk);
}

static void ask_journal(CourierDesk *desk, CourierTask *task) {
  if (task->journaled != NULL) return;
  task->journaled = queue_new((GDestroyNotify)spool_job_free);
  SpoolJob *job = spool_job_new(SPOOL_ADVANCE);
  job->row.id = task->id;
  job->row.phase = OUTBOX_SENT_DATA;
  job->relaxed = true;
  job->reply = task->journaled;
  outbox_spool_push(desk->spool, job);
}

// Waits for the answer, unless it was had.
static bool await_journal(CourierTask *task, GError **error) {
  if (task->journaled == NULL || task->is_journaled) return true;
  g_autoptr(SpoolJob) answer = queue_pop(task->journaled, -1);
  task->is_journaled = answer->error == NULL;
  if (task->is_journaled) return true;
  g_clear_pointer(&task->journaled, queue_free);
  g_propagate_error(error, g_steal_pointer(&answer->error));
  return false;
}

static bool is_any_connected(const CourierDesk *desk) {
  for (unsigned i = 0; i < COURIER_LANES; i++)
    if (desk->lanes[i].state == LANE_CONNECTED) return true;
  return false;
}

// After any change.
static void announce(CourierDesk *desk) {
  const GList *item = desk->tasks.head;
  for (unsigned i = 0; i < AHEAD && item != NULL && is_any_connected(desk); i++, item = item->next)
    ask_journal(desk, item->data);
  pthread_cond_broadcast(&desk->changed);
}

void courier_desk_put(CourierDesk *desk, CourierTask *task) {
  task->put_us = g_get_monotonic_time();
  pthread_mutex_lock(&desk->mutex);
  g_queue_push_tail(&desk->tasks, task);
  announce(desk);
  pthread_mutex_unlock(&desk->mutex);
}

bool courier_desk_withdraw(CourierDesk *desk, uint64_t id) {
  bool found = false;
  pthread_mutex_lock(&desk->mutex);
  for (GList *item = desk->tasks.head; item != NULL && !found; item = item->next) {
    CourierTask *task = item->data;
    if (task->id != id || task->journaled != NULL) continue;
    found = true;
    courier_task_free(task);
    g_queue_delete_link(&desk->tasks, item);
    break;
  }
  pthread_mutex_unlock(&desk->mutex);
  return found;
}

void courier_desk_close(CourierDesk *desk, bool past_end[COURIER_LANES]) {
  pthread_mutex_lock(&desk->mutex);
  desk->closed = true;
  for (unsigned i = 0; i < COURIER_LANES; i++)
    past_end[i] = desk->lanes[i].past_end > 0;
  pthread_cond_broadcast(&desk->changed);
  pthread_mutex_unlock(&desk->mutex);
}

bool courier_desk_is_closed(CourierDesk *desk) {
  pthread_mutex_lock(&desk->mutex);
  bool closed = desk->closed;
  pthread_mutex_unlock(&desk->mutex);
  return closed;
}

// When this lane may take the first letter that waits, as things are: INT64_MAX if never.
static int64_t may_take_from_us(const CourierDesk *desk, unsigned lane) {
  const Lane *own = &desk->lanes[lane], *other = &desk->lanes[!lane];
  const CourierTask *first = desk->tasks.head != NULL ? desk->tasks.head->data : NULL;
  if (first == NULL && other->offer != NULL)
    return MAX(own->rests_until_us, other->offered_us + SECOND_AFTER_US);
  if (first == NULL) return INT64_MAX;
  if (own->state == LANE_CONNECTED || other->state == LANE_IDLE) return 0;
  if (other->state != LANE_CONNECTED) return INT64_MAX;
  bool many = desk->tasks.length >= SECOND_FROM;
  return MAX(own->rests_until_us, many ? 0 : first->put_us + SECOND_AFTER_US);
}

static void wait_until(CourierDesk *desk, int64_t deadline_us) {
  if (deadline_us == INT64_MAX) {
    pthread_cond_wait(&desk->changed, &desk->mutex);
    return;
  }
  struct timespec deadline = {.tv_sec = deadline_us / G_USEC_PER_SEC,
                              .tv_nsec = deadline_us % G_USEC_PER_SEC * 1000};
  pthread_cond_timedwait(&desk->changed, &desk->mutex, &deadline);
}

// Waits until this lane may take a letter: false if the desk is closed, or time is over before.
static bool await_task(CourierDesk *desk, unsigned lane, int64_t end_us) {
  for (;;) {
    int64_t now_us = g_get_monotonic_time();
    int64_t from_us = may_take_from_us(desk, lane);
    if (desk->closed) return false;
    if (from_us <= now_us) return true;
    if (end_us <= now_us) return false;
    wait_until(desk, MIN(from_us, end_us));
  }
}

CourierTask *courier_desk_take(CourierDesk *desk, unsigned lane, int keep_ms) {
  CourierTask *task = NULL;
  pthread_mutex_lock(&desk->mutex);
  Lane *own = &desk->lanes[lane];
  if (own->state == LANE_CONNECTING) {
    own->state = LANE_IDLE;
    announce(desk);
  }
  int64_t end_us =
      own->state == LANE_CONNECTED ? g_get_monotonic_time() + keep_ms * INT64_C(1000) : INT64_MAX;
  if (await_task(desk, lane, end_us)) {
    task = g_queue_pop_head(&desk->tasks);
    if (task == NULL) task = g_steal_pointer(&desk->lanes[!lane].offer);
    if (own->state == LANE_IDLE) own->state = LANE_CONNECTING;
    announce(desk);
  }
  pthread_mutex_unlock(&desk->mutex);
  return task;
}

CourierTask *courier_desk_take_next(CourierDesk *desk) {
  pthread_mutex_lock(&desk->mutex);
  CourierTask *task = desk->closed ? NULL : g_queue_pop_head(&desk->tasks);
  if (task != NULL) announce(desk);
  pthread_mutex_unlock(&desk->mutex);
  return task;
}

void courier_desk_offer(CourierDesk *desk, unsigned lane, CourierTask *task) {
  pthread_mutex_lock(&desk->mutex);
  desk->lanes[lane].offer = task;
  desk->lanes[lane].offered_us = g_get_monotonic_time();
  pthread_cond_broadcast(&desk->changed);
  pthread_mutex_unlock(&desk->mutex);
}

bool courier_desk_claim(CourierDesk *desk, unsigned lane) {
  pthread_mutex_lock(&desk->mutex);
  bool is_ours = g_steal_pointer(&desk->lanes[lane].offer) != NULL;
  pthread_mutex_unlock(&desk->mutex);
  return is_ours;
}

void courier_desk_return(CourierDesk *desk, CourierTask *task) {
  pthread_mutex_lock(&desk->mutex);
  g_queue_push_head(&desk->tasks, task);
  announce(desk);
  pthread_mutex_unlock(&desk->mutex);
}

void courier_desk_put_back(CourierDesk *desk, unsigned lane, CourierTask *task) {
  pthread_mutex_lock(&desk->mutex);
  desk->lanes[lane].rests_until_us = g_get_monotonic_time() + REST_US;
  g_queue_push_head(&desk->tasks, task);
  announce(desk);
  pthread_mutex_unlock(&desk->mutex);
}

GPtrArray *courier_desk_clear(CourierDesk *desk) {
  GPtrArray *tasks = g_ptr_array_new_with_free_func((GDestroyNotify)courier_task_free);
  pthread_mutex_lock(&desk->mutex);
  CourierTask *task;
  while ((task = g_queue_pop_head(&desk->tasks)) != NULL)
    g_ptr_array_add(tasks, task);
  pthread_mutex_unlock(&desk->mutex);
  return tasks;
}

void courier_desk_set_connected(CourierDesk *desk, unsigned lane, bool connected) {
  pthread_mutex_lock(&desk->mutex);
  desk->lanes[lane].state = connected ? LANE_CONNECTED : LANE_CONNECTING;
  announce(desk);
  pthread_mutex_unlock(&desk->mutex);
}

bool courier_desk_other_is_connected(CourierDesk *desk, unsigned lane) {
  pthread_mutex_lock(&desk->mutex);
  bool connected = desk->lanes[!lane].state == LANE_CONNECTED;
  pthread_mutex_unlock(&desk->mutex);
  return connected;
}

bool courier_desk_begin_end(CourierDesk *desk, unsigned lane, CourierTask *task, GError **error) {
  pthread_mutex_lock(&desk->mutex);
  bool allowed = !desk->closed;
  if (allowed) {
    desk->lanes[lane].past_end++;
    ask_journal(desk, task);
  }
  pthread_mutex_unlock(&desk->mutex);
  if (!allowed) {
    g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "stopping");
    return false;
  }
  if (await_journal(task, error)) return true;
  courier_desk_end_done(desk, lane);
  return false;
}

void courier_desk_end_done(CourierDesk *desk, unsigned lane) {
  pthread_mutex_lock(&desk->mutex);
  desk->lanes[lane].past_end--;
  pthread_mutex_unlock(&desk->mutex);
}
