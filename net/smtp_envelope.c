// MAIL, RCPT and what begins the letter. Where the server has PIPELINING (RFC 2920), commands go
// many in one flight; then all their replies are taken, before the next flight. A flight is small
// enough to lie in the buffers between the two, its replies too: neither side ever waits with
// writing until the other reads.
#include <string.h>

#include "net/error.h"
#include "net/smtp_delivery.h"

#define FLIGHT_COMMANDS 100
#define FLIGHT_BYTES 16384

void smtp_envelope_clear(SmtpEnvelope *envelope) {
  g_clear_pointer(&envelope->tail, smtp_reply_free);
}

// RFC 3461 4: what is not a printable ASCII character, `+` and `=` is written in hexadecimal.
static void append_xtext(GString *command, const char *text) {
  for (; *text != '\0'; text++) {
    if (g_ascii_isgraph(*text) && *text != '+' && *text != '=')
      g_string_append_c(command, *text);
    else
      g_string_append_printf(command, "+%02X", (unsigned char)*text);
  }
}

static void append_mail(const SmtpDelivery *delivery, GString *out) {
  const SenderLetter *letter = delivery->letter;
  unsigned extensions = delivery->connection->extensions;
  g_string_append_printf(out, "MAIL FROM:<%s>", letter->from);
  if (extensions & SMTP_SIZE)
    g_string_append_printf(out, " SIZE=%" G_GUINT64_FORMAT, letter->size_bytes);
  if (letter->has_8bit) g_string_append(out, " BODY=8BITMIME");
  if (letter->needs_utf8) g_string_append(out, " SMTPUTF8");
  if (extensions & SMTP_DSN) {
    static const char *const words[] = {
        [SENDER_RETURN_HEADER] = " RET=HDRS",
        [SENDER_RETURN_FULL] = " RET=FULL",
    };
    if (letter->ret != SENDER_RETURN_DEFAULT) g_string_append(out, words[letter->ret]);
    if (letter->envid != NULL) {
      g_string_append(out, " ENVID=");
      append_xtext(out, letter->envid);
    }
  }
  g_string_append(out, "\r\n");
}

static void append_recipient(const SmtpDelivery *delivery, size_t recipient, GString *out) {
  static const struct {
    unsigned bit;
    const char *word;
  } words[] = {
      {SENDER_NOTIFY_NEVER, "NEVER"},
      {SENDER_NOTIFY_SUCCESS, "SUCCESS"},
      {SENDER_NOTIFY_FAILURE, "FAILURE"},
      {SENDER_NOTIFY_DELAY, "DELAY"},
  };
  const SenderLetter *letter = delivery->letter;
  g_string_append_printf(out, "RCPT TO:<%s>", letter->recipients[recipient]);
  bool asks = letter->notify != 0 && (delivery->connection->extensions & SMTP_DSN);
  const char *before = " NOTIFY=";
  for (size_t i = 0; asks && i < G_N_ELEMENTS(words); i++) {
    if (!(letter->notify & words[i].bit)) continue;
    g_string_append_printf(out, "%s%s", before, words[i].word);
    before = ",";
  }
  g_string_append(out, "\r\n");
}

static bool append_tail(SmtpDelivery *delivery, GString *out, GError **error) {
  if (delivery->tail == SMTP_TAIL_DATA) {
    g_string_append(out, "DATA\r\n");
    return true;
  }
  size_t size;
  const char *bytes = smtp_content_block(&delivery->content, &size);
  if (!smtp_content_end(&delivery->content, error)) return false;
  g_string_append_printf(out, "BDAT %zu LAST\r\n", size);
  g_string_append_len(out, bytes, (gssize)size);
  delivery->said_reset = smtp_ahead_wants_reset(delivery->connection);
  if (delivery->said_reset) g_string_append(out, "RSET\r\n");
  return true;
}

// Commands are numbered: 0 is MAIL, 1 to `count` are the recipients, then comes the tail.
static bool append_command(SmtpDelivery *delivery, size_t number, GString *out, GError **error) {
  if (number > delivery->count) return append_tail(delivery, out, error);
  if (number == 0)
    append_mail(delivery, out);
  else
    append_recipient(delivery, number - 1, out);
  return true;
}

static bool take_mail(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error) {
  g_autoptr(SmtpReply) reply = smtp_connection_reply(delivery->connection, SMTP_COMMAND_MS, error);
  if (reply == NULL || !smtp_delivery_expect(delivery, reply, "MAIL", 2, error)) return false;
  delivery->is_heard = reply->code != 421;
  envelope->mail_refused = smtp_reply_class(reply) != 2;
  envelope->out_of_step = reply->code == 503;
  if (envelope->mail_refused) smtp_delivery_tell_all(delivery, reply);
  return true;
}

static bool take_recipient(SmtpDelivery *delivery, size_t recipient, SmtpEnvelope *envelope,
                           GError **error) {
  SmtpConnection *connection = delivery->connection;
  g_autoptr(GError) cause = NULL;
  g_autoptr(SmtpReply) reply = smtp_connection_reply(connection, SMTP_COMMAND_MS, &cause);
  // Without a sender, whatever is said of a recipient says nothing, and if it is nothing.
  bool is_told = envelope->mail_refused;
  if (reply == NULL && !is_told) g_propagate_error(error, g_steal_pointer(&cause));
  if (reply == NULL) return is_told;
  if (!smtp_delivery_expect(delivery, reply, "RCPT", 2, error)) return false;
  if (smtp_reply_class(reply) == 2) delivery->accepted++;
  if (is_told) return true;
  if (reply->code == 503) envelope->out_of_step = true;
  smtp_delivery_tell(delivery, recipient, reply);
  // RFC 5321 4.5.3.1.10: a bare 552 is what old servers say for 452, too many recipients.
  if (reply->code == 552 && reply->enhanced[0] == 0 && delivery->accepted > 0)
    delivery->outcomes[recipient].verdict = SENDER_TEMPORARY;
  if (connection->is_over) smtp_delivery_tell_all(delivery, reply);
  return true;
}

static bool take_tail(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error) {
  SmtpConnection *connection = delivery->connection;
  bool is_data = delivery->tail == SMTP_TAIL_DATA;
  g_autoptr(GError) cause = NULL;
  envelope->tail = smtp_connection_reply(connection, is_data ? SMTP_DATA_MS : SMTP_END_MS, &cause);
  const SmtpReply *reply = envelope->tail;
  // Where nobody was to get the letter, all is said.
  if (envelope->mail_refused || delivery->accepted == 0) return true;
  if (reply == NULL) {
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
  }
  if (!smtp_delivery_expect(delivery, reply, is_data ? "DATA" : "BDAT", is_data ? 3 : 2, error))
    return false;
  if (!is_data || smtp_reply_class(reply) != 3) smtp_delivery_tell_all(delivery, reply);
  return true;
}

static bool take_reply(SmtpDelivery *delivery, size_t number, SmtpEnvelope *envelope,
                       GError **error) {
  if (number == 0) return take_mail(delivery, envelope, error);
  if (number <= delivery->count) return take_recipient(delivery, number - 1, envelope, error);
  if (!take_tail(delivery, envelope, error)) return false;
  bool is_taken = envelope->tail != NULL && smtp_reply_class(envelope->tail) == 2 &&
                  !envelope->mail_refused && delivery->accepted > 0;
  return smtp_ahead_confirm(delivery, is_taken, error);
}

// All before command `end` was said.
static void note_out(SmtpDelivery *delivery, size_t end) {
  delivery->is_out = end > delivery->count + 1 && delivery->tail == SMTP_TAIL_CHUNK;
}

// Behind a whole letter another may go.
static void go_on_ahead(SmtpDelivery *delivery) {
  if (delivery->is_out) smtp_ahead_begin(delivery);
}

// Takes the replies to commands from `first` on, as long as the server stays.
static bool take_replies(SmtpDelivery *delivery, size_t first, size_t end, SmtpEnvelope *envelope,
                         GError **error) {
  for (size_t number = first; number < end && !delivery->connection->is_over; number++)
    if (!take_reply(delivery, number, envelope, error)) return false;
  return true;
}

// Sends commands from `first` on, up to what one flight holds, and takes their replies. `*next` is
// the first that was not sent.
static bool fly(SmtpDelivery *delivery, size_t first, size_t end, SmtpEnvelope *envelope,
                size_t *next, GError **error) {
  SmtpConnection *connection = delivery->connection;
  size_t most = connection->extensions & SMTP_PIPELINING ? FLIGHT_COMMANDS : 1;
  if (!smtp_connection_is_quiet(connection, error)) return false;
  g_autoptr(GString) out = g_string_new(NULL);
  size_t number = first;
  for (; number < end && number - first < most && out->len < FLIGHT_BYTES; number++)
    if (!append_command(delivery, number, out, error)) return false;
  *next = number;
  if (!smtp_connection_send(connection, out->str, out->len, error)) return false;
  note_out(delivery, number);
  go_on_ahead(delivery);
  return take_replies(delivery, first, *next, envelope, error);
}

static size_t command_count(const SmtpDelivery *delivery) {
  return 1 + delivery->count + (delivery->tail != SMTP_TAIL_NONE);
}

bool smtp_envelope_begin(SmtpDelivery *delivery, bool with_reset, size_t awaited, GError **error) {
  size_t end = command_count(delivery);
  if (awaited + with_reset + end + 1 > FLIGHT_COMMANDS) return true;
  g_autoptr(GString) out = g_string_new(with_reset ? "RSET\r\n" : NULL);
  for (size_t number = 0; number < end; number++) {
    if (out->len >= FLIGHT_BYTES) return true;
    if (!append_command(delivery, number, out, error)) return false;
  }
  if (!smtp_connection_send_behind(delivery->connection, out->str, out->len, error)) return false;
  note_out(delivery, end);
  delivery->said = end;
  return true;
}

// Takes the replies to what was said ahead.
static bool take_ahead(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error) {
  size_t said = delivery->said;
  delivery->said = 0;
  if (said == 0) return true;
  go_on_ahead(delivery);
  return take_replies(delivery, 0, said, envelope, error);
}

bool smtp_envelope_send(SmtpDelivery *delivery, SmtpEnvelope *envelope, GError **error) {
  SmtpConnection *connection = delivery->connection;
  size_t end = command_count(delivery), next = delivery->said;
  *envelope = (SmtpEnvelope){0};
  bool is_answered = take_ahead(delivery, envelope, error);
  while (is_answered && next < end) {
    bool is_hopeless =
        envelope->mail_refused || (next > delivery->count && delivery->accepted == 0);
    if (is_hopeless || connection->is_over) break;
    is_answered = fly(delivery, next, end, envelope, &next, error);
  }
  // A letter that was begun and is not ended: only closing takes it back.
  if (!is_answered && next > 0) connection->is_over = true;
  if (is_answered && !envelope->out_of_step) connection->is_in_step = true;
  return is_answered;
}
