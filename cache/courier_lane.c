#include "cache/courier_lane.h"

#include <pthread.h>

#include "cache/courier_delivery.h"
#include "net/error.h"

// How long a connection waits for the next letter.
#define KEEP_CONNECTION_MS 5000

struct CourierLane {
  const CourierOptions *options;
  CourierDesk *desk;
  Post *results;
  unsigned number;
  char name[16];  // begins its connection's log lines
  Waker *waker;
  pthread_t thread;
  // The thread's:
  Sender *sender;         // NULL: not connected
  uint64_t max_size;      // of a letter; 0: not known
  bool turned_away;       // the last connection ended before the server heard of a letter
  bool took_ahead;        // the server heard of a letter behind another, on this connection
  bool is_shy;            // the server takes nothing behind a letter
  CourierDelivery *next;  // taken ahead; only while connected
};

static void tell_journaled(SpoolJob *job, gpointer unused) {
  CourierLane *lane = job->done_data;
  lane->options->done(job->detail, job->error, lane->options->data);
}

static bool all_accepted(const GPtrArray *recipients) {
  for (unsigned i = 0; i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    if (recipient->verdict != SENDER_ACCEPTED) return false;
  }
  return true;
}

static GPtrArray *settled_of(const GPtrArray *outcomes) {
  GPtrArray *settled = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  for (unsigned i = 0; i < outcomes->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(outcomes, i);
    if (recipient->verdict != SENDER_TEMPORARY)
      g_ptr_array_add(settled, outbox_recipient_copy(recipient));
  }
  return settled;
}

// The next letter need not wait until this one's answer is on disk; the main loop must.
static void journal_result(CourierLane *lane, const CourierTask *task, CourierResult *result) {
  bool accepted = all_accepted(result->outcomes) && all_accepted(task->settled);
  SpoolJob *job = spool_job_new(SPOOL_ADVANCE);
  job->row.id = task->id;
  job->row.phase = accepted ? OUTBOX_ACCEPTED : OUTBOX_QUEUED;
  job->vital = job->patient = true;
  job->recipients = settled_of(result->outcomes);
  job->done = tell_journaled;
  job->done_data = lane;
  job->detail = result;
  job->free_detail = (GDestroyNotify)courier_result_free;
  outbox_spool_push(lane->options->spool, job);
}

static void tell(CourierLane *lane, const CourierTask *task, CourierResult *result) {
  result->max_size = lane->max_size;
  result->known_us = g_get_monotonic_time();
  if (result->verdict == COURIER_ANSWERED)
    journal_result(lane, task, result);
  else
    post_send(lane->results, result);
}

// A letter that was taken ahead may have been taken by the other lane since.
static bool claim(CourierLane *lane, CourierDelivery *delivery, GError **error) {
  if (!delivery->is_offered || courier_desk_claim(lane->desk, lane->number)) {
    delivery->is_offered = false;
    return true;
  }
  delivery->task = NULL;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_CANCELLED, "another connection sends it");
  return false;
}

static bool before_end(gpointer data, GError **error) {
  CourierDelivery *delivery = data;
  CourierLane *lane = delivery->lane;
  if (delivery == lane->next && !claim(lane, delivery, error)) return false;
  delivery->reached_end = courier_desk_begin_end(lane->desk, lane->number, delivery->task, error);
  return delivery->reached_end;
}

static void not_taken(gpointer data) {
  CourierDelivery *delivery = data;
  CourierLane *lane = delivery->lane;
  delivery->reached_end = false;
  courier_desk_end_done(lane->desk, lane->number);
}

static const SenderLetter *next_letter(gpointer data);

// Takes the task. NULL: there was nothing to send, which is told.
static CourierDelivery *prepare(CourierLane *lane, CourierTask *task) {
  CourierDelivery *delivery = courier_delivery_new(task, lane->options->letters_fd);
  delivery->lane = lane;
  delivery->sent.before_end = before_end;
  delivery->sent.not_taken = not_taken;
  delivery->sent.next = next_letter;
  if (delivery->result == NULL) return delivery;
  delivery->result->is_ours = true;
  tell(lane, task, g_steal_pointer(&delivery->result));
  courier_delivery_free(delivery);
  return NULL;
}

static const SenderLetter *next_letter(gpointer data) {
  CourierLane *lane = ((CourierDelivery *)data)->lane;
  CourierTask *task;
  while (!lane->is_shy && lane->next == NULL && (task = courier_desk_take_next(lane->desk)) != NULL)
    lane->next = prepare(lane, task);
  if (lane->next == NULL) return NULL;
  lane->next->is_ahead = lane->next->is_offered = true;
  courier_desk_offer(lane->desk, lane->number, lane->next->task);
  return &lane->next->sent;
}

static bool connect_sender(CourierLane *lane, GError **error) {
  if (lane->sender != NULL) return true;
  lane->sender = lane->options->open_sender(lane->options->account, lane->waker, lane->name, error);
  if (lane->sender == NULL) return false;
  lane->max_size = sender_max_size(lane->sender);
  lane->took_ahead = false;
  courier_desk_set_connected(lane->desk, lane->number, true);
  return true;
}

// The connection that it was begun on is gone, for a reason that is not its own.
static void give_back(CourierLane *lane, CourierDelivery *delivery) {
  if (delivery->reached_end) {
    CourierResult *result = courier_result_new(delivery->task->id, COURIER_DELAYED,
                                               "the connection ended before the server answered");
    result->uncertain = true;
    courier_desk_end_done(lane->desk, lane->number);
    tell(lane, delivery->task, result);
  } else if (claim(lane, delivery, NULL)) {
    courier_desk_return(lane->desk, g_steal_pointer(&delivery->task));
  }
  courier_delivery_free(delivery);
}

static void disconnect(CourierLane *lane) {
  if (lane->sender == NULL) return;
  lane->turned_away = lane->sender->is_over && lane->sender->turned_away;
  sender_free(lane->sender);
  lane->sender = NULL;
  courier_desk_set_connected(lane->desk, lane->number, false);
  if (lane->next != NULL) give_back(lane, g_steal_pointer(&lane->next));
}

static CourierResult *offline_result(const CourierTask *task, const GError *error) {
  CourierResult *result = courier_result_new(task->id, COURIER_OFFLINE, error->message);
  result->denied = g_error_matches(error, NET_ERROR, NET_ERROR_DENIED) ||
                   g_error_matches(error, NET_ERROR, NET_ERROR_UNTRUSTED);
  return result;
}

// Learns from what became of this letter, or of the one behind it, whether the server can be given
// one behind another. Whoever says 421 has heard of it.
static void note_ahead(CourierLane *lane, const CourierDelivery *delivery,
                       const CourierResult *result) {
  const Sender *sender = lane->sender;
  bool is_answered = result->verdict == COURIER_ANSWERED;
  bool is_followed = lane->next != NULL && lane->next->reached_end;
  bool was_lost = delivery->is_ahead && sender->turned_away && !is_answered;
  bool next_is_lost = sender->is_over && is_answered && is_followed;
  bool is_confused = delivery->is_confused && (delivery->is_ahead || is_followed);
  lane->took_ahead |= delivery->is_ahead && !sender->turned_away;
  lane->is_shy |= ((was_lost || next_is_lost) && !lane->took_ahead) || is_confused;
}

// NULL: there is no second connection, and the letter may go by the first.
static CourierResult *send_letter(CourierLane *lane, CourierDelivery *delivery) {
  g_autoptr(GError) error = NULL;
  if (!connect_sender(lane, &error)) {
    bool has_other = courier_desk_other_is_connected(lane->desk, lane->number);
    return has_other ? NULL : offline_result(delivery->task, error);
  }
  CourierResult *result = courier_delivery_send(delivery, lane->sender);
  if (delivery->reached_end) courier_desk_end_done(lane->desk, lane->number);
  note_ahead(lane, delivery, result);
  if (lane->sender->is_over) disconnect(lane);
  return result;
}

// Whether the server took leave of us, rather than of this letter: it hung up before the letter's
// end, or told each recipient 421.
static bool was_turned_away(const CourierLane *lane, const CourierResult *result) {
  if (result == NULL || lane->sender != NULL || courier_desk_is_closed(lane->desk)) return false;
  if (result->verdict == COURIER_DELAYED) return !result->uncertain;
  for (unsigned i = 0; i < result->outcomes->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(result->outcomes, i);
    if (recipient->reply == NULL || !g_str_has_prefix(recipient->reply, "421")) return false;
  }
  return result->verdict == COURIER_ANSWERED && result->outcomes->len > 0;
}

// A new connection was ended before a letter was heard of.
static void note_turned_away(CourierResult *result) {
  if (result->verdict == COURIER_ANSWERED) {
    const OutboxRecipient *recipient = g_ptr_array_index(result->outcomes, 0);
    g_free(result->message);
    result->message = g_strdup(recipient->reply);
  }
  g_ptr_array_set_size(result->outcomes, 0);
  result->verdict = COURIER_TURNED_AWAY;
}

// A connection kept from the letter before may be at its end, which says nothing about this letter;
// nor does a server that takes but one connection at a time. NULL: as send_letter.
static CourierResult *send_or_resend(CourierLane *lane, CourierDelivery *delivery) {
  bool is_new = lane->sender == NULL;
  g_autoptr(CourierResult) result = send_letter(lane, delivery);
  if (!is_new && was_turned_away(lane, result)) {
    g_clear_pointer(&result, courier_result_free);
    courier_delivery_rewind(delivery);
    is_new = true;
    result = send_letter(lane, delivery);
  }
  if (courier_desk_other_is_connected(lane->desk, lane->number))
    return was_turned_away(lane, result) ? NULL : g_steal_pointer(&result);
  bool is_turned_away = result != NULL && result->verdict != COURIER_OFFLINE &&
                        lane->sender == NULL && lane->turned_away;
  if (is_new && is_turned_away && !courier_desk_is_closed(lane->desk)) note_turned_away(result);
  return g_steal_pointer(&result);
}

static void tell_untried(CourierLane *lane, const GPtrArray *tasks, const char *message) {
  for (unsigned i = 0; i < tasks->len; i++) {
    const CourierTask *task = g_ptr_array_index(tasks, i);
    tell(lane, task, courier_result_new(task->id, COURIER_UNTRIED, message));
  }
}

// The server is not asked again for each letter that waits.
static void tell_no_connection(CourierLane *lane, const CourierTask *task, CourierResult *result) {
  g_autoptr(GPtrArray) untried = courier_desk_clear(lane->desk);
  g_autofree char *message = g_strdup(result->message);
  tell(lane, task, result);
  tell_untried(lane, untried, message);
}

static void serve(CourierLane *lane, CourierDelivery *delivery) {
  CourierResult *result = send_or_resend(lane, delivery);
  if (result == NULL)
    courier_desk_put_back(lane->desk, lane->number, g_steal_pointer(&delivery->task));
  else if (result->verdict == COURIER_OFFLINE || result->verdict == COURIER_TURNED_AWAY)
    tell_no_connection(lane, delivery->task, result);
  else
    tell(lane, delivery->task, result);
  courier_delivery_free(delivery);
}

static bool goes_on(const CourierLane *lane) {
  bool awaits_answer = lane->next != NULL && lane->next->reached_end;
  return awaits_answer || !courier_desk_is_closed(lane->desk);
}

// What was begun comes first. NULL: nothing is to be sent for now.
static CourierDelivery *take(CourierLane *lane) {
  CourierTask *task;
  CourierDelivery *delivery = g_steal_pointer(&lane->next);
  if (delivery != NULL && !claim(lane, delivery, NULL)) {
    disconnect(lane);
    g_clear_pointer(&delivery, courier_delivery_free);
  }
  while (delivery == NULL &&
         (task = courier_desk_take(lane->desk, lane->number, KEEP_CONNECTION_MS)) != NULL)
    delivery = prepare(lane, task);
  return delivery;
}

static void *run_lane(void *data) {
  CourierLane *lane = data;
  while (goes_on(lane)) {
    CourierDelivery *delivery = take(lane);
    if (delivery != NULL)
      serve(lane, delivery);
    else
      disconnect(lane);
  }
  disconnect(lane);
  return NULL;
}

CourierLane *courier_lane_new(const CourierOptions *options, CourierDesk *desk, Post *results,
                              unsigned number) {
  CourierLane *lane = g_new0(CourierLane, 1);
  lane->options = options;
  lane->desk = desk;
  lane->results = results;
  lane->number = number;
  g_snprintf(lane->name, sizeof lane->name, "smtp%u", number + 1);
  lane->waker = waker_new();
  int failed = pthread_create(&lane->thread, NULL, run_lane, lane);
  if (failed != 0) g_error("outbox: cannot start a thread: %s", g_strerror(failed));
  return lane;
}

void courier_lane_cancel(CourierLane *lane) {
  waker_cancel(lane->waker);
}

bool courier_lane_join(CourierLane *lane, const struct timespec *deadline) {
  if (deadline == NULL) return pthread_join(lane->thread, NULL) == 0;
  return pthread_timedjoin_np(lane->thread, NULL, deadline) == 0;
}

void courier_lane_free(CourierLane *lane) {
  waker_free(lane->waker);
  g_free(lane);
}
