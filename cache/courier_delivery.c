#include "cache/courier_delivery.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cache/outbox_letters.h"
#include "net/error.h"

CourierResult *courier_result_new(uint64_t id, CourierVerdict verdict, const char *message) {
  CourierResult *result = g_new0(CourierResult, 1);
  result->id = id;
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
  CourierDelivery *delivery = data;
  return letter_stream_read(delivery->stream, buffer, size, error);
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

static Letter *read_task(const CourierTask *task, int fd, GError **error) {
  const LetterDefaults defaults = {
      .from = task->from,
      .message_id = task->message_id,
      .date = task->date,
      .envelope_from = task->envelope.from,
      .recipients = (const char *const *)task->envelope.recipients,
  };
  return letter_read(fd, &defaults, error);
}

static void address(CourierDelivery *delivery) {
  const CourierTask *task = delivery->task;
  const Letter *letter = delivery->letter;
  delivery->recipients = unsettled_recipients(task, letter);
  delivery->stream = letter_stream_new(letter, delivery->fd);
  delivery->envid = g_strdup(task->envelope.envid);
  delivery->sent = (SenderLetter){
      .from = letter_from(letter),
      .recipients = (const char *const *)delivery->recipients->pdata,
      .size_bytes = letter_size(letter),
      .has_8bit = letter_has_8bit(letter),
      .needs_utf8 = letter_needs_utf8(letter),
      .notify = envelope_notify(&task->envelope),
      .ret = envelope_return(&task->envelope),
      .envid = delivery->envid,
      .read = read_letter,
      .data = delivery,
  };
  if (delivery->recipients->len == 1)
    delivery->result = courier_result_new(task->id, COURIER_ANSWERED, NULL);
}

CourierDelivery *courier_delivery_new(CourierTask *task, int letters_fd) {
  CourierDelivery *delivery = g_new0(CourierDelivery, 1);
  g_autoptr(GError) error = NULL;
  delivery->task = task;
  delivery->fd = outbox_file_open(letters_fd, task->id, O_RDONLY);
  if (delivery->fd < 0) {
    delivery->result = courier_result_new(task->id, COURIER_DELAYED, g_strerror(errno));
    return delivery;
  }
  delivery->letter = read_task(task, delivery->fd, &error);
  if (delivery->letter != NULL)
    address(delivery);
  else
    delivery->result = courier_result_new(task->id, verdict_of(error), error->message);
  return delivery;
}

void courier_delivery_free(CourierDelivery *delivery) {
  if (delivery == NULL) return;
  letter_stream_free(delivery->stream);
  letter_free(delivery->letter);
  if (delivery->recipients != NULL) g_ptr_array_unref(delivery->recipients);
  if (delivery->fd >= 0) close(delivery->fd);
  courier_result_free(delivery->result);
  courier_task_free(delivery->task);
  g_free(delivery->envid);
  g_free(delivery);
}

void courier_delivery_rewind(CourierDelivery *delivery) {
  letter_stream_free(delivery->stream);
  delivery->stream = letter_stream_new(delivery->letter, delivery->fd);
  delivery->reached_end = false;
  delivery->is_confused = false;
  delivery->is_ahead = false;
}

static CourierResult *take_outcomes(const CourierDelivery *delivery, const SenderOutcome *outcomes,
                                    unsigned count) {
  CourierResult *result = courier_result_new(delivery->task->id, COURIER_ANSWERED, NULL);
  for (unsigned i = 0; i < count; i++)
    g_ptr_array_add(result->outcomes,
                    outbox_recipient_new(g_ptr_array_index(delivery->recipients, i),
                                         (int)outcomes[i].verdict, outcomes[i].reply));
  return result;
}

CourierResult *courier_delivery_send(CourierDelivery *delivery, Sender *sender) {
  unsigned count = delivery->recipients->len - 1;
  g_autofree SenderOutcome *outcomes = g_new0(SenderOutcome, count);
  g_autoptr(GError) error = NULL;
  CourierResult *result;
  if (sender_send(sender, &delivery->sent, outcomes, &error)) {
    result = take_outcomes(delivery, outcomes, count);
  } else {
    result = courier_result_new(delivery->task->id, verdict_of(error), error->message);
    result->uncertain = delivery->reached_end && result->verdict == COURIER_DELAYED;
    delivery->is_confused = g_error_matches(error, NET_ERROR, NET_ERROR_PROTOCOL);
  }
  for (unsigned i = 0; i < count; i++)
    g_free(outcomes[i].reply);
  return result;
}
