#include "cache/courier_lane.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "cache/letter.h"
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
  Sender *sender;     // the thread's, as the next; NULL: not connected
  uint64_t max_size;  // of a letter; 0: not known
};

// One letter while it is sent.
typedef struct {
  CourierLane *lane;
  CourierTask *task;
  Letter *letter;
  LetterStream *stream;
  GPtrArray *recipients;  // of const char *, the letter's, NULL-terminated
  bool reached_end;
} Delivery;

static CourierResult *result_new(const CourierTask *task, CourierVerdict verdict,
                                 const char *message) {
  CourierResult *result = g_new0(CourierResult, 1);
  result->id = task->id;
  result->verdict = verdict;
  result->outcomes = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  result->message = g_strdup(message);
  return result;
}

void courier_result_free(CourierResult *result) {
  if (result == NULL) return;
  g_ptr_array_unref(result->outcomes);
  g_free(result->message);
  g_free(result);
}

static ssize_t read_letter(void *buffer, size_t size, gpointer data, GError **error) {
  Delivery *delivery = data;
  return letter_stream_read(delivery->stream, buffer, size, error);
}

static bool before_end(gpointer data, GError **error) {
  Delivery *delivery = data;
  CourierLane *lane = delivery->lane;
  delivery->reached_end = courier_desk_begin_end(lane->desk, lane->number, delivery->task, error);
  return delivery->reached_end;
}

static bool is_settled(const CourierTask *task, const char *address) {
  for (unsigned i = 0; i < task->settled->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(task->settled, i);
    if (g_str_equal(recipient->address, address)) return true;
  }
  return false;
}

static GPtrArray *unsettled_recipients(const CourierTask *task, const Letter *letter) {
  GPtrArray *left = g_ptr_array_new();
  for (const char *const *address = letter_recipients(letter); *address != NULL; address++)
    if (!is_settled(task, *address)) g_ptr_array_add(left, (gpointer)*address);
  g_ptr_array_add(left, NULL);
  return left;
}

// What an error of the connection or the server means for the letter.
static CourierVerdict verdict_of(const GError *error) {
  if (g_error_matches(error, LETTER_ERROR, LETTER_ERROR_INVALID) ||
      g_error_matches(error, NET_ERROR, NET_ERROR_REFUSED) ||
      g_error_matches(error, NET_ERROR, NET_ERROR_LIMIT) ||
      g_error_matches(error, NET_ERROR, NET_ERROR_UNSUPPORTED))
    return COURIER_HOPELESS;
  return COURIER_DELAYED;
}

static bool connect_sender(CourierLane *lane, GError **error) {
  if (lane->sender != NULL) return true;
  lane->sender = lane->options->open_sender(lane->options->account, lane->waker, lane->name, error);
  if (lane->sender == NULL) return false;
  lane->max_size = sender_max_size(lane->sender);
  courier_desk_set_connected(lane->desk, lane->number, true);
  return true;
}

static void disconnect(CourierLane *lane) {
  if (lane->sender == NULL) return;
  sender_free(lane->sender);
  lane->sender = NULL;
  courier_desk_set_connected(lane->desk, lane->number, false);
}

static CourierResult *offline_result(const CourierTask *task, const GError *error) {
  CourierResult *result = result_new(task, COURIER_OFFLINE, error->message);
  result->denied = g_error_matches(error, NET_ERROR, NET_ERROR_DENIED) ||
                   g_error_matches(error, NET_ERROR, NET_ERROR_UNTRUSTED);
  return result;
}

// There is no connection for those that wait, either: the server is not asked again for each.
static void tell_all_offline(CourierLane *lane, const GError *error) {
  g_autoptr(GPtrArray) tasks = courier_desk_clear(lane->desk);
  for (unsigned i = 0; i < tasks->len; i++)
    post_send(lane->results, offline_result(g_ptr_array_index(tasks, i), error));
}

static CourierResult *take_outcomes(Delivery *delivery, SenderOutcome *outcomes, unsigned count) {
  CourierResult *result = result_new(delivery->task, COURIER_ANSWERED, NULL);
  for (unsigned i = 0; i < count; i++)
    g_ptr_array_add(result->outcomes,
                    outbox_recipient_new(g_ptr_array_index(delivery->recipients, i),
                                         (int)outcomes[i].verdict, outcomes[i].reply));
  return result;
}

static CourierResult *send_to(Delivery *delivery, unsigned count) {
  CourierLane *lane = delivery->lane;
  const SenderLetter sent = {
      .from = letter_from(delivery->letter),
      .recipients = (const char *const *)delivery->recipients->pdata,
      .size_bytes = letter_size(delivery->letter),
      .has_8bit = letter_has_8bit(delivery->letter),
      .needs_utf8 = letter_needs_utf8(delivery->letter),
      .notify = envelope_notify(&delivery->task->envelope),
      .ret = envelope_return(&delivery->task->envelope),
      .envid = delivery->task->envelope.envid,
      .read = read_letter,
      .before_end = before_end,
      .data = delivery,
  };
  g_autofree SenderOutcome *outcomes = g_new0(SenderOutcome, count);
  g_autoptr(GError) error = NULL;
  CourierResult *result;
  if (sender_send(lane->sender, &sent, outcomes, &error)) {
    result = take_outcomes(delivery, outcomes, count);
  } else {
    result = result_new(delivery->task, verdict_of(error), error->message);
    result->uncertain = delivery->reached_end && result->verdict == COURIER_DELAYED;
  }
  if (lane->sender->is_over) disconnect(lane);
  courier_desk_end_done(lane->desk, lane->number);
  for (unsigned i = 0; i < count; i++)
    g_free(outcomes[i].reply);
  return result;
}

// NULL: there is no second connection, and the letter may go by the first.
static CourierResult *send_letter(CourierLane *lane, CourierTask *task, Letter *letter, int fd) {
  g_autoptr(GPtrArray) recipients = unsettled_recipients(task, letter);
  unsigned count = recipients->len - 1;
  if (count == 0) return result_new(task, COURIER_ANSWERED, NULL);
  g_autoptr(GError) error = NULL;
  if (!connect_sender(lane, &error)) {
    if (courier_desk_other_is_connected(lane->desk, lane->number)) return NULL;
    tell_all_offline(lane, error);
    return offline_result(task, error);
  }
  g_autoptr(LetterStream) stream = letter_stream_new(letter, fd);
  Delivery delivery = {
      .lane = lane,
      .task = task,
      .letter = letter,
      .stream = stream,
      .recipients = recipients,
  };
  return send_to(&delivery, count);
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

// A connection kept from the letter before may be at its end, which says nothing about this letter;
// nor does a server that takes but one connection at a time. NULL: as send_letter.
static CourierResult *send_or_resend(CourierLane *lane, CourierTask *task, Letter *letter, int fd) {
  bool kept = lane->sender != NULL;
  g_autoptr(CourierResult) result = send_letter(lane, task, letter, fd);
  if (kept && was_turned_away(lane, result)) {
    g_clear_pointer(&result, courier_result_free);
    result = send_letter(lane, task, letter, fd);
  }
  bool has_other = courier_desk_other_is_connected(lane->desk, lane->number);
  return was_turned_away(lane, result) && has_other ? NULL : g_steal_pointer(&result);
}

static CourierResult *deliver(CourierLane *lane, CourierTask *task) {
  int fd = outbox_file_open(lane->options->letters_fd, task->id, O_RDONLY);
  if (fd < 0) return result_new(task, COURIER_DELAYED, g_strerror(errno));
  const LetterDefaults defaults = {
      .from = task->from,
      .message_id = task->message_id,
      .date = task->date,
      .envelope_from = task->envelope.from,
      .recipients = (const char *const *)task->envelope.recipients,
  };
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  CourierResult *result = letter != NULL ? send_or_resend(lane, task, letter, fd)
                                         : result_new(task, verdict_of(error), error->message);
  close(fd);
  return result;
}

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
  job->vital = true;
  job->recipients = settled_of(result->outcomes);
  job->done = tell_journaled;
  job->done_data = lane;
  job->detail = result;
  job->free_detail = (GDestroyNotify)courier_result_free;
  outbox_spool_push(lane->options->spool, job);
}

// Takes the task.
static void serve(CourierLane *lane, CourierTask *task) {
  CourierResult *result = deliver(lane, task);
  if (result == NULL) {
    courier_desk_put_back(lane->desk, lane->number, task);
    return;
  }
  result->max_size = lane->max_size;
  if (result->verdict == COURIER_ANSWERED)
    journal_result(lane, task, result);
  else
    post_send(lane->results, result);
  courier_task_free(task);
}

static void *run_lane(void *data) {
  CourierLane *lane = data;
  while (!courier_desk_is_closed(lane->desk)) {
    CourierTask *task = courier_desk_take(lane->desk, lane->number, KEEP_CONNECTION_MS);
    if (task != NULL)
      serve(lane, task);
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
