#include "net/smtp_delivery.h"

#include "net/error.h"

void smtp_delivery_tell(const SmtpDelivery *delivery, size_t recipient, const SmtpReply *reply) {
  SenderOutcome *outcome = &delivery->outcomes[recipient];
  g_free(outcome->reply);
  outcome->verdict = smtp_reply_verdict(reply);
  outcome->reply = smtp_reply_text(reply);
}

void smtp_delivery_tell_all(const SmtpDelivery *delivery, const SmtpReply *reply) {
  for (size_t i = 0; i < delivery->count; i++) {
    const SenderOutcome *outcome = &delivery->outcomes[i];
    if (outcome->reply == NULL || outcome->verdict == SENDER_ACCEPTED)
      smtp_delivery_tell(delivery, i, reply);
  }
}

bool smtp_delivery_expect(const SmtpDelivery *delivery, const SmtpReply *reply, const char *command,
                          unsigned wanted, GError **error) {
  unsigned class = smtp_reply_class(reply);
  if (class == wanted || class == 4 || class == 5) return true;
  g_autofree char *text = smtp_reply_text(reply);
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "the SMTP server answers %s with: %s", command,
              text);
  delivery->connection->is_over = true;
  return false;
}

void smtp_delivery_reset(const SmtpDelivery *delivery) {
  SmtpConnection *connection = delivery->connection;
  if (connection->is_over) return;
  g_autoptr(SmtpReply) reply = smtp_connection_command(connection, "RSET", 0, NULL);
  if (reply == NULL || smtp_reply_class(reply) != 2) connection->is_over = true;
}
