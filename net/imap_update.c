// What is new in a folder (RFC 7162, RFC 3501): all commands of an update are sent at once, then
// their replies are read one after the other.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_message.h"
#include "net/imap_private.h"

typedef struct {
  ImapMailbox *imap;
  ImapMessageReader *reader;
  const MailboxKnown *known;
  const MailboxUpdateFuncs *funcs;
  MailboxUpdate *update;
  uint32_t n_new;
  bool tells_present;  // what is told now is told of all messages that are there
} Update;

// Nothing is told before it is certain that the folder is the one that the caller knows.
static bool is_same(const Update *update) {
  const MailboxKnown *known = update->known;
  return update->imap->status.uidvalidity != 0 &&
         (known->uidvalidity == 0 || known->uidvalidity == update->imap->status.uidvalidity);
}

typedef struct {
  const Update *update;
  GError **error;
  bool good;
} Vanishing;

static bool tell_vanished(UidRange range, gpointer data) {
  Vanishing *vanishing = data;
  const MailboxUpdateFuncs *funcs = vanishing->update->funcs;
  vanishing->good = funcs->vanished(range, funcs->data, vanishing->error);
  return vanishing->good;
}

// `* VANISHED (EARLIER) 41,43:116` (RFC 7162 3.2.10).
static bool take_vanished(Update *update, const ImapResponse *response, GError **error) {
  const ImapValue *value = response->values;
  if (value && value->kind == IMAP_LIST) value = value->next;
  const char *uids = imap_value_text(value);
  Vanishing vanishing = {.update = update, .error = error, .good = true};
  if (uids) uid_set_parse(uids, tell_vanished, &vanishing);
  return vanishing.good;
}

// A response that turned bad is told as far as it came: one malformed envelope hides no message.
// `first:*` names the last message even where all UIDs are below `first` (RFC 3501 6.4.8).
static bool take_fetch(Update *update, const ImapResponse *response, GError **error) {
  MailboxMessage message;
  if (!response->values ||
      !imap_message_reader_read(update->reader, response->values->first, &message))
    return true;
  if (message.uid > update->known->last_uid)
    update->n_new++;
  else if (update->tells_present)
    uid_set_add(update->update->present, message.uid);
  return update->funcs->message(&message, update->funcs->data, error);
}

static bool take_event(const ImapEvent *event, gpointer data, GError **error) {
  Update *update = data;
  const ImapResponse *response = event->response;
  bool is_line = event->type == IMAP_EVENT_RESPONSE || event->type == IMAP_EVENT_BAD;
  if (!is_line || !response->name || !is_same(update)) return true;
  if (strcmp(response->name, "FETCH") == 0) return take_fetch(update, response, error);
  if (event->type == IMAP_EVENT_RESPONSE && strcmp(response->name, "VANISHED") == 0)
    return take_vanished(update, response, error);
  return true;
}

static bool take_examine(const ImapEvent *event, gpointer data, GError **error) {
  Update *update = data;
  return imap_note_status(event, &update->imap->status) || take_event(event, update, error);
}

static bool add_present(UidRange range, gpointer present) {
  uid_set_add_range(present, range.first, range.last);
  return true;
}

// `* ESEARCH (TAG "a5") UID ALL 1:7` (RFC 4731), or `* SEARCH 1 2 3`.
static bool take_search(const ImapEvent *event, gpointer data, GError **error) {
  Update *update = data;
  const ImapResponse *response = event->response;
  UidSet *present = update->update->present;
  if (event->type != IMAP_EVENT_RESPONSE) return true;
  if (strcmp(response->name, "ESEARCH") == 0) {
    const ImapValue *value = response->values;
    while (value && !imap_value_is_atom(value, "ALL"))
      value = value->next;
    const char *uids = value ? imap_value_text(value->next) : NULL;
    if (uids) uid_set_parse(uids, add_present, present);
  } else if (strcmp(response->name, "SEARCH") == 0) {
    for (const ImapValue *value = response->values; value; value = value->next) {
      int64_t uid = imap_value_number(value);
      if (uid > 0 && uid <= UINT32_MAX) uid_set_add(present, (uint32_t)uid);
    }
  } else {
    return take_event(event, data, error);
  }
  return true;
}

typedef enum { BY_QRESYNC, BY_CONDSTORE, BY_COMPARING, BY_LISTING } Way;

static Way choose_way(const ImapMailbox *imap, const MailboxKnown *known) {
  if (known->uidvalidity == 0 || known->last_uid == 0) return BY_LISTING;
  if (known->modseq == 0 || !imap->has_condstore) return BY_COMPARING;
  return imap->has_qresync ? BY_QRESYNC : BY_CONDSTORE;
}

static bool send_examine(ImapMailbox *imap, const MailboxKnown *known, Way way, GError **error) {
  g_autofree char *condition = way == BY_QRESYNC
                                   ? g_strdup_printf("(QRESYNC (%" PRIu32 " %" PRIu64 "))",
                                                     known->uidvalidity, known->modseq)
                                   : g_strdup(imap->has_condstore ? "(CONDSTORE)" : NULL);
  return imap_send_examine(imap, known->folder, condition, error);
}

static bool send_new(ImapMailbox *imap, const MailboxKnown *known, GError **error) {
  g_autofree char *words = g_strdup_printf("UID FETCH %" PRIu64 ":* (%s)",
                                           MIN((uint64_t)known->last_uid + 1, UINT32_MAX),
                                           imap_summary_items(imap->session));
  return imap_send_words(imap->session, words, error);
}

static bool send_flags(ImapMailbox *imap, const MailboxKnown *known, Way way, GError **error) {
  if (way == BY_QRESYNC || way == BY_LISTING) return true;
  g_autofree char *condition = way == BY_CONDSTORE
                                   ? g_strdup_printf(" (CHANGEDSINCE %" PRIu64 ")", known->modseq)
                                   : g_strdup("");
  g_autofree char *words =
      g_strdup_printf("UID FETCH 1:%" PRIu32 " (UID FLAGS)%s", known->last_uid, condition);
  return imap_send_words(imap->session, words, error);
}

// Some servers refuse to name messages of an empty folder.
static bool receive_fetch(Update *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (imap_session_receive(update->imap->session, take_event, update, &failure)) return true;
  bool is_empty = update->imap->status.exists == 0;
  if (is_empty && g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// What comes after a failure is read and dropped.
static void drop_replies(ImapMailbox *imap) {
  while (imap_session_n_sent(imap->session) > 0 && imap_session_state(imap->session) != IMAP_CLOSED)
    imap_session_receive(imap->session, NULL, NULL, NULL);
}

static bool search_present(Update *update, GError **error) {
  ImapSession *session = update->imap->session;
  const char *what =
      imap_session_has(session, "ESEARCH") ? "UID SEARCH RETURN (ALL) UID" : "UID SEARCH UID";
  g_autofree char *words = g_strdup_printf("%s 1:%" PRIu32, what, update->known->last_uid);
  update->update->is_present_told = true;
  return imap_session_run_words(session, words, take_search, update, error);
}

static bool send_all(Update *update, Way way, GError **error) {
  ImapMailbox *imap = update->imap;
  return send_examine(imap, update->known, way, error) && send_new(imap, update->known, error) &&
         send_flags(imap, update->known, way, error);
}

// A server may work on both FETCHes at once (Dovecot does): what it tells belongs to either.
static bool receive_all(Update *update, Way way, GError **error) {
  update->tells_present = update->update->is_present_told = way == BY_COMPARING && is_same(update);
  if (!receive_fetch(update, error)) return false;
  if (way == BY_QRESYNC || way == BY_LISTING || !is_same(update)) {
    drop_replies(update->imap);
    return true;
  }
  if (!receive_fetch(update, error)) return false;
  // Without a message that went, as many are there as were known and as are new.
  uint64_t expected = (uint64_t)update->known->count + update->n_new;
  if (way == BY_CONDSTORE && update->imap->status.exists != expected)
    return search_present(update, error);
  return true;
}

static bool update_folder(Update *update, GError **error) {
  ImapMailbox *imap = update->imap;
  Way way = choose_way(imap, update->known);
  g_autoptr(GError) failure = NULL;
  if (!imap_session_compress_if_slow(imap->session, error) || !send_all(update, way, error))
    return false;
  if (!imap_receive_examine(imap, take_examine, update, &failure)) {
    drop_replies(imap);
    imap_explain_refusal(imap, update->known->folder, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  update->update->status = imap->status;
  if (receive_all(update, way, error)) return true;
  drop_replies(imap);
  return false;
}

bool imap_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *result, GError **error) {
  g_autoptr(ImapMessageReader) reader = imap_message_reader_new();
  Update update = {
      .imap = imap_of(mailbox), .reader = reader, .known = known, .funcs = funcs, .update = result};
  update.imap->is_fetching = true;
  bool good = update_folder(&update, error);
  update.imap->is_fetching = false;
  return good;
}
