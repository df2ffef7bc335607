#include "net/smtp.h"

#include <string.h>

#include "net/dot_stuff.h"
#include "net/error.h"
#include "net/smtp_connection.h"

// RFC 5321 4.5.3.1 allows 64 + 1 + 255; what is far beyond is no address.
#define ADDRESS_MAX_BYTES 500
#define BLOCK_BYTES 32768

typedef struct {
  Sender sender;
  SmtpConnection *connection;
  char *name;
} SmtpSender;

// One letter on its way over one connection.
typedef struct {
  SmtpConnection *connection;
  const SenderLetter *letter;
  SenderOutcome *outcomes;
  size_t count;  // of recipients
} Delivery;

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

// What is known to fail before anything is sent.
static bool check_letter(const Delivery *delivery, GError **error) {
  const SenderLetter *letter = delivery->letter;
  const SmtpConnection *connection = delivery->connection;
  if (!check_address(letter->from, letter->needs_utf8, error)) return false;
  for (size_t i = 0; i < delivery->count; i++) {
    if (!check_address(letter->recipients[i], letter->needs_utf8, error)) return false;
  }
  const char *lacking = NULL;
  if (letter->needs_utf8 && !(connection->extensions & SMTP_UTF8)) lacking = "SMTPUTF8";
  if (letter->has_8bit && !(connection->extensions & SMTP_8BITMIME)) lacking = "8BITMIME";
  if (lacking != NULL) {
    g_set_error(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
                "the letter has non-ASCII characters and the server does not offer %s", lacking);
    return false;
  }
  if (connection->max_size == 0 || letter->size_bytes <= connection->max_size) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_LIMIT,
              "the letter has %" G_GUINT64_FORMAT " bytes, the server takes %" G_GUINT64_FORMAT,
              letter->size_bytes, connection->max_size);
  return false;
}

static void tell(SenderOutcome *outcome, const SmtpReply *reply) {
  g_free(outcome->reply);
  outcome->verdict = smtp_reply_verdict(reply);
  outcome->reply = smtp_reply_text(reply);
}

// A reply that ends the whole letter is told to each recipient that was not refused by itself.
static void tell_all(const Delivery *delivery, const SmtpReply *reply) {
  for (size_t i = 0; i < delivery->count; i++) {
    SenderOutcome *outcome = &delivery->outcomes[i];
    if (outcome->reply == NULL || outcome->verdict == SENDER_ACCEPTED) tell(outcome, reply);
  }
}

static SmtpReply *say_mail(const Delivery *delivery, GError **error) {
  const SenderLetter *letter = delivery->letter;
  g_autoptr(GString) command = g_string_new(NULL);
  g_string_printf(command, "MAIL FROM:<%s>", letter->from);
  if (delivery->connection->extensions & SMTP_SIZE)
    g_string_append_printf(command, " SIZE=%" G_GUINT64_FORMAT, letter->size_bytes);
  if (letter->has_8bit) g_string_append(command, " BODY=8BITMIME");
  if (letter->needs_utf8) g_string_append(command, " SMTPUTF8");
  return smtp_connection_command(delivery->connection, command->str, error);
}

static bool expect_answer(SmtpConnection *connection, const SmtpReply *reply, const char *command,
                          unsigned wanted, GError **error) {
  unsigned class = smtp_reply_class(reply);
  if (class == wanted || class == 4 || class == 5) return true;
  g_autofree char *text = smtp_reply_text(reply);
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "the SMTP server answers %s with: %s", command,
              text);
  connection->is_over = true;
  return false;
}

// Names every recipient. `*accepted` is how many were taken; false if there was no answer.
static bool say_recipients(const Delivery *delivery, size_t *accepted, GError **error) {
  SmtpConnection *connection = delivery->connection;
  *accepted = 0;
  for (size_t i = 0; i < delivery->count && !connection->is_over; i++) {
    g_autofree char *command = g_strdup_printf("RCPT TO:<%s>", delivery->letter->recipients[i]);
    g_autoptr(SmtpReply) reply = smtp_connection_command(connection, command, error);
    if (reply == NULL || !expect_answer(connection, reply, "RCPT", 2, error)) return false;
    tell(&delivery->outcomes[i], reply);
    if (delivery->outcomes[i].verdict == SENDER_ACCEPTED) (*accepted)++;
    if (connection->is_over) tell_all(delivery, reply);
  }
  return true;
}

// Forgets a letter that nobody took. The outcomes stand, also if the connection breaks here.
static void reset(SmtpConnection *connection) {
  if (connection->is_over) return;
  g_autoptr(GError) error = NULL;
  g_autoptr(SmtpReply) reply = smtp_connection_command(connection, "RSET", &error);
  if (reply == NULL || smtp_reply_class(reply) != 2) connection->is_over = true;
}

// Reads until the block is full or the letter at its end.
static bool fill(const SenderLetter *letter, char *block, size_t *size, GError **error) {
  *size = 0;
  while (*size < BLOCK_BYTES) {
    ssize_t got = letter->read(block + *size, BLOCK_BYTES - *size, letter->data, error);
    if (got < 0) return false;
    if (got == 0) break;
    *size += (size_t)got;
  }
  return true;
}

// Sends the letter block by block, one held back, so that before_end runs before the last one.
static bool send_body(const Delivery *delivery, GError **error) {
  const SenderLetter *letter = delivery->letter;
  g_autofree char *block = g_malloc(BLOCK_BYTES);
  g_autoptr(GByteArray) stuffed = g_byte_array_sized_new(BLOCK_BYTES + BLOCK_BYTES / 8);
  DotStuffer stuffer = {0};
  size_t size = 0;
  if (!fill(letter, block, &size, error)) return false;
  while (size > 0) {
    dot_stuffer_add(&stuffer, stuffed, block, size);
    if (!fill(letter, block, &size, error)) return false;
    if (size == 0) break;
    if (!smtp_connection_send(delivery->connection, stuffed->data, stuffed->len, error))
      return false;
    g_byte_array_set_size(stuffed, 0);
  }
  dot_stuffer_end(&stuffer, stuffed);
  if (!letter->before_end(letter->data, error)) return false;
  return smtp_connection_send(delivery->connection, stuffed->data, stuffed->len, error);
}

static bool say_data(const Delivery *delivery, GError **error) {
  SmtpConnection *connection = delivery->connection;
  g_autoptr(SmtpReply) go_ahead = smtp_connection_command(connection, "DATA", error);
  if (go_ahead == NULL || !expect_answer(connection, go_ahead, "DATA", 3, error)) return false;
  if (smtp_reply_class(go_ahead) != 3) {
    tell_all(delivery, go_ahead);
    reset(connection);
    return true;
  }
  if (!send_body(delivery, error)) {
    // Half a letter is on the wire: only closing takes it back.
    connection->is_over = true;
    return false;
  }
  g_autoptr(SmtpReply) verdict = smtp_connection_late_reply(connection, error);
  if (verdict == NULL || !expect_answer(connection, verdict, "the letter", 2, error)) return false;
  tell_all(delivery, verdict);
  return true;
}

static bool deliver(const Delivery *delivery, GError **error) {
  SmtpConnection *connection = delivery->connection;
  g_autoptr(SmtpReply) reply = say_mail(delivery, error);
  if (reply == NULL || !expect_answer(connection, reply, "MAIL", 2, error)) return false;
  if (smtp_reply_class(reply) != 2) {
    tell_all(delivery, reply);
    return true;
  }
  size_t accepted = 0;
  if (!say_recipients(delivery, &accepted, error)) return false;
  if (connection->is_over) return true;
  if (accepted > 0) return say_data(delivery, error);
  reset(connection);
  return true;
}

static bool smtp_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                      GError **error) {
  SmtpSender *self = (SmtpSender *)sender;
  size_t count = g_strv_length((char **)letter->recipients);
  Delivery delivery = {self->connection, letter, outcomes, count};
  g_assert(count > 0);
  if (sender->is_over) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the SMTP connection is over");
    return false;
  }
  bool is_answered = check_letter(&delivery, error) && deliver(&delivery, error);
  sender->is_over = self->connection->is_over;
  g_debug("%s: letter to %zu: %s%s", self->name, count, is_answered ? "answered" : "no verdict",
          sender->is_over ? ", connection over" : "");
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

Sender *smtp_sender_new(Wire *wire, const char *name, GError **error) {
  SmtpConnection *connection = smtp_connection_new(wire, error);
  if (connection == NULL) return NULL;
  SmtpSender *self = g_new0(SmtpSender, 1);
  self->sender.ops = &smtp_ops;
  self->connection = connection;
  self->name = g_strdup(name);
  return &self->sender;
}
