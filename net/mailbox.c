#include "net/mailbox.h"

#include "net/error.h"
#include "net/imap.h"
#include "net/pop3.h"
#include "net/wire.h"

static const MailboxTraits imap_traits = {
    .log_name = "imap",
    // A server may close a connection after 30 minutes (RFC 3501 5.4), routers forget it sooner.
    .linger_ms = 4 * 60 * 1000,
    .has_parts = true,
    .has_uids = true,
    .can_append = true,
};
static const MailboxTraits pop3_traits = {
    .log_name = "pop3-", .connections_max = 1, .linger_ms = 5 * 1000};

const MailboxTraits *mailbox_traits(const Account *account) {
  return account->protocol == ACCOUNT_POP3 ? &pop3_traits : &imap_traits;
}

Mailbox *mailbox_open(const Account *account, Waker *waker, const char *name, GError **error) {
  Wire *wire = wire_open(account, waker, name, error);
  if (wire == NULL) return NULL;
  return account->protocol == ACCOUNT_POP3 ? pop3_mailbox_new(wire, name, error)
                                           : imap_mailbox_new(wire, name, error);
}

bool mailbox_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status, gpointer data,
                  GError **error) {
  return mailbox->ops->list(mailbox, each, status, data, error);
}

bool mailbox_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                    MailboxUpdate *update, GError **error) {
  return mailbox->ops->update(mailbox, known, funcs, update, error);
}

bool mailbox_request(Mailbox *mailbox, const MailboxRequest *request, GError **error) {
  return mailbox->ops->request(mailbox, request, error);
}

bool mailbox_wants_pause(Mailbox *mailbox) {
  return mailbox->ops->wants_pause(mailbox);
}

bool mailbox_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error) {
  return mailbox->ops->receive(mailbox, funcs, error);
}

bool mailbox_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs,
                   GError **error) {
  return mailbox->ops->watch(mailbox, timeout_ms, funcs, error);
}

MailboxWatch mailbox_can_watch(Mailbox *mailbox) {
  return mailbox->ops->can_watch(mailbox);
}

bool mailbox_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain,
                    GError **error) {
  *uncertain = false;
  return mailbox->ops->append(mailbox, message, uncertain, error);
}

bool mailbox_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
                  bool *found, GError **error) {
  *found = false;
  return mailbox->ops->find(mailbox, folder, field, value, found, error);
}

bool mailbox_keeps_sent(Mailbox *mailbox) {
  return mailbox->ops->keeps_sent(mailbox);
}

bool mailbox_expunge(Mailbox *mailbox, const char *folder, uint32_t uidvalidity, const UidSet *uids,
                     GError **error) {
  if (mailbox->ops->expunge != NULL)
    return mailbox->ops->expunge(mailbox, folder, uidvalidity, uids, error);
  g_set_error_literal(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
                      "messages of this mailbox cannot be removed");
  return false;
}

bool mailbox_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  return mailbox->ops->quota(mailbox, quota, error);
}

unsigned mailbox_login_delay_s(Mailbox *mailbox) {
  return mailbox->ops->login_delay_s != NULL ? mailbox->ops->login_delay_s(mailbox) : 0;
}

void mailbox_free(Mailbox *mailbox) {
  if (mailbox) mailbox->ops->free(mailbox);
}
