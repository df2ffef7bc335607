#include "net/sender.h"

#include "net/smtp.h"
#include "net/wire.h"

Sender *sender_open(const Account *account, Waker *waker, const char *name, GError **error) {
  g_assert(account->protocol == ACCOUNT_SMTP);
  Wire *wire = wire_open(account, waker, name, error);
  return wire != NULL ? smtp_sender_new(wire, account->timeout_ms, name, error) : NULL;
}

bool sender_send(Sender *sender, const SenderLetter *letter, SenderOutcome *outcomes,
                 GError **error) {
  return sender->ops->send(sender, letter, outcomes, error);
}

uint64_t sender_max_size(const Sender *sender) {
  return sender->ops->max_size(sender);
}

void sender_free(Sender *sender) {
  if (sender != NULL) sender->ops->free(sender);
}
