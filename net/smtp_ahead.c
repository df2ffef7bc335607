#include "net/smtp_delivery.h"

// So many letters by BDAT follow each other before one waits until nothing is awaited any more:
// only then it is seen whether the server said more than it was asked.
#define LOOK_AFTER 8

static bool may_begin(const SmtpDelivery *delivery) {
  const SmtpConnection *connection = delivery->connection;
  bool is_able = (connection->extensions & SMTP_PIPELINING) && connection->is_in_step;
  return is_able && delivery->letter->next != NULL && delivery->next == NULL &&
         !connection->is_over && connection->unseen < LOOK_AFTER;
}

void smtp_ahead_begin(SmtpDelivery *delivery) {
  if (!may_begin(delivery)) return;
  const SenderLetter *letter = delivery->letter->next(delivery->letter->data);
  if (letter == NULL) return;
  SmtpDelivery *next = delivery->next = smtp_delivery_new(delivery->connection, letter);
  // After the final dot a new letter may begin; what a refused chunk leaves is not defined (RFC
  // 3030 2), and MAIL may be what was refused.
  bool with_reset = delivery->tail != SMTP_TAIL_DATA;
  size_t awaited = delivery->tail == SMTP_TAIL_CHUNK ? delivery->count + 2 : 1;
  if (smtp_delivery_open(next, &next->error))
    smtp_envelope_begin(next, with_reset, awaited, &next->error);
  delivery->connection->unseen++;
}
