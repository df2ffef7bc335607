#include "net/smtp.h"

#include <string.h>

#include "net/error.h"
#include "net/smtp_delivery.h"

// RFC 5321 4.5.3.1 allows 64 + 1 + 255; what is far beyond is no address.
#define ADDRESS_MAX_BYTES 500
// RFC 3461 4.4.
#define ENVID_MAX_BYTES 100

typedef struct {
  Sender sender;
  SmtpConnection *connection;
  char *name;
} SmtpSender;

static bool check_address(const char *address, bool allow_utf8, GError **error) {
  bool is_plain = true, is_ascii = true;
  for (const char *p = address; *p != '\0'; p++) {
    if (g_ascii_iscntrl(*p) || strchr(" <>", *p) != NULL) is_plain = false;
    if ((unsigned char)*p >= 0x80) is_ascii = false;
  }
  bool is_fit = is_ascii || (allow_utf8 && g_utf8_validate(address, -1, NULL));
  if (is_plain && is_fit && strlen(address) <= ADDRESS_MAX_BYTES) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
              "an address cannot be used in an envelope: it has a control character, a blank, an "
              "angle bracket or unexpected non-ASCII bytes, or is too long");
  return false;
}

static bool check_envid(const char *envid, GError **error) {
  if (envid == NULL) return true;
  size_t length = 0;
  bool is_printable = true;
  for (const char *p = envid; *p != '\0'; p++) {
    is_printable &= g_ascii_isprint(*p);
    length += *p == '+' || *p == '=' || *p == ' ' ? 3 : 1;
  }
  if (is_printable && length > 0 && length <= ENVID_MAX_BYTES) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
              "the envelope ID is empty, too long or not printable ASCII");
  return false;
}

static bool check_extensions(const SmtpConnection *connection, const SenderLetter *letter,
                             GError **error) {
  const char *lacking = NULL;
  if (letter->needs_utf8 && !(connection->extensions & SMTP_UTF8)) lacking = "SMTPUTF8";
  if (letter->has_8bit && !(connection->extensions & SMTP_8BITMIME)) lacking = "8BITMIME";
  if (lacking == NULL) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
              "the letter has non-ASCII characters and the server does not offer %s", lacking);
  return false;
}

// What is known to fail before anything is sent.
static bool check_letter(const SmtpConnection *connection, const SenderLetter *letter,
                         GError **error) {
  if (!check_address(letter->from, letter->needs_utf8, error)) return false;
  for (const char *const *address = letter->recipients; *address != NULL; address++)
    if (!check_address(*address, letter->needs_utf8, error)) return false;
  if (!check_envid(letter->envid, error)) return false;
  if (!check_extensions(connection, letter, error)) return false;
  if (connection->max_size == 0 || letter->size_bytes <= connection->max_size) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_LIMIT,
              "the letter has %" G_GUINT64_FORMAT " bytes, the server takes %" G_GUINT64_FORMAT,
              letter->size_bytes, connection->max_size);
  return false;
}

// A small letter goes in one flight with its envelope, unless only DATA can mend its line breaks.
static SmtpTail choose_tail(const SmtpDelivery *delivery) {
  const SmtpContent *content = &delivery->content;
  size_t size;
  smtp_content_block(content, &size);
  bool is_small = smtp_content_is_last(content);
  if (!(delivery->connection->extensions & SMTP_CHUNKING) || size == 0) return SMTP_TAIL_DATA;
  if (!is_small) return SMTP_TAIL_NONE;
  return content->is_mendable ? SMTP_TAIL_DATA : SMTP_TAIL_CHUNK;
}

// Ends a letter that has no recipient left. The outcomes stand, whatever comes of this.
static void call_off(const SmtpDelivery *delivery, const SmtpEnvelope *envelope) {
  SmtpConnection *connection = delivery->connection;
  bool awaits_letter = envelope->tail != NULL && smtp_reply_class(envelope->tail) == 3;
  // RFC 2920 3.1: DATA may be accepted all the same, then a lone dot ends it. A server that has a
  // recipient, but no sender, is not given one.
  if (awaits_letter && delivery->accepted > 0) connection->is_over = true;
  if (connection->is_over) return;
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
         !delivery->connection->is_over && (delivery->connection->extensions & SMTP_PIPELINING);
}

static void start_again(SmtpDelivery *delivery) {
  for (size_t i = 0; i < delivery->count; i++) {
    g_free(delivery->outcomes[i].reply);
    delivery->outcomes[i] = (SenderOutcome){0};
  }
  delivery->connection->extensions &= ~(unsigned)SMTP_PIPELINING;
}

// After the envelope was answered, with a recipient that was accepted.
static bool send_body(SmtpDelivery *delivery, SmtpTail tail, const SmtpEnvelope *envelope,
                      GError **error) {
  if (tail == SMTP_TAIL_NONE) return smtp_body_send_chunks(delivery, error);
  if (smtp_reply_class(envelope->tail) == 3) return smtp_body_send_stuffed(delivery, error);
  if (smtp_reply_class(envelope->tail) != 2) smtp_delivery_reset(delivery);
  return true;
}

static bool deliver(SmtpDelivery *delivery, GError **error) {
  SmtpTail tail = choose_tail(delivery);
  SmtpEnvelope envelope;
  bool is_answered = smtp_envelope_send(delivery, tail, &envelope, error);
  if (is_answered && must_go_slowly(delivery, &envelope)) {
    call_off(delivery, &envelope);
    if (!delivery->connection->is_over) {
      start_again(delivery);
      smtp_envelope_clear(&envelope);
      is_answered = smtp_envelope_send(delivery, tail, &envelope, error);
    }
  }
  if (is_answered && !delivery->connection->is_over) {
    if (envelope.mail_refused || delivery->accepted == 0)
      call_off(delivery, &envelope);
    else
      is_answered = send_body(delivery, tail, &envelope, error);
  }
  smtp_envelope_clear(&envelope);
  return is_answered;
}

static bool send_letter(SmtpSender *self, const SenderLetter *letter, SenderOutcome *outcomes,
                        GError **error) {
  SmtpDelivery delivery = {
      .connection = self->connection,
      .letter = letter,
      .outcomes = outcomes,
      .count = g_strv_length((char **)letter->recipients),
  };
  g_assert(delivery.count > 0);
  bool is_answered = check_letter(self->connection, letter, error) &&
                     smtp_content_open(&delivery.content, letter, error) &&
                     deliver(&delivery, error);
  smtp_content_clear(&delivery.content);
  g_debug("%s: letter to %zu: %s%s", self->name, delivery.count,
          is_answered ? "answered" : "no verdict",
          self->connection->is_over ? ", connection over" : "");
  return is_answered;
}

static bool smtp_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                      GError **error) {
  SmtpSender *self = (SmtpSender *)sender;
  if (sender->is_over) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the SMTP connection is over");
    return false;
  }
  bool is_answered = send_letter(self, letter, outcomes, error);
  sender->is_over = self->connection->is_over;
  return is_answered;
}

static uint64_t smtp_max_size(const Sender *sender) {
  return ((const SmtpSender *)sender)->connection->max_size;
}

static void smtp_free(Sender *sender) {
  SmtpSender *self = (SmtpSender *)sender;
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
