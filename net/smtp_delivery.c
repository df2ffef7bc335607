#include "net/smtp_delivery.h"

#include "net/error.h"

SmtpDelivery *smtp_delivery_new(SmtpConnection *connection, const SenderLetter *letter) {
  SmtpDelivery *delivery = g_new0(SmtpDelivery, 1);
  delivery->connection = connection;
  delivery->letter = letter;
  delivery->count = g_strv_length((char **)letter->recipients);
  g_assert(delivery->count > 0);
  return delivery;
}

void smtp_delivery_free(SmtpDelivery *delivery) {
  if (delivery == NULL) return;
  smtp_delivery_free(delivery->next);
  smtp_content_clear(&delivery->content);
  g_clear_error(&delivery->error);
  g_free(delivery);
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

bool smtp_delivery_open(SmtpDelivery *delivery, GError **error) {
  if (delivery->error != NULL) {
    g_propagate_error(error, g_steal_pointer(&delivery->error));
    return false;
  }
  if (delivery->is_open) return true;
  if (!smtp_check_letter(delivery->connection, delivery->letter, error)) return false;
  if (!smtp_content_open(&delivery->content, delivery->letter, error)) return false;
  delivery->tail = choose_tail(delivery);
  delivery->is_open = true;
  return true;
}

bool smtp_delivery_is_followed(const SmtpDelivery *delivery) {
  return delivery->next != NULL && delivery->next->said > 0;
}

// A server that refused one recipient of this letter and accepted another may have left because of
// its bytes.
void smtp_delivery_tell_untaken(const SmtpDelivery *delivery) {
  const SenderLetter *letter = delivery->letter;
  bool has_left = delivery->connection->has_left && delivery->accepted == 0;
  bool is_sure = !delivery->is_out || has_left;
  if (delivery->content.has_ended && is_sure && letter->not_taken != NULL)
    letter->not_taken(letter->data);
}

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
  if (connection->is_over || delivery->said_reset || smtp_delivery_is_followed(delivery)) return;
  g_autoptr(SmtpReply) reply = smtp_connection_command(connection, "RSET", 0, NULL);
  if (reply == NULL || smtp_reply_class(reply) != 2) connection->is_over = true;
}
