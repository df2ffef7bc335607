// To the courier, and what comes of it.
#include <string.h>

#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

#define RETRY_MS 60000

int64_t outbox_retry_delay_us(const Outbox *outbox, unsigned attempts) {
  int64_t first_ms = outbox->options.retry_ms > 0 ? outbox->options.retry_ms : RETRY_MS;
  return outbox_retry_delay_ms(first_ms, attempts) * 1000;
}

static void give_to_courier(Outbox *outbox, const OutboxLetter *letter) {
  CourierTask *task = g_new0(CourierTask, 1);
  task->id = letter->row.id;
  task->from = g_strdup(letter->row.from);
  task->message_id = g_strdup(letter->row.message_id);
  task->date = letter->row.date;
  envelope_copy(&task->envelope, &letter->row.envelope);
  task->settled = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  for (unsigned i = 0; i < letter->recipients->len; i++)
    g_ptr_array_add(task->settled, outbox_recipient_copy(g_ptr_array_index(letter->recipients, i)));
  courier_push(outbox->courier, task);
}

void outbox_hand_over(Outbox *outbox, OutboxLetter *letter) {
  outbox_agenda_remove(outbox, letter);
  letter->row.phase = OUTBOX_SENDING;
  letter->is_recorded = false;
  letter->pins++;
  g_ptr_array_add(outbox->under_way, letter);
  if (!outbox_look_first(outbox, letter)) give_to_courier(outbox, letter);
}

static OutboxLetter *take_back(Outbox *outbox, uint64_t id) {
  for (unsigned i = 0; i < outbox->under_way->len; i++) {
    OutboxLetter *letter = g_ptr_array_index(outbox->under_way, i);
    if (letter->row.id != id) continue;
    g_ptr_array_remove_index_fast(outbox->under_way, i);
    letter->pins--;
    return letter;
  }
  g_assert_not_reached();
}

bool outbox_recall(Outbox *outbox, OutboxLetter *letter) {
  bool is_under_way = letter->row.phase == OUTBOX_SENDING || letter->row.phase == OUTBOX_SENT_DATA;
  if (!is_under_way) return true;
  if (!courier_withdraw(outbox->courier, letter->row.id)) return false;
  take_back(outbox, letter->row.id);
  letter->row.phase = OUTBOX_QUEUED;
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
  return true;
}

static bool is_too_old(const Outbox *outbox, const OutboxLetter *letter) {
  int64_t age_s = outbox_now_s(outbox) - letter->row.queued_at;
  return age_s >= 0 && (uint64_t)age_s >= outbox->options.send_lifetime_s;
}

static void give_up(Outbox *outbox, OutboxLetter *letter, const GPtrArray *outcomes) {
  g_autofree char *reason =
      g_strdup_printf("it could not be sent in time; the last try: %s", letter->row.error);
  outbox_fail(outbox, letter, true, reason, outcomes, NULL, NULL);
}

// What waits for the connection waits for that reason, tried or not, and what has waited too long
// is given up with the one that was tried.
static void note_waiting(Outbox *outbox, OutboxLetter *letter, const char *message) {
  if (letter->row.error == NULL)
    letter->row.error = g_strdup(message);
  else if (is_too_old(outbox, letter))
    give_up(outbox, letter, NULL);
}

// Letters that failed with one connection, or while its delay runs, are one failure; a try out of
// turn, because there was a new letter, makes the delay no longer.
static void note_offline(Outbox *outbox, const char *message) {
  outbox->lets_in = false;
  int64_t now_us = outbox_now_us(outbox);
  if (now_us < outbox->resume_us) return;
  if (outbox->failures == 0) g_message("outbox: %s", message);
  if (outbox->failures == 0 || !outbox->out_of_turn) outbox->failures++;
  if (outbox->out_of_turn) outbox->hurried_us = now_us;
  outbox->out_of_turn = false;
  outbox->resume_us = now_us + outbox_retry_delay_us(outbox, outbox->failures);
  outbox_agenda_each_queued(outbox, note_waiting, message);
}

static void queue_again(Outbox *outbox, OutboxLetter *letter, int64_t wait_us,
                        const char *message) {
  letter->row.phase = OUTBOX_QUEUED;
  g_free(letter->row.error);
  letter->row.error = g_strdup(message);
  letter->row.next_try = outbox_now_s(outbox) + wait_us / G_USEC_PER_SEC;
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox) + wait_us);
}

// A try that failed by the connection is paced by the connection: the letter itself stays due, and
// has not failed once more.
static void delay(Outbox *outbox, OutboxLetter *letter, bool offline, const char *message,
                  const GPtrArray *outcomes) {
  if (!offline) letter->row.attempts++;
  int64_t wait_us = offline ? 0 : outbox_retry_delay_us(outbox, letter->row.attempts);
  queue_again(outbox, letter, wait_us, message);
  if (is_too_old(outbox, letter)) {
    give_up(outbox, letter, outcomes);
    return;
  }
  outbox_store(outbox, letter, NULL, NULL);
  outbox_tell_drains(outbox, letter, offline ? OUTBOX_FATE_OFFLINE : OUTBOX_FATE_DELAYED);
}

static void wait_for_server(Outbox *outbox, OutboxLetter *letter, const char *message) {
  delay(outbox, letter, true, message, NULL);
  note_offline(outbox, message);
}

// A server that let in another letter since it last turned one away leaves because of this one,
// until it leaves at the next one, too.
static void turn_away(Outbox *outbox, OutboxLetter *letter, const char *message) {
  letter->turned_away = true;
  if (outbox->lets_in)
    delay(outbox, letter, false, message, NULL);
  else
    wait_for_server(outbox, letter, message);
  outbox->lets_in = false;
}

// Where what was tried instead has not stopped the sending, it goes on.
static void try_anew(Outbox *outbox, OutboxLetter *letter, const char *message) {
  if (outbox->failures > 0) {
    delay(outbox, letter, true, message, NULL);
    return;
  }
  letter->row.phase = OUTBOX_QUEUED;
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
  outbox_store(outbox, letter, NULL, NULL);
}

static void take_recorded(SpoolJob *job, gpointer data) {
  OutboxLetter *letter = ((const OutboxErrand *)job->detail)->letter;
  letter->is_recorded |= job->error == NULL;
  outbox_end_errand(data, job, job->error);
}

void outbox_record_accepted(Outbox *outbox, OutboxLetter *letter) {
  if (letter->row.phase != OUTBOX_ACCEPTED || letter->is_recorded) return;
  SpoolJob *job = outbox_new_job(letter, SPOOL_ADVANCE);
  job->vital = true;
  outbox_push(outbox, letter, job, take_recorded, NULL, NULL);
}

static void finish(Outbox *outbox, OutboxLetter *letter) {
  letter->row.phase = OUTBOX_ACCEPTED;
  letter->commit++;
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_SENT);
  outbox_table_unlink(outbox->table, letter);
  outbox_tell_removed(outbox, OUTBOX_INO, letter->row.ino, letter->row.name);
  outbox_tell_changed(outbox, OUTBOX_INO);
  if (outbox_wants_copy(outbox, letter))
    outbox_copy(outbox, letter);
  else
    outbox_remove_letter(outbox, letter, NULL, NULL);
}

void outbox_take_look(Outbox *outbox, uint64_t id, bool was_sent) {
  if (was_sent) {
    OutboxLetter *letter = take_back(outbox, id);
    letter->row.copied = true;
    finish(outbox, letter);
  } else {
    for (unsigned i = 0; i < outbox->under_way->len; i++) {
      const OutboxLetter *letter = g_ptr_array_index(outbox->under_way, i);
      if (letter->row.id == id) give_to_courier(outbox, letter);
    }
  }
  outbox_run_agenda(outbox);
}

static const OutboxRecipient *find_verdict(const GPtrArray *recipients, int verdict) {
  for (unsigned i = 0; i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    if (recipient->verdict == verdict) return recipient;
  }
  return NULL;
}

static const char *reply_of(const OutboxRecipient *recipient) {
  return recipient->reply != NULL ? recipient->reply : "no reason given";
}

// RFC 5321 4.5.3.1.10: a server takes so many recipients at a time, and says so with 452 or, alas,
// 552. What enhanced code these have tells them from a disk or a mailbox that is full.
static bool was_one_too_many(const OutboxRecipient *recipient) {
  const char *reply = reply_of(recipient);
  bool has_code = g_str_has_prefix(reply, "452") || g_str_has_prefix(reply, "552");
  bool is_enhanced = has_code && strlen(reply) > 5 && g_ascii_isdigit(reply[4]) && reply[5] == '.';
  return is_enhanced ? g_str_has_prefix(reply + 5, ".5.3") : has_code;
}

// Those that were too many for one letter are next at once, as long as some are accepted each time.
static void wait_for(Outbox *outbox, OutboxLetter *letter, const GPtrArray *waiting,
                     bool has_advanced) {
  const OutboxRecipient *first = g_ptr_array_index(waiting, 0);
  if (has_advanced) letter->row.attempts = 0;
  if (!has_advanced || !was_one_too_many(first)) {
    delay(outbox, letter, false, reply_of(first), waiting);
    return;
  }
  queue_again(outbox, letter, 0, reply_of(first));
  outbox_store(outbox, letter, NULL, NULL);
}

// Accepted and refused recipients are settled; the others are tried again until they are too.
static void settle(Outbox *outbox, OutboxLetter *letter, const GPtrArray *outcomes) {
  g_autoptr(GPtrArray) waiting =
      g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  for (unsigned i = 0; i < outcomes->len; i++) {
    OutboxRecipient *recipient = outbox_recipient_copy(g_ptr_array_index(outcomes, i));
    g_ptr_array_add(recipient->verdict == SENDER_TEMPORARY ? waiting : letter->recipients,
                    recipient);
  }
  bool has_advanced = find_verdict(outcomes, SENDER_ACCEPTED) != NULL;
  if (has_advanced) letter->row.accepted_at = outbox_now_s(outbox);
  const OutboxRecipient *refused = find_verdict(letter->recipients, SENDER_PERMANENT);
  if (waiting->len > 0)
    wait_for(outbox, letter, waiting, has_advanced);
  else if (refused != NULL)
    outbox_fail(outbox, letter, true, reply_of(refused), NULL, NULL, NULL);
  else
    finish(outbox, letter);
}

// What it says of the server. An answer that was had before a connection failed, and is told later,
// says nothing of what is now.
static void note_verdict(Outbox *outbox, OutboxLetter *letter, const CourierResult *result) {
  bool is_failure = result->verdict == COURIER_OFFLINE || result->verdict == COURIER_TURNED_AWAY;
  if (result->verdict == COURIER_UNTRIED || result->is_ours) return;
  if (is_failure) {
    outbox->denied = result->denied;
    outbox->failed_us = MAX(outbox->failed_us, result->known_us);
    return;
  }
  letter->turned_away = false;
  if (result->known_us < outbox->failed_us) return;
  outbox->denied = false;
  outbox->failures = 0;
  outbox->resume_us = 0;
  outbox->lets_in |= result->verdict == COURIER_ANSWERED;
}

void outbox_take_result(const CourierResult *result, const GError *error, gpointer data) {
  Outbox *outbox = data;
  OutboxLetter *letter = take_back(outbox, result->id);
  if (error != NULL) g_warning("outbox: %s", error->message);
  letter->is_recorded = error == NULL && result->verdict == COURIER_ANSWERED;
  if (result->max_size > 0) {
    outbox->max_size = result->max_size;
    outbox->max_size_us = outbox_now_us(outbox);
  }
  if (result->uncertain) letter->row.perhaps_sent = true;
  if (result->uncertain) letter->has_looked = false;
  note_verdict(outbox, letter, result);
  switch (result->verdict) {
    case COURIER_ANSWERED:
      settle(outbox, letter, result->outcomes);
      break;
    case COURIER_DELAYED:
      delay(outbox, letter, false, result->message, NULL);
      break;
    case COURIER_OFFLINE:
      wait_for_server(outbox, letter, result->message);
      break;
    case COURIER_TURNED_AWAY:
      turn_away(outbox, letter, result->message);
      break;
    case COURIER_UNTRIED:
      try_anew(outbox, letter, result->message);
      break;
    case COURIER_HOPELESS:
      outbox_fail(outbox, letter, true, result->message, NULL, NULL, NULL);
      break;
  }
  outbox_run_agenda(outbox);
}
