// What is new in a folder (RFC 7162, RFC 3501): all commands of an update are sent at once, then
// their replies are read one after the other.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_message.h"
#include "net/imap_private.h"

// More ranges than this are no folder's, and shall not fill our memory: a million messages of which
// each second one is gone are half as many.
#define RANGES_MAX 2000000

typedef enum { BY_QRESYNC, BY_CONDSTORE, BY_COMPARING, BY_LISTING } Way;

typedef struct {
  ImapMailbox *imap;
  ImapMessageReader *reader;
  const MailboxKnown *known;
  const MailboxUpdateFuncs *funcs;
  MailboxUpdate *update;
  Way way;
  uint64_t n_new;
  UidSet *news;           // the new ones that were told
  UidSet *vanished;       // of the known, told on when all was read
  bool is_counted;        // the server said how many messages there are
  bool tells_present;     // what is told now is told of all messages that are there
  bool missed_flags;      // of a folder that was not yet known to be the same
  bool missed_message;    // a FETCH of we do not know which
  bool hides_message;     // because it cannot be read
  bool tells_hidden;      // what is told now is told of all new messages, of most of them again
  bool missed_vanished;   // VANISHED likewise
  bool has_answer;        // of SEARCH
  bool is_answer_broken;  // it cannot be read
  bool has_failed;        // a callback did: nothing more is told
} Update;

// Nothing is told before it is certain that the folder is the one that the caller knows.
static bool is_same(const Update *update) {
  const MailboxKnown *known = update->known;
  return update->imap->status.uidvalidity != 0 &&
         (known->uidvalidity == 0 || known->uidvalidity == update->imap->status.uidvalidity);
}

static bool is_identified(const Update *update) {
  return update->imap->status.uidvalidity != 0;
}

// ---- What the server tells.

// False: no room for so many ranges. As many again may be waiting to be sorted.
static bool add_known(const Update *update, UidSet *set, UidRange range) {
  uid_set_add_range(set, range.first, MIN(range.last, update->known->last_uid));
  return uid_set_n_kept(set) < 2 * RANGES_MAX;
}

static bool pass_limit(Update *update, GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT,
                      "the server names more messages than any folder has");
  update->has_failed = true;
  return false;
}

static bool add_present(Update *update, UidRange range, GError **error) {
  return add_known(update, update->update->present, range) || pass_limit(update, error);
}

static bool note_known(Update *update, uint32_t uid, GError **error) {
  return !update->tells_present || add_present(update, (UidRange){uid, uid}, error);
}

static bool note_new(Update *update, uint32_t uid, GError **error) {
  update->n_new++;
  if (update->tells_hidden) return true;
  uid_set_add(update->news, uid);
  return uid_set_n_kept(update->news) < 2 * RANGES_MAX || pass_limit(update, error);
}

// VANISHED may come before it is certain whose it is; then it has to be an answer to EXAMINE.
static bool is_of_folder(const Update *update, const ImapResponse *response) {
  const ImapValue *value = response->values;
  bool is_earlier =
      value && value->kind == IMAP_LIST && imap_value_is_atom(value->first, "EARLIER");
  return is_identified(update) ? is_same(update) : is_earlier;
}

// `* VANISHED (EARLIER) 41,43:116` (RFC 7162 3.2.10), range by range.
static void take_vanished_range(Update *update, const ImapEvent *event) {
  if (!is_of_folder(update, event->response)) return;
  if (!add_known(update, update->vanished, event->range)) {
    g_clear_pointer(&update->vanished, uid_set_free);
    update->vanished = uid_set_new();
    update->missed_vanished = true;
  }
}

static void take_vanished_end(Update *update, const ImapEvent *event) {
  const ImapValue *value = event->response->values;
  if (value && value->kind == IMAP_LIST) value = value->next;
  bool is_whole = event->type == IMAP_EVENT_RESPONSE && value && value->kind == IMAP_SET;
  if (!is_whole || value->next) update->missed_vanished = true;
}

// A response that turned bad is told as far as it came: one malformed envelope hides no message.
// `first:*` names the last message even where all UIDs are below `first` (RFC 3501 6.4.8).
static bool take_fetch(Update *update, const ImapEvent *event, GError **error) {
  const ImapResponse *response = event->response;
  MailboxMessage message;
  if (!is_identified(update) && update->way == BY_QRESYNC) update->missed_flags = true;
  if (!is_same(update)) return true;
  const ImapValue *items = response->values ? response->values->first : NULL;
  if (!items || !imap_message_reader_read(update->reader, items, &message)) {
    update->missed_message = true;
    update->hides_message |= event->type == IMAP_EVENT_BAD;
    return true;
  }
  bool is_new = message.uid > update->known->last_uid;
  if (is_new && update->tells_hidden && uid_set_contains(update->news, message.uid)) return true;
  if (is_new ? !note_new(update, message.uid, error) : !note_known(update, message.uid, error))
    return false;
  bool taken = update->funcs->message(&message, update->funcs->data, error);
  update->has_failed = !taken;
  return taken;
}

// A line of which not even the name can be read may be either.
static bool take_event(const ImapEvent *event, gpointer data, GError **error) {
  Update *update = data;
  const ImapResponse *response = event->response;
  bool is_line = event->type == IMAP_EVENT_RESPONSE || event->type == IMAP_EVENT_BAD;
  const char *name = response && response->name ? response->name : "";
  if (update->has_failed) return true;
  if (event->type == IMAP_EVENT_RANGE && strcmp(name, "VANISHED") == 0)
    take_vanished_range(update, event);
  if (!is_line) return true;
  if (event->type == IMAP_EVENT_BAD && !*name)
    update->missed_message = update->missed_vanished = true;
  if (strcmp(name, "VANISHED") == 0) take_vanished_end(update, event);
  return strcmp(name, "FETCH") != 0 || take_fetch(update, event, error);
}

// What is still about the folder that was open before ends at CLOSED.
static void forget_other_folder(Update *update) {
  g_clear_pointer(&update->vanished, uid_set_free);
  update->vanished = uid_set_new();
  update->missed_flags = update->missed_message = update->missed_vanished = false;
  update->hides_message = false;
  update->is_counted = false;
}

static bool take_examine(const ImapEvent *event, gpointer data, GError **error) {
  Update *update = data;
  const ImapResponse *response = event->response;
  if (!imap_note_status(event, &update->imap->status)) return take_event(event, update, error);
  if (g_strcmp0(response->code, "CLOSED") == 0)
    forget_other_folder(update);
  else if (strcmp(response->name, "EXISTS") == 0)
    update->is_counted = response->number <= UINT32_MAX;
  return true;
}

// The set behind `ALL` in ESEARCH (RFC 4731; without hits there is none); in SEARCH nothing else
// stands but (MODSEQ n).
static bool is_answer(const ImapResponse *response) {
  const ImapValue *value = response->values;
  if (strcmp(response->name, "ESEARCH") == 0) {
    while (value && !imap_value_is_atom(value, "ALL"))
      value = value->next;
    return !value || (value->next && value->next->kind == IMAP_SET);
  }
  while (value && (value->kind == IMAP_SET || value->kind == IMAP_LIST))
    value = value->next;
  return !value;
}

static bool take_search(const ImapEvent *event, gpointer data, GError **error) {
  static const char *const names[] = {"SEARCH", "ESEARCH", NULL};
  Update *update = data;
  const ImapResponse *response = event->response;
  if (update->has_failed) return true;
  if (!response || !response->name || !g_strv_contains(names, response->name))
    return take_event(event, data, error);
  if (event->type == IMAP_EVENT_RANGE) return add_present(update, event->range, error);
  update->has_answer = true;
  update->is_answer_broken |= event->type == IMAP_EVENT_BAD || !is_answer(response);
  return true;
}

// ---- Asking.

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

static bool send_new(ImapMailbox *imap, const MailboxKnown *known, const char *items,
                     GError **error) {
  g_autofree char *words = g_strdup_printf("UID FETCH %" PRIu64 ":* (%s)",
                                           MIN((uint64_t)known->last_uid + 1, UINT32_MAX), items);
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

// What comes after a failure is read and dropped. False: the connection broke meanwhile.
static bool drop_replies(ImapMailbox *imap, GError **error) {
  while (imap_session_n_sent(imap->session) > 0) {
    g_autoptr(GError) failure = NULL;
    if (imap_session_receive(imap->session, NULL, NULL, &failure)) continue;
    if (!net_error_ends_connection(failure)) continue;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  return true;
}

static void drop_replies_after(ImapMailbox *imap, GError **failure) {
  GError *another = NULL;
  if (!drop_replies(imap, &another)) imap_error_add(failure, another);
}

static bool send_all(Update *update, GError **error) {
  ImapMailbox *imap = update->imap;
  const MailboxKnown *known = update->known;
  return send_examine(imap, known, update->way, error) &&
         send_new(imap, known, imap_summary_items(imap->session), error) &&
         send_flags(imap, known, update->way, error);
}

// ---- Receiving.

static bool is_empty(const Update *update) {
  return update->is_counted && update->imap->status.exists == 0;
}

// Some servers refuse to name messages of an empty folder.
static bool is_excused(const Update *update, const GError *failure) {
  return is_empty(update) && !update->has_failed && !net_error_ends_connection(failure);
}

static bool receive_fetch(Update *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (imap_session_receive(update->imap->session, take_event, update, &failure)) return true;
  if (is_excused(update, failure)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// The reply to CHANGEDSINCE. A folder that keeps no mod-sequences refuses it; any other that does
// is compared as well.
static bool receive_changes(Update *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (receive_fetch(update, &failure)) return true;
  bool is_refused = g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED);
  if (is_refused && !update->has_failed) {
    update->missed_flags = true;
    return true;
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static bool refuse_answer(GError **error, const char *words) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, words);
  return false;
}

// What is there by asking for nothing else: the sure way where the others leave a doubt. A server
// says SEARCH or ESEARCH also where it found nothing.
static bool search_present(Update *update, GError **error) {
  ImapSession *session = update->imap->session;
  const char *what =
      imap_session_has(session, "ESEARCH") ? "UID SEARCH RETURN (ALL) UID" : "UID SEARCH UID";
  g_autofree char *words = g_strdup_printf("%s 1:%" PRIu32, what, update->known->last_uid);
  update->update->is_present_told = true;
  if (is_empty(update)) return true;
  if (!imap_session_run_words(session, words, take_search, update, error)) return false;
  if (update->is_answer_broken)
    return refuse_answer(error, "asked which messages there are, the server says what is no list");
  return update->has_answer ||
         refuse_answer(error, "asked which messages there are, the server says nothing");
}

// The flags of all messages, which tell by the way which are there.
static bool compare(Update *update, GError **error) {
  update->way = BY_COMPARING;
  update->tells_present = true;
  return send_flags(update->imap, update->known, BY_COMPARING, error) &&
         receive_fetch(update, error);
}

// A line that could not be read, of an envelope without end, may have been a new message's: those
// that were not told are told without.
static bool list_hidden(Update *update, GError **error) {
  if (!update->hides_message) return true;
  update->tells_hidden = true;
  return send_new(update->imap, update->known, "UID FLAGS INTERNALDATE RFC822.SIZE", error) &&
         receive_fetch(update, error);
}

// True if what was told leaves open which messages are there.
static bool doubts_present(const Update *update) {
  uint64_t exists = update->imap->status.exists;
  uint64_t shown = uid_set_count(update->update->present) + update->n_new;
  switch (update->way) {
    case BY_QRESYNC:
      return update->missed_vanished;
    case BY_CONDSTORE:
      // Without a message that went, as many are there as were known and as are new.
      return update->missed_message || exists != update->known->count + update->n_new;
    case BY_COMPARING:
      return update->missed_message || shown < exists || (shown == 0 && !update->is_counted);
    default:
      return false;
  }
}

// A folder that is full is never taken for an empty one.
static bool check_shown(const Update *update, GError **error) {
  uint32_t exists = update->imap->status.exists;
  bool shows_all = update->update->is_present_told || update->way == BY_LISTING;
  bool shows_some = update->n_new > 0 || !uid_set_is_empty(update->update->present);
  if (!shows_all || shows_some || exists == 0) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY,
              "the server counts %" PRIu32 " messages and shows none", exists);
  return false;
}

static bool tell_vanished(Update *update, GError **error) {
  const MailboxUpdateFuncs *funcs = update->funcs;
  size_t count = update->update->is_present_told ? 0 : uid_set_n_ranges(update->vanished);
  for (size_t i = 0; i < count; i++)
    if (!funcs->vanished(uid_set_range(update->vanished, i), funcs->data, error)) return false;
  return true;
}

// A server may work on both FETCHes at once (Dovecot does): what it tells belongs to either.
static bool receive_all(Update *update, GError **error) {
  bool has_modseq = update->imap->status.highestmodseq != 0;
  update->tells_present = update->way == BY_COMPARING;
  if (!receive_fetch(update, error)) return false;
  if (update->way == BY_CONDSTORE && !receive_changes(update, error)) return false;
  if (update->way == BY_COMPARING && !receive_fetch(update, error)) return false;
  bool keeps_track = update->way == BY_QRESYNC || update->way == BY_CONDSTORE;
  if (keeps_track && (!has_modseq || update->missed_flags) && !compare(update, error)) return false;
  if (!list_hidden(update, error)) return false;
  update->update->is_present_told = update->way == BY_COMPARING;
  if (doubts_present(update) && !search_present(update, error)) return false;
  return check_shown(update, error) && tell_vanished(update, error);
}

static bool update_folder(Update *update, GError **error) {
  ImapMailbox *imap = update->imap;
  g_autoptr(GError) failure = NULL;
  update->way = choose_way(imap, update->known);
  if (!imap_session_compress_if_slow(imap->session, error) || !send_all(update, error))
    return false;
  if (!imap_receive_examine(imap, take_examine, update, &failure)) {
    drop_replies_after(imap, &failure);
    if (!update->has_failed) imap_explain_refusal(imap, update->known->folder, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  update->update->status = imap->status;
  if (!is_same(update)) return drop_replies(imap, error);
  if (receive_all(update, &failure)) return true;
  drop_replies_after(imap, &failure);
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool imap_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *result, GError **error) {
  g_autoptr(ImapMessageReader) reader = imap_message_reader_new();
  Update update = {.imap = imap_of(mailbox),
                   .reader = reader,
                   .known = known,
                   .funcs = funcs,
                   .update = result,
                   .news = uid_set_new(),
                   .vanished = uid_set_new()};
  update.imap->is_fetching = true;
  bool good = update_folder(&update, error);
  update.imap->is_fetching = false;
  uid_set_free(update.news);
  uid_set_free(update.vanished);
  return good;
}
