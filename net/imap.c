#include "net/imap.h"

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"

typedef struct {
  Mailbox mailbox;
  ImapSession *session;
} ImapMailbox;

static ImapSession *session_of(Mailbox *mailbox) {
  return ((ImapMailbox *)mailbox)->session;
}

static uint64_t code_number(const ImapResponse *response) {
  ImapValue value = {.kind = IMAP_ATOM, .text = response->code_value};
  int64_t number = imap_value_number(&value);
  return number > 0 ? (uint64_t)number : 0;
}

static uint32_t as_uint32(uint64_t number) {
  return number <= UINT32_MAX ? (uint32_t)number : 0;
}

// What an EXAMINE tells (RFC 3501 6.3.2, RFC 7162 3.1.2). CLOSED ends what is still about the
// folder that was open before (RFC 7162 3.2.11).
static bool note_status(const ImapEvent *event, gpointer data, GError **error) {
  MailboxStatus *status = data;
  if (event->type != IMAP_EVENT_RESPONSE) return true;
  const ImapResponse *response = event->response;
  const char *code = response->code ? response->code : "";
  if (strcmp(code, "UIDVALIDITY") == 0)
    status->uidvalidity = as_uint32(code_number(response));
  else if (strcmp(code, "UIDNEXT") == 0)
    status->uidnext = as_uint32(code_number(response));
  else if (strcmp(code, "HIGHESTMODSEQ") == 0)
    status->highestmodseq = code_number(response);
  else if (strcmp(code, "NOMODSEQ") == 0)
    status->highestmodseq = 0;
  else if (strcmp(code, "CLOSED") == 0)
    *status = (MailboxStatus){0};
  else if (strcmp(response->name, "EXISTS") == 0 && response->number >= 0)
    status->exists = as_uint32((uint64_t)response->number);
  return true;
}

static bool examine(ImapSession *session, const char *folder, MailboxStatus *status,
                    GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(session, "EXAMINE");
  imap_command_add_string(command, folder);
  imap_command_end(command);
  // Whatever comes of it, the folder that was open no longer is (RFC 3501 6.3.1).
  if (imap_session_state(session) == IMAP_EXAMINED)
    imap_session_move(session, IMAP_AUTHENTICATED, NULL);
  *status = (MailboxStatus){0};
  if (!imap_session_run(session, command, note_status, status, error)) return false;
  if (status->uidvalidity == 0) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
                        "the server has no lasting UIDs for this folder");
    return false;
  }
  imap_session_move(session, IMAP_EXAMINED, folder);
  return true;
}

static bool mailbox_imap_examine(Mailbox *mailbox, const char *folder, MailboxStatus *status,
                                 GError **error) {
  ImapSession *session = session_of(mailbox);
  g_autoptr(GError) failure = NULL;
  if (examine(session, folder, status, &failure)) return true;
  // Dovecot, for one, refuses a folder that does not exist in words alone.
  if (g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED) && !imap_has_folder(session, folder))
    failure->code = NET_ERROR_GONE;
  g_autofree char *shown = imap_printable(folder);
  g_propagate_prefixed_error(error, g_steal_pointer(&failure), "opening folder %s: ", shown);
  return false;
}

static bool mailbox_imap_list(Mailbox *mailbox, MailboxFolderFunc each, gpointer data,
                              GError **error) {
  return imap_list(session_of(mailbox), each, data, error);
}

static bool mailbox_imap_scan(Mailbox *mailbox, uint32_t first, uint32_t last, MailboxItems items,
                              MailboxMessageFunc each, gpointer data, GError **error) {
  return imap_scan(session_of(mailbox), first, last, items, each, data, error);
}

static bool mailbox_imap_fetch(Mailbox *mailbox, uint32_t uid, MailboxSink sink, gpointer data,
                               GError **error) {
  return imap_fetch(session_of(mailbox), uid, sink, data, error);
}

// `* QUOTA root (STORAGE used limit ...)` in units of 1,024 bytes (RFC 9208 5.1). The first root
// that limits storage counts.
static bool note_quota(const ImapEvent *event, gpointer data, GError **error) {
  MailboxQuota *quota = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "QUOTA") != 0) return true;
  const ImapValue *list = imap_value_nth(response->values, 1);
  const ImapValue *resource = list ? list->first : NULL;
  while (resource && !imap_value_is_atom(resource, "STORAGE"))
    resource = imap_value_nth(resource, 3);
  int64_t used = imap_value_number(imap_value_nth(resource, 1));
  int64_t limit = imap_value_number(imap_value_nth(resource, 2));
  if (quota->limit_bytes > 0 || used < 0 || limit < 0) return true;
  quota->used_bytes = (uint64_t)MIN(used, INT64_MAX / 1024) * 1024;
  quota->limit_bytes = (uint64_t)MIN(limit, INT64_MAX / 1024) * 1024;
  return true;
}

static bool mailbox_imap_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  ImapSession *session = session_of(mailbox);
  *quota = (MailboxQuota){0};
  if (!imap_session_has(session, "QUOTA")) return true;
  return imap_session_run_words(session, "GETQUOTAROOT \"INBOX\"", note_quota, quota, error);
}

static void mailbox_imap_free(Mailbox *mailbox) {
  imap_session_free(session_of(mailbox));
  g_free(mailbox);
}

static const MailboxOps imap_ops = {
    .list = mailbox_imap_list,
    .examine = mailbox_imap_examine,
    .scan = mailbox_imap_scan,
    .fetch = mailbox_imap_fetch,
    .quota = mailbox_imap_quota,
    .free = mailbox_imap_free,
};

// Some servers open no folder for a client that did not say who it is; one that refuses to hear it
// is as good.
static bool introduce(ImapSession *session, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (!imap_session_has(session, "ID")) return true;
  if (imap_session_run_words(session, "ID (\"name\" \"mailfs\")", NULL, NULL, &refusal))
    return true;
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

// RFC 3501 6.1.1 has no NO for it: a server that refuses for good speaks no IMAP that we do.
static bool ask_capabilities(ImapSession *session, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (imap_session_run_words(session, "CAPABILITY", NULL, NULL, &refusal)) return true;
  if (net_error_ends_connection(refusal)) {
    g_propagate_error(error, g_steal_pointer(&refusal));
    return false;
  }
  bool is_put_off = g_error_matches(refusal, NET_ERROR, NET_ERROR_BUSY);
  g_set_error(error, NET_ERROR, is_put_off ? NET_ERROR_OFFLINE : NET_ERROR_PROTOCOL,
              "asked for its capabilities, %s", refusal->message);
  return false;
}

Mailbox *imap_mailbox_new(Wire *wire, const char *name, GError **error) {
  g_autoptr(ImapSession) session = imap_session_new(wire, name);
  if (!ask_capabilities(session, error)) return NULL;
  imap_session_move(session, IMAP_AUTHENTICATED, NULL);
  if (!introduce(session, error)) return NULL;
  ImapMailbox *mailbox = g_new0(ImapMailbox, 1);
  mailbox->mailbox.ops = &imap_ops;
  mailbox->session = g_steal_pointer(&session);
  return &mailbox->mailbox;
}
