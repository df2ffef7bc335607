#include "net/imap.h"

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_private.h"

static uint64_t code_number(const ImapResponse *response) {
  ImapValue value = {.kind = IMAP_ATOM, .text = response->code_value};
  int64_t number = imap_value_number(&value);
  return number > 0 ? (uint64_t)number : 0;
}

static uint32_t as_uint32(uint64_t number) {
  return number <= UINT32_MAX ? (uint32_t)number : 0;
}

// CLOSED ends what is still about the folder that was open before (RFC 7162 3.2.11).
bool imap_note_status(const ImapEvent *event, MailboxStatus *status) {
  if (event->type != IMAP_EVENT_RESPONSE) return false;
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
  else
    return false;
  return true;
}

// News of the folder that is left become news of others: with NOTIFY nobody will tell them again.
static void leave_folder(ImapMailbox *imap, const char *folder) {
  if (g_strcmp0(imap->folder, folder) == 0) return;
  imap->has_missed |= imap->has_news && imap->is_notified;
  imap->has_news = false;
  g_free(imap->folder);
  imap->folder = g_strdup(folder);
}

bool imap_take_status(const ImapEvent *event, gpointer data, GError **error) {
  imap_note_status(event, &((ImapMailbox *)data)->status);
  return true;
}

bool imap_send_examine(ImapMailbox *imap, const char *folder, const char *condition,
                       GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(imap->session, "EXAMINE");
  imap_command_add_string(command, folder);
  if (condition) imap_command_add_words(command, condition);
  imap_command_end(command);
  imap->is_leaving = imap_session_state(imap->session) == IMAP_EXAMINED;
  if (imap->is_leaving) imap_session_move(imap->session, IMAP_AUTHENTICATED, NULL);
  leave_folder(imap, folder);
  imap->status = (MailboxStatus){0};
  imap->told_exists = -1;
  return imap_session_send(imap->session, command, error);
}

bool imap_receive_examine(ImapMailbox *imap, ImapHandler handler, gpointer data, GError **error) {
  bool good = imap_session_receive(imap->session, handler, data, error);
  imap->is_leaving = false;
  if (good && imap->status.uidvalidity == 0) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
                        "the server has no lasting UIDs for this folder");
    good = false;
  }
  if (good)
    imap_session_move(imap->session, IMAP_EXAMINED, imap->folder);
  else
    leave_folder(imap, NULL);
  return good;
}

// Dovecot, for one, refuses a folder that does not exist in words alone.
void imap_explain_refusal(ImapMailbox *imap, const char *folder, GError **failure) {
  bool is_refused = g_error_matches(*failure, NET_ERROR, NET_ERROR_REFUSED);
  if (is_refused && imap_session_n_sent(imap->session) == 0 && !imap_has_folder(imap, folder))
    (*failure)->code = NET_ERROR_GONE;
  g_autofree char *shown = imap_printable(folder);
  g_prefix_error(failure, "opening folder %s: ", shown);
}

const char *imap_summary_items(ImapSession *session) {
  if (imap_session_has(session, "OBJECTID"))
    return "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE EMAILID";
  if (imap_session_has(session, "X-GM-EXT-1"))
    return "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE X-GM-MSGID";
  return "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE";
}

bool imap_read_status(const ImapValue *items, MailboxStatus *status) {
  int64_t uidvalidity = imap_value_number(imap_value_item(items, "UIDVALIDITY"));
  int64_t uidnext = imap_value_number(imap_value_item(items, "UIDNEXT"));
  int64_t exists = imap_value_number(imap_value_item(items, "MESSAGES"));
  int64_t modseq = imap_value_number(imap_value_item(items, "HIGHESTMODSEQ"));
  *status = (MailboxStatus){
      .uidvalidity = as_uint32((uint64_t)MAX(uidvalidity, 0)),
      .uidnext = as_uint32((uint64_t)MAX(uidnext, 0)),
      .exists = as_uint32((uint64_t)MAX(exists, 0)),
      .highestmodseq = (uint64_t)MAX(modseq, 0),
  };
  return status->uidvalidity != 0 && exists >= 0;
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

static bool imap_quota(Mailbox *mailbox, MailboxQuota *quota, GError **error) {
  ImapSession *session = imap_of(mailbox)->session;
  *quota = (MailboxQuota){0};
  if (!imap_session_has(session, "QUOTA")) return true;
  return imap_session_run_words(session, "GETQUOTAROOT \"INBOX\"", note_quota, quota, error);
}

static void imap_free(Mailbox *mailbox) {
  ImapMailbox *imap = imap_of(mailbox);
  imap_free_requests(imap);
  imap_session_free(imap->session);
  g_free(imap->folder);
  g_free(imap->warning);
  g_free(imap);
}

static const MailboxOps imap_ops = {
    .list = imap_list,
    .update = imap_update,
    .request = imap_request,
    .wants_pause = imap_wants_pause,
    .receive = imap_receive,
    .watch = imap_watch,
    .can_watch = imap_can_watch,
    .append = imap_append,
    .find = imap_find,
    .keeps_sent = imap_keeps_sent,
    .quota = imap_quota,
    .free = imap_free,
};

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

bool imap_send_words(ImapSession *session, const char *words, GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(session, words);
  imap_command_end(command);
  return imap_session_send(session, command, error);
}

static bool note_enabled(const ImapEvent *event, gpointer data, GError **error) {
  ImapMailbox *imap = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->name, "ENABLED") != 0) return true;
  for (const ImapValue *value = response->values; value; value = value->next) {
    if (imap_value_is_atom(value, "QRESYNC")) imap->has_qresync = imap->has_condstore = true;
    if (imap_value_is_atom(value, "CONDSTORE")) imap->has_condstore = true;
  }
  return true;
}

// What is said to a server before any folder is open, in one flight: who we are, since some open
// none for a client that did not say it (RFC 2971), and what we understand (RFC 5161). One that
// refuses to hear it, or refuses what it offers, is as one without.
static bool introduce(ImapMailbox *imap, GError **error) {
  ImapSession *session = imap->session;
  const char *words[2];
  unsigned n = 0;
  imap->has_condstore = imap_session_has(session, "CONDSTORE");
  if (imap_session_has(session, "ID")) words[n++] = "ID (\"name\" \"mailfs\")";
  if (imap_session_has(session, "ENABLE") && imap_session_has(session, "QRESYNC"))
    words[n++] = "ENABLE QRESYNC";
  else if (imap_session_has(session, "ENABLE") && imap->has_condstore)
    words[n++] = "ENABLE CONDSTORE";
  for (unsigned i = 0; i < n; i++)
    if (!imap_send_words(session, words[i], error)) return false;
  for (unsigned i = 0; i < n; i++) {
    g_autoptr(GError) refusal = NULL;
    if (imap_session_receive(session, note_enabled, imap, &refusal)) continue;
    if (!net_error_ends_connection(refusal)) continue;
    g_propagate_error(error, g_steal_pointer(&refusal));
    return false;
  }
  return true;
}

Mailbox *imap_mailbox_new(Wire *wire, const char *name, GError **error) {
  ImapMailbox *imap = g_new0(ImapMailbox, 1);
  g_autoptr(Mailbox) owned = &imap->mailbox;
  imap->mailbox.ops = &imap_ops;
  imap->session = imap_session_new(wire, name);
  g_queue_init(&imap->requests);
  imap_session_set_overhear(imap->session, imap_overhear, imap);
  if (!ask_capabilities(imap->session, error)) return NULL;
  imap_session_move(imap->session, IMAP_AUTHENTICATED, NULL);
  if (!introduce(imap, error)) return NULL;
  return g_steal_pointer(&owned);
}
