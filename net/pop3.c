#include "net/pop3.h"

#include "net/error.h"
#include "net/pop3_private.h"

bool pop3_has_folder(const char *folder) {
  return g_ascii_strcasecmp(folder, "INBOX") == 0;
}

static bool pop3_list(Mailbox *mailbox, MailboxFolderFunc each, MailboxStatusFunc status,
                      gpointer data, GError **error) {
  const MailboxFolder inbox = {.name = "INBOX"};
  return each(&inbox, data, error);
}

static bool pop3_wants_pause(Mailbox *mailbox) {
  return false;
}

// There is no push. Nothing is said to keep the connection: it locks the mailbox.
static bool pop3_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs,
                       GError **error) {
  Pop3Session *session = pop3_of(mailbox)->session;
  funcs->watching(MAILBOX_WATCHES_NOTHING, funcs->data);
  return pop3_session_settle(session, error) && pop3_session_wait(session, timeout_ms, error);
}

static MailboxWatch pop3_can_watch(Mailbox *mailbox) {
  return MAILBOX_WATCHES_NOTHING;
}

static bool pop3_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain,
                        GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
                      "nothing can be put into a POP3 mailbox");
  return false;
}

// The server cannot search; nothing of ours was ever put there.
static bool pop3_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
                      bool *found, GError **error) {
  return true;
}

static bool pop3_keeps_sent(Mailbox *mailbox) {
  return false;
}

static bool pop3_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  *quota = (MailboxQuota){0};
  return true;
}

static unsigned pop3_login_delay_s(Mailbox *mailbox) {
  return pop3_session_login_delay_s(pop3_of(mailbox)->session);
}

static void pop3_free(Mailbox *mailbox) {
  Pop3Mailbox *pop3 = pop3_of(mailbox);
  pop3_free_requests(pop3);
  pop3_table_free(pop3->table);
  pop3_session_free(pop3->session);
  g_free(pop3);
}

static const MailboxOps pop3_ops = {
    .list = pop3_list,
    .update = pop3_update,
    .request = pop3_request,
    .wants_pause = pop3_wants_pause,
    .receive = pop3_receive,
    .watch = pop3_watch,
    .can_watch = pop3_can_watch,
    .append = pop3_append,
    .find = pop3_find,
    .keeps_sent = pop3_keeps_sent,
    .expunge = pop3_expunge,
    .quota = pop3_quota,
    .login_delay_s = pop3_login_delay_s,
    .free = pop3_free,
};

Mailbox *pop3_mailbox_new(Wire *wire, const char *name, GError **error) {
  Pop3Session *session = pop3_session_new(wire, name, error);
  if (session == NULL) return NULL;
  Pop3Mailbox *pop3 = g_new0(Pop3Mailbox, 1);
  pop3->mailbox.ops = &pop3_ops;
  pop3->session = session;
  g_queue_init(&pop3->requests);
  return &pop3->mailbox;
}
