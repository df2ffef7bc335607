#include "cache/courier.h"

#include <time.h>

#include "cache/courier_delivery.h"
#include "cache/courier_desk.h"
#include "cache/courier_lane.h"

#define LAST_REPLY_S 5

struct Courier {
  CourierOptions options;
  CourierDesk *desk;
  Post *results;
  CourierLane *lanes[COURIER_LANES];
};

void courier_task_free(CourierTask *task) {
  if (task == NULL) return;
  // The spool still has to answer to the queue.
  if (task->journaled != NULL && !task->is_journaled)
    spool_job_free(queue_pop(task->journaled, -1));
  queue_free(task->journaled);
  g_free(task->from);
  g_free(task->message_id);
  envelope_clear(&task->envelope);
  g_ptr_array_unref(task->settled);
  g_free(task);
}

static void tell_result(gpointer item, gpointer data) {
  Courier *courier = data;
  g_autoptr(CourierResult) result = item;
  courier->options.done(result, NULL, courier->options.data);
}

Courier *courier_new(const CourierOptions *options) {
  Courier *courier = g_new0(Courier, 1);
  courier->options = *options;
  courier->desk = courier_desk_new(options->spool);
  courier->results =
      post_new(options->context, tell_result, courier, (GDestroyNotify)courier_result_free);
  for (unsigned i = 0; i < COURIER_LANES; i++)
    courier->lanes[i] = courier_lane_new(&courier->options, courier->desk, courier->results, i);
  return courier;
}

void courier_push(Courier *courier, CourierTask *task) {
  courier_desk_put(courier->desk, task);
}

bool courier_withdraw(Courier *courier, uint64_t id) {
  return courier_desk_withdraw(courier->desk, id);
}

static void stop(Courier *courier) {
  bool past_end[COURIER_LANES];
  courier_desk_close(courier->desk, past_end);
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += LAST_REPLY_S;
  for (unsigned i = 0; i < COURIER_LANES; i++)
    if (!past_end[i]) courier_lane_cancel(courier->lanes[i]);
  for (unsigned i = 0; i < COURIER_LANES; i++) {
    if (courier_lane_join(courier->lanes[i], &deadline)) continue;
    courier_lane_cancel(courier->lanes[i]);
    courier_lane_join(courier->lanes[i], NULL);
  }
}

void courier_free(Courier *courier) {
  if (courier == NULL) return;
  stop(courier);
  for (unsigned i = 0; i < COURIER_LANES; i++)
    courier_lane_free(courier->lanes[i]);
  courier_desk_free(courier->desk);
  post_free(courier->results);
  g_free(courier);
}
