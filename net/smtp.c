#include "net/smtp.h"

#include "net/error.h"
#include "net/smtp_delivery.h"

#define SLOW_US (3 * G_USEC_PER_SEC)

typedef struct {
  Sender sender;
  SmtpConnection *connection;
  SmtpDelivery *next;  // the letter that must be sent next; NULL: any
  char *name;
} SmtpSender;

// Ends a letter that has no recipient left. The outcomes stand, whatever comes of this.
static void call_off(const SmtpDelivery *delivery, const SmtpEnvelope *envelope) {
  SmtpConnection *connection = delivery->connection;
  bool awaits_letter = envelope->tail != NULL && smtp_reply_class(envelope->tail) == 3;
  // RFC 2920 3.1: DATA may be accepted all the same, then a lone dot ends it. A server that has a
  // recipient, but no sender, is not given one.
  if (awaits_letter && delivery->accepted > 0) connection->is_over = true;
  if (connection->is_over) return;
  if (awaits_letter && smtp_delivery_is_followed(delivery)) {
    connection->is_over = true;
    return;
  }
  if (awaits_letter) {
    g_autoptr(SmtpReply) reply = smtp_connection_command(connection, ".", SMTP_END_MS, NULL);
    if (reply == NULL) return;
  }
  bool is_clean = envelope->mail_refused && envelope->tail == NULL && !envelope->out_of_step;
  if (!is_clean && !awaits_letter) smtp_delivery_reset(delivery);
}

// The server announces PIPELINING and cannot do it; nobody and nothing was taken.
static bool must_go_slowly(const SmtpDelivery *delivery, const SmtpEnvelope *envelope) {
  bool took_letter = envelope->tail != NULL && smtp_reply_class(envelope->tail) == 2;
  return envelope->out_of_step && delivery->accepted == 0 && !took_letter &&
         (delivery->connection->extensions & SMTP_PIPELINING);
}

static bool start_again(SmtpDelivery *delivery, GError **error) {
  if (smtp_delivery_is_followed(delivery) || delivery->connection->is_over) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL,
                        "the SMTP server lost count of the commands");
    delivery->connection->is_over = true;
    return false;
  }
  for (size_t i = 0; i < delivery->count; i++) {
    g_free(delivery->outcomes[i].reply);
    delivery->outcomes[i] = (SenderOutcome){0};
  }
  delivery->said_reset = false;
  delivery->connection->extensions &= ~(unsigned)SMTP_PIPELINING;
  return true;
}

// After the envelope was answered, with a recipient that was accepted.
static bool send_body(SmtpDelivery *delivery, const SmtpEnvelope *envelope, GError **error) {
  if (delivery->tail == SMTP_TAIL_NONE) return smtp_body_send_chunks(delivery, error);
  if (smtp_reply_class(envelope->tail) == 3) return smtp_body_send_stuffed(delivery, error);
  if (smtp_reply_class(envelope->tail) != 2) smtp_delivery_reset(delivery);
  return true;
}

// Once more, one command at a time.
static bool send_slowly(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error) {
  call_off(delivery, envelope);
  if (!start_again(delivery, error)) return false;
  smtp_envelope_clear(envelope);
  return smtp_envelope_send(delivery, envelope, error);
}

static bool deliver(SmtpDelivery *delivery, GError **error) {
  SmtpEnvelope envelope;
  bool is_answered = smtp_envelope_send(delivery, &envelope, error);
  if (is_answered && must_go_slowly(delivery, &envelope))
    is_answered = send_slowly(delivery, &envelope, error);
  if (is_answered && !delivery->connection->is_over) {
    if (envelope.mail_refused || delivery->accepted == 0)
      call_off(delivery, &envelope);
    else
      is_answered = send_body(delivery, &envelope, error);
  }
  smtp_envelope_clear(&envelope);
  return is_answered;
}

// The letter as it was begun, if it was.
static SmtpDelivery *take_delivery(SmtpSender *self, const SenderLetter *letter) {
  if (self->next == NULL) return smtp_delivery_new(self->connection, letter);
  g_assert(self->next->letter == letter);
  return g_steal_pointer(&self->next);
}

static bool send_delivery(SmtpSender *self, SmtpDelivery *delivery, GError **error) {
  SmtpConnection *connection = self->connection;
  int64_t began_us = g_get_monotonic_time();
  bool is_answered = smtp_delivery_open(delivery, error) && deliver(delivery, error);
  if (delivery->tail != SMTP_TAIL_NONE)
    connection->is_slow = g_get_monotonic_time() - began_us > SLOW_US;
  self->next = g_steal_pointer(&delivery->next);
  connection->is_over |= connection->is_mute;
  if (!is_answered) smtp_delivery_tell_untaken(delivery);
  if (connection->is_over && self->next != NULL) smtp_delivery_tell_untaken(self->next);
  self->sender.is_over = connection->is_over;
  self->sender.turned_away = connection->is_over && !delivery->is_heard;
  g_debug("%s: letter to %zu: %s%s", self->name, delivery->count,
          is_answered ? "answered" : "no verdict", connection->is_over ? ", connection over" : "");
  return is_answered;
}

static bool smtp_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                      GError **error) {
  SmtpSender *self = (SmtpSender *)sender;
  if (sender->is_over) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the SMTP connection is over");
    return false;
  }
  g_autoptr(SmtpDelivery) delivery = take_delivery(self, letter);
  delivery->outcomes = outcomes;
  return send_delivery(self, delivery, error);
}

static uint64_t smtp_max_size(const Sender *sender) {
  return ((const SmtpSender *)sender)->connection->max_size;
}

static void smtp_free(Sender *sender) {
  SmtpSender *self = (SmtpSender *)sender;
  // A QUIT would be taken for text of the letter that was begun.
  if (self->next != NULL && self->next->said > 0) self->connection->is_over = true;
  smtp_delivery_free(self->next);
  smtp_connection_free(self->connection);
  g_free(self->name);
  g_free(self);
}

static const SenderOps smtp_ops = {smtp_send, smtp_max_size, smtp_free};

Sender *smtp_sender_new(Wire *wire, unsigned timeout_ms, const char *name, GError **error) {
  SmtpConnection *connection = smtp_connection_new(wire, timeout_ms, error);
  if (connection == NULL) return NULL;
  SmtpSender *self = g_new0(SmtpSender, 1);
  self->sender.ops = &smtp_ops;
  self->connection = connection;
  self->name = g_strdup(name);
  return &self->sender;
}
