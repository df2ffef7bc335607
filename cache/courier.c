#include "cache/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "cache/letter.h"
#include "net/error.h"

// How long a connection waits for the next letter.
#define KEEP_CONNECTION_MS 5000
#define LAST_REPLY_S 5

struct Courier {
  CourierOptions options;
  Queue *tasks;
  Queue *journaled;  // answers of the spool that this thread waits for
  Post *results;
  Waker *waker;
  pthread_t thread;
  Sender *sender;     // the thread's, as the next; NULL: not connected
  uint64_t max_size;  // of a letter; 0: not known

  pthread_mutex_t mutex;
  bool stopping;
  bool past_end;  // the final dot of a letter may have gone out, its reply is awaited
};

// One letter while it is sent, on the courier's thread.
typedef struct {
  Courier *courier;
  const CourierTask *task;
  Letter *letter;
  LetterStream *stream;
  GPtrArray *recipients;  // of const char *, the letter's, NULL-terminated
  bool reached_end;
} Delivery;

void courier_task_free(CourierTask *task) {
  if (task == NULL) return;
  g_free(task->from);
  g_free(task->message_id);
  envelope_clear(&task->envelope);
  g_ptr_array_unref(task->settled);
  g_free(task);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CourierTask, courier_task_free)

static CourierResult *result_new(const CourierTask *task, CourierVerdict verdict,
                                 const char *message) {
  CourierResult *result = g_new0(CourierResult, 1);
  result->id = task->id;
  result->verdict = verdict;
  result->outcomes = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  result->message = g_strdup(message);
  return result;
}

static void result_free(CourierResult *result) {
  if (result == NULL) return;
  g_ptr_array_unref(result->outcomes);
  g_free(result->message);
  g_free(result);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CourierResult, result_free)

static bool is_stopping(Courier *courier) {
  pthread_mutex_lock(&courier->mutex);
  bool stopping = courier->stopping;
  pthread_mutex_unlock(&courier->mutex);
  return stopping;
}

static bool set_past_end(Courier *courier, bool past_end) {
  pthread_mutex_lock(&courier->mutex);
  bool allowed = !courier->stopping || !past_end;
  if (allowed) courier->past_end = past_end;
  pthread_mutex_unlock(&courier->mutex);
  return allowed;
}

// Notes in the journal that the end of this letter may be on its way, and waits for that.
static bool journal_sent_data(Courier *courier, uint64_t id, GError **error) {
  SpoolJob *job = spool_job_new(SPOOL_ADVANCE);
  job->row.id = id;
  job->row.phase = OUTBOX_SENT_DATA;
  job->relaxed = true;
  job->reply = courier->journaled;
  outbox_spool_push(courier->options.spool, job);
  g_autoptr(SpoolJob) answer = queue_pop(courier->journaled, -1);
  if (answer->error == NULL) return true;
  g_propagate_error(error, g_steal_pointer(&answer->error));
  return false;
}

static ssize_t read_letter(void *buffer, size_t size, gpointer data, GError **error) {
  Delivery *delivery = data;
  return letter_stream_read(delivery->stream, buffer, size, error);
}

static bool before_end(gpointer data, GError **error) {
  Delivery *delivery = data;
  Courier *courier = delivery->courier;
  if (!set_past_end(courier, true)) {
    g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "stopping");
    return false;
  }
  delivery->reached_end = journal_sent_data(courier, delivery->task->id, error);
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

static bool connect_sender(Courier *courier, GError **error) {
  if (courier->sender != NULL) return true;
  courier->sender =
      courier->options.open_sender(courier->options.account, courier->waker, "smtp1", error);
  if (courier->sender != NULL) courier->max_size = sender_max_size(courier->sender);
  return courier->sender != NULL;
}

static CourierResult *offline_result(const CourierTask *task, const GError *error) {
  CourierResult *result = result_new(task, COURIER_OFFLINE, error->message);
  result->denied = g_error_matches(error, NET_ERROR, NET_ERROR_DENIED) ||
                   g_error_matches(error, NET_ERROR, NET_ERROR_UNTRUSTED);
  return result;
}

static void disconnect(Courier *courier) {
  sender_free(courier->sender);
  courier->sender = NULL;
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
  Courier *courier = delivery->courier;
  const SenderLetter sent = {
      .from = letter_from(delivery->letter),
      .recipients = (const char *const *)delivery->recipients->pdata,
      .size_bytes = letter_size(delivery->letter),
      .has_8bit = letter_has_8bit(delivery->letter),
      .needs_utf8 = letter_needs_utf8(delivery->letter),
      .read = read_letter,
      .before_end = before_end,
      .data = delivery,
  };
  g_autofree SenderOutcome *outcomes = g_new0(SenderOutcome, count);
  g_autoptr(GError) error = NULL;
  CourierResult *result;
  if (sender_send(courier->sender, &sent, outcomes, &error)) {
    result = take_outcomes(delivery, outcomes, count);
  } else {
    result = result_new(delivery->task, verdict_of(error), error->message);
    result->uncertain = delivery->reached_end && result->verdict == COURIER_DELAYED;
  }
  if (courier->sender->is_over) disconnect(courier);
  set_past_end(courier, false);
  for (unsigned i = 0; i < count; i++)
    g_free(outcomes[i].reply);
  return result;
}

static CourierResult *send_letter(Courier *courier, const CourierTask *task, Letter *letter,
                                  int fd) {
  g_autoptr(GPtrArray) recipients = unsettled_recipients(task, letter);
  unsigned count = recipients->len - 1;
  if (count == 0) return result_new(task, COURIER_ANSWERED, NULL);
  g_autoptr(GError) error = NULL;
  if (!connect_sender(courier, &error)) return offline_result(task, error);
  g_autoptr(LetterStream) stream = letter_stream_new(letter, fd);
  Delivery delivery = {
      .courier = courier,
      .task = task,
      .letter = letter,
      .stream = stream,
      .recipients = recipients,
  };
  return send_to(&delivery, count);
}

// A connection kept from the letter before may have been closed by the server meanwhile, which says
// nothing about this letter.
static CourierResult *send_or_resend(Courier *courier, const CourierTask *task, Letter *letter,
                                     int fd) {
  bool kept = courier->sender != NULL;
  CourierResult *result = send_letter(courier, task, letter, fd);
  bool broke = result->verdict == COURIER_DELAYED && courier->sender == NULL;
  if (!kept || !broke || result->uncertain || is_stopping(courier)) return result;
  result_free(result);
  return send_letter(courier, task, letter, fd);
}

static CourierResult *deliver(Courier *courier, const CourierTask *task) {
  int fd = outbox_file_open(courier->options.letters_fd, task->id, O_RDONLY);
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
  CourierResult *result = letter != NULL ? send_or_resend(courier, task, letter, fd)
                                         : result_new(task, verdict_of(error), error->message);
  close(fd);
  return result;
}

static void tell_journaled(SpoolJob *job, gpointer unused) {
  Courier *courier = job->done_data;
  courier->options.done(job->detail, job->error, courier->options.data);
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
static void journal_result(Courier *courier, const CourierTask *task, CourierResult *result) {
  bool accepted = all_accepted(result->outcomes) && all_accepted(task->settled);
  SpoolJob *job = spool_job_new(SPOOL_ADVANCE);
  job->row.id = task->id;
  job->row.phase = accepted ? OUTBOX_ACCEPTED : OUTBOX_QUEUED;
  job->vital = true;
  job->recipients = settled_of(result->outcomes);
  job->done = tell_journaled;
  job->done_data = courier;
  job->detail = result;
  job->free_detail = (GDestroyNotify)result_free;
  outbox_spool_push(courier->options.spool, job);
}

static void tell_result(gpointer item, gpointer data) {
  Courier *courier = data;
  g_autoptr(CourierResult) result = item;
  courier->options.done(result, NULL, courier->options.data);
}

static void *run_courier(void *data) {
  Courier *courier = data;
  for (;;) {
    g_autoptr(CourierTask) task =
        queue_pop(courier->tasks, courier->sender != NULL ? KEEP_CONNECTION_MS : -1);
    if (is_stopping(courier)) break;
    if (task == NULL) {
      disconnect(courier);
      continue;
    }
    CourierResult *result = deliver(courier, task);
    result->max_size = courier->max_size;
    if (result->verdict == COURIER_ANSWERED)
      journal_result(courier, task, result);
    else
      post_send(courier->results, result);
  }
  disconnect(courier);
  return NULL;
}

Courier *courier_new(const CourierOptions *options) {
  Courier *courier = g_new0(Courier, 1);
  courier->options = *options;
  courier->tasks = queue_new((GDestroyNotify)courier_task_free);
  courier->journaled = queue_new((GDestroyNotify)spool_job_free);
  courier->results = post_new(options->context, tell_result, courier, (GDestroyNotify)result_free);
  courier->waker = waker_new();
  pthread_mutex_init(&courier->mutex, NULL);
  int failed = pthread_create(&courier->thread, NULL, run_courier, courier);
  if (failed != 0) g_error("outbox: cannot start a thread: %s", g_strerror(failed));
  return courier;
}

void courier_push(Courier *courier, CourierTask *task) {
  queue_push(courier->tasks, task);
}

static void stop(Courier *courier) {
  pthread_mutex_lock(&courier->mutex);
  courier->stopping = true;
  bool past_end = courier->past_end;
  pthread_mutex_unlock(&courier->mutex);
  queue_close(courier->tasks);
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += LAST_REPLY_S;
  if (past_end && pthread_timedjoin_np(courier->thread, NULL, &deadline) == 0) return;
  waker_cancel(courier->waker);
  pthread_join(courier->thread, NULL);
}

void courier_free(Courier *courier) {
  if (courier == NULL) return;
  stop(courier);
  queue_free(courier->tasks);
  queue_free(courier->journaled);
  post_free(courier->results);
  waker_free(courier->waker);
  pthread_mutex_destroy(&courier->mutex);
  g_free(courier);
}
