// What is new in a folder (RFC 7162, RFC 3501): all commands of an update are sent at once, then
// their replies are read one after the other.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_message.h"
#include "net/imap_private.h"
#include "net/imap_search.h"

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
  UidSet *news;          // the new ones that were told
  UidSet *news_before;   // those told before the hidden ones were asked for; NULL: not yet
  UidSet *vanished;      // of the known, told on when all was read
  bool is_counted;       // the server said how many messages there are
  bool tells_present;    // what is told now is told of all messages that are there
  bool missed_flags;     // of a folder that was not yet known to be the same
  bool missed_message;   // a FETCH of we do not know which
  bool hides_message;    // because it cannot be read, or the server refused to go on
  bool missed_vanished;  // VANISHED likewise
  bool has_failed;       // a callback did: nothing more is told
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
  uid_set_add(update->news, uid);
  return uid_set_n_kept(update->news) < 2 * RANGES_MAX || pass_limit(update, error);
}

// When the hidden ones are asked for, most are told again; and one that came since the folder was
// opened is the next update's, which will ask for all of it.
static bool is_for_another(const Update *update, uint32_t uid) {
  uint32_t uidnext = update->imap->status.uidnext;
  if (!update->news_before) return false;
  bool is_later = uidnext != 0 && uid >= uidnext && uid > uid_set_last(update->news);
  return is_later || uid_set_contains(update->news_before, uid);
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

// A change that a server tells of in between, by the message's place alone: what was told of that
// message may be of before.
static bool is_of_flags(const ImapValue *items) {
  return imap_value_item(items, "FLAGS") && !imap_value_item(items, "UID");
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
    update->imap->has_news |= event->type == IMAP_EVENT_RESPONSE && is_of_flags(items);
    return true;
  }
  bool is_new = message.uid > update->known->last_uid;
  if (is_new && is_for_another(update, message.uid)) return true;
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

// One SEARCH for UIDs from `first` to `last`.
typedef struct {
  Update *update;
  ImapSearch answer;
  uint32_t first, last;
  UidSet *found;
} Search;

static bool take_search(const ImapEvent *event, gpointer data, GError **error) {
  Search *search = data;
  if (search->update->has_failed) return true;
  if (!imap_search_note(&search->answer, event)) return take_event(event, search->update, error);
  if (event->type != IMAP_EVENT_RANGE) return true;
  uid_set_add_range(search->found, MAX(event->range.first, search->first),
                    MIN(event->range.last, search->last));
  return uid_set_n_kept(search->found) < 2 * RANGES_MAX || pass_limit(search->update, error);
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

// The new messages. Some servers give up at one whose envelope they cannot make.
static bool receive_new(Update *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (receive_fetch(update, &failure)) return true;
  update->hides_message |= g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED);
  if (update->hides_message && !update->has_failed && !net_error_ends_connection(failure))
    return true;
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

// `range` is how IMAP writes it.
static bool run_search(Search *search, const char *range, GError **error) {
  ImapSession *session = search->update->imap->session;
  const char *what =
      imap_session_has(session, "ESEARCH") ? "UID SEARCH RETURN (ALL) UID" : "UID SEARCH UID";
  g_autofree char *words = g_strdup_printf("%s %s", what, range);
  return imap_session_run_words(session, words, take_search, search, error) &&
         imap_search_check(&search->answer, error);
}

// What is there by asking for nothing else: the sure way where the others leave a doubt.
static bool search_present(Update *update, GError **error) {
  Search search = {.update = update,
                   .first = 1,
                   .last = update->known->last_uid,
                   .found = update->update->present};
  g_autofree char *range = g_strdup_printf("1:%" PRIu32, search.last);
  update->update->is_present_told = true;
  return is_empty(update) || run_search(&search, range, error);
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
  g_autoptr(UidSet) nothing = uid_set_new();
  if (!update->hides_message) return true;
  update->news_before = uid_set_subtract(update->news, nothing);
  return send_new(update->imap, update->known, "UID FLAGS INTERNALDATE RFC822.SIZE", error) &&
         receive_fetch(update, error);
}

// True if what was told leaves open which messages are there.
static bool doubts_present(const Update *update) {
  uint64_t exists = update->imap->status.exists, n_new = uid_set_count(update->news);
  uint64_t shown = uid_set_count(update->update->present) + n_new;
  switch (update->way) {
    case BY_QRESYNC:
      return update->missed_vanished || exists > update->known->count + n_new;
    case BY_CONDSTORE:
      // Without a message that went, as many are there as were known and as are new.
      return update->missed_message || exists != update->known->count + n_new;
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
  bool shows_some = !uid_set_is_empty(update->news) || !uid_set_is_empty(update->update->present);
  if (!shows_all || shows_some || exists == 0) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY,
              "the server counts %" PRIu32 " messages and shows none", exists);
  return false;
}

static bool lacks_new(const Update *update) {
  bool shows_all = update->update->is_present_told || update->way == BY_LISTING;
  uint64_t shown = uid_set_count(update->update->present) + uid_set_count(update->news);
  return shows_all && shown < update->imap->status.exists;
}

// Of a message that the server finds, but says nothing of, the UID is all there is to be told.
static bool tell_untold(Update *update, const UidSet *found, GError **error) {
  g_autoptr(UidSet) untold = uid_set_subtract(found, update->news);
  const MailboxUpdateFuncs *funcs = update->funcs;
  if (uid_set_count(untold) > RANGES_MAX) return pass_limit(update, error);
  for (size_t i = 0; i < uid_set_n_ranges(untold); i++) {
    UidRange range = uid_set_range(untold, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++) {
      MailboxMessage message = {.uid = (uint32_t)uid, .internaldate = -1, .size = -1};
      if (is_for_another(update, message.uid)) continue;
      if (!funcs->message(&message, funcs->data, error)) return false;
    }
  }
  return true;
}

// A server that counts more messages than it told may have left out new ones, with an OK: what is
// above last_uid now is all that a later update asks for, so they would be left out for ever.
static bool find_new(Update *update, GError **error) {
  g_autoptr(UidSet) found = uid_set_new();
  uint32_t last_uid = update->known->last_uid;
  if (!lacks_new(update) || last_uid == UINT32_MAX) return true;
  Search search = {.update = update, .first = last_uid + 1, .last = UINT32_MAX, .found = found};
  g_autofree char *range = g_strdup_printf("%" PRIu32 ":*", search.first);
  if (!run_search(&search, range, error)) return false;
  return tell_untold(update, found, error);
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
  if (!receive_new(update, error)) return false;
  if (update->way == BY_CONDSTORE && !receive_changes(update, error)) return false;
  if (update->way == BY_COMPARING && !receive_fetch(update, error)) return false;
  bool keeps_track = update->way == BY_QRESYNC || update->way == BY_CONDSTORE;
  if (keeps_track && (!has_modseq || update->missed_flags) && !compare(update, error)) return false;
  if (!list_hidden(update, error)) return false;
  update->update->is_present_told = update->way == BY_COMPARING;
  if (doubts_present(update) && !search_present(update, error)) return false;
  return check_shown(update, error) && find_new(update, error) && tell_vanished(update, error);
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
  bool had_news = imap->has_news;
  imap->has_news = false;
  if (receive_all(update, &failure)) return true;
  imap->has_news |= had_news;
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
  uid_set_free(update.news_before);
  uid_set_free(update.vanished);
  return good;
}
