// Between two letters by BDAT stands RSET: what a refused chunk leaves is not defined (RFC 3030 2),
// and MAIL may be what was refused. Its reply also proves the letter's own. A server that once said
// one word too many has all its replies taken for those to the commands before, and that to RCPT
// for the verdict; the true one then comes as that to RSET, and is seen if it is a refusal. A
// letter by DATA has its 354 for that. It goes in one flight with the letter, so that it costs no
// round trip: but for the first letter of a connection that has another behind it.
#include "net/error.h"
#include "net/smtp_delivery.h"

// So many letters by BDAT follow each other before one waits until nothing is awaited any more:
// only then it is seen whether the server said more than it was asked.
#define LOOK_AFTER 8

// A small letter that is on the wire whole waits for the answer to this one, and no other
// connection can take it: so this one is small itself, and the last such answer came soon.
static bool may_begin(const SmtpDelivery *delivery) {
  const SmtpConnection *connection = delivery->connection;
  bool is_able = (connection->extensions & SMTP_PIPELINING) && connection->is_in_step;
  bool is_quick = delivery->tail != SMTP_TAIL_NONE && !connection->is_slow;
  return is_able && is_quick && delivery->letter->next != NULL && delivery->next == NULL &&
         !connection->is_over && connection->unseen < LOOK_AFTER;
}

static void begin_next(SmtpDelivery *delivery) {
  SmtpConnection *connection = delivery->connection;
  const SenderLetter *letter = delivery->letter->next(delivery->letter->data);
  if (letter == NULL) return;
  SmtpDelivery *next = delivery->next = smtp_delivery_new(connection, letter);
  bool is_chunk = delivery->tail == SMTP_TAIL_CHUNK;
  bool lacks_reset = is_chunk && !delivery->said_reset;
  size_t awaited = is_chunk ? delivery->count + 2 + delivery->said_reset : 1;
  bool took_reset = connection->takes_reset;
  connection->takes_reset = connection->extensions & SMTP_CHUNKING;
  if (smtp_delivery_open(next, &next->error))
    smtp_envelope_begin(next, lacks_reset, awaited, &next->error);
  connection->takes_reset &= took_reset || next->said > 0;
  delivery->said_reset |= lacks_reset && next->said > 0;
  connection->unseen++;
}

void smtp_ahead_begin(SmtpDelivery *delivery) {
  SmtpConnection *connection = delivery->connection;
  if (may_begin(delivery)) begin_next(delivery);
  if (delivery->tail == SMTP_TAIL_NONE && smtp_ahead_wants_reset(connection))
    delivery->said_reset = smtp_connection_send_behind(connection, "RSET\r\n", 6, NULL);
}

bool smtp_ahead_wants_reset(const SmtpConnection *connection) {
  return connection->takes_reset && (connection->extensions & SMTP_PIPELINING);
}

// A server that ends the connection there has answered the letter, as far as can be known.
static bool is_proof(const SmtpReply *reply, const GError *cause) {
  if (reply != NULL) return smtp_reply_class(reply) == 2 || reply->code == 421;
  return g_error_matches(cause, NET_ERROR, NET_ERROR_OFFLINE) ||
         g_error_matches(cause, NET_ERROR, NET_ERROR_CANCELLED);
}

bool smtp_ahead_confirm(const SmtpDelivery *delivery, bool is_taken, GError **error) {
  SmtpConnection *connection = delivery->connection;
  if (!delivery->said_reset || connection->is_over) return true;
  g_autoptr(GError) cause = NULL;
  // As long as for the verdict, which it may be.
  g_autoptr(SmtpReply) reply = smtp_connection_reply(connection, SMTP_END_MS, &cause);
  if (is_proof(reply, cause)) return true;
  connection->is_over = true;
  if (!is_taken) return true;
  g_autofree char *text = reply != NULL ? smtp_reply_text(reply) : g_strdup(cause->message);
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL,
              "the SMTP server answers RSET behind a letter with: %s", text);
  return false;
}
