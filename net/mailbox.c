#include "net/mailbox.h"

#include "net/error.h"
#include "net/imap.h"
#include "net/wire.h"

Mailbox *mailbox_open(const Account *account, Waker *waker, const char *name, GError **error) {
  if (account->protocol != ACCOUNT_IMAP) {
    g_set_error(error, NET_ERROR, NET_ERROR_UNSUPPORTED, "POP3 accounts cannot be mounted: %s",
                account->host);
    return NULL;
  }
  Wire *wire = wire_open(account, waker, name, error);
  return wire ? imap_mailbox_new(wire, name, error) : NULL;
}

bool mailbox_list(Mailbox *mailbox, MailboxFolderFunc each, gpointer data, GError **error) {
  return mailbox->ops->list(mailbox, each, data, error);
}

bool mailbox_examine(Mailbox *mailbox, const char *folder, MailboxStatus *status, GError **error) {
  return mailbox->ops->examine(mailbox, folder, status, error);
}

bool mailbox_scan(Mailbox *mailbox, uint32_t first, uint32_t last, MailboxItems items,
                  MailboxMessageFunc each, gpointer data, GError **error) {
  return mailbox->ops->scan(mailbox, first, last, items, each, data, error);
}

bool mailbox_fetch(Mailbox *mailbox, uint32_t uid, MailboxSink sink, gpointer data,
                   GError **error) {
  return mailbox->ops->fetch(mailbox, uid, sink, data, error);
}

bool mailbox_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  return mailbox->ops->quota(mailbox, quota, error);
}

void mailbox_free(Mailbox *mailbox) {
  if (mailbox) mailbox->ops->free(mailbox);
}
