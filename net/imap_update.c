// What is new in a folder (RFC 7162, RFC 3501): all commands of an update are sent at once, then
// their replies are read one after the other.

#include <inttypes.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_update_private.h"

// ---- Asking.

static ImapUpdateWay choose_way(const ImapMailbox *imap, const MailboxKnown *known) {
  if (known->uidvalidity == 0 || known->last_uid == 0) return IMAP_BY_LISTING;
  if (known->modseq == 0 || !imap->has_condstore) return IMAP_BY_COMPARING;
  return imap->has_qresync ? IMAP_BY_QRESYNC : IMAP_BY_CONDSTORE;
}

static bool send_examine(ImapMailbox *imap, const MailboxKnown *known, ImapUpdateWay way,
                         GError **error) {
  g_autofree char *condition = way == IMAP_BY_QRESYNC
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

static bool send_flags(ImapMailbox *imap, const MailboxKnown *known, ImapUpdateWay way,
                       GError **error) {
  if (way == IMAP_BY_QRESYNC || way == IMAP_BY_LISTING) return true;
  g_autofree char *condition = way == IMAP_BY_CONDSTORE
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

static bool send_all(ImapUpdate *update, GError **error) {
  ImapMailbox *imap = update->imap;
  const MailboxKnown *known = update->known;
  return send_examine(imap, known, update->way, error) &&
         send_new(imap, known, imap_summary_items(imap->session), error) &&
         send_flags(imap, known, update->way, error);
}

// ---- Receiving.

static bool is_empty(const ImapUpdate *update) {
  return update->is_counted && update->imap->status.exists == 0;
}

// Some servers refuse to name messages of an empty folder.
static bool is_excused(const ImapUpdate *update, const GError *failure) {
  return is_empty(update) && !update->has_failed && !net_error_ends_connection(failure);
}

static bool receive_fetch(ImapUpdate *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (imap_session_receive(update->imap->session, imap_update_take, update, &failure)) return true;
  if (is_excused(update, failure)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// The new messages. Some servers give up at one whose envelope they cannot make.
static bool receive_new(ImapUpdate *update, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (receive_fetch(update, &failure)) return true;
  bool gives_up = !update->has_failed && g_error_matches(failure, NET_ERROR, NET_ERROR_REFUSED);
  update->hides_message |= gives_up;
  if (gives_up) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// The reply to CHANGEDSINCE. A folder that keeps no mod-sequences refuses it; any other that does
// is compared as well.
static bool receive_changes(ImapUpdate *update, GError **error) {
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
static bool run_search(ImapUpdateSearch *search, const char *range, GError **error) {
  ImapSession *session = search->update->imap->session;
  const char *what =
      imap_session_has(session, "ESEARCH") ? "UID SEARCH RETURN (ALL) UID" : "UID SEARCH UID";
  g_autofree char *words = g_strdup_printf("%s %s", what, range);
  return imap_session_run_words(session, words, imap_update_take_search, search, error) &&
         imap_search_check(&search->answer, error);
}

// What is there by asking for nothing else: the sure way where the others leave a doubt.
static bool search_present(ImapUpdate *update, GError **error) {
  ImapUpdateSearch search = {.update = update,
                             .first = 1,
                             .last = update->known->last_uid,
                             .found = update->update->present};
  g_autofree char *range = g_strdup_printf("1:%" PRIu32, search.last);
  update->update->is_present_told = true;
  return is_empty(update) || run_search(&search, range, error);
}

// The flags of all messages, which tell by the way which are there.
static bool compare(ImapUpdate *update, GError **error) {
  update->way = IMAP_BY_COMPARING;
  update->tells_present = true;
  return send_flags(update->imap, update->known, IMAP_BY_COMPARING, error) &&
         receive_fetch(update, error);
}

// A line that could not be read, of an envelope without end, may have been a new message's: those
// that were not told are told without.
static bool list_hidden(ImapUpdate *update, GError **error) {
  g_autoptr(UidSet) nothing = uid_set_new();
  if (!update->hides_message) return true;
  update->news_before = uid_set_subtract(update->news, nothing);
  return send_new(update->imap, update->known, "UID FLAGS INTERNALDATE RFC822.SIZE", error) &&
         receive_fetch(update, error);
}

// True if what was told leaves open which messages are there.
static bool doubts_present(const ImapUpdate *update) {
  uint64_t exists = update->imap->status.exists, n_new = uid_set_count(update->news);
  uint64_t shown = uid_set_count(update->update->present) + n_new;
  switch (update->way) {
    case IMAP_BY_QRESYNC:
      return update->missed_vanished || exists > update->known->count + n_new;
    case IMAP_BY_CONDSTORE:
      // Without a message that went, as many are there as were known and as are new.
      return update->missed_message || exists != update->known->count + n_new;
    case IMAP_BY_COMPARING:
      return update->missed_message || shown < exists || (shown == 0 && !update->is_counted);
    default:
      return false;
  }
}

// A folder that is full is never taken for an empty one.
static bool check_shown(const ImapUpdate *update, GError **error) {
  uint32_t exists = update->imap->status.exists;
  bool shows_all = update->update->is_present_told || update->way == IMAP_BY_LISTING;
  bool shows_some = !uid_set_is_empty(update->news) || !uid_set_is_empty(update->update->present);
  if (!shows_all || shows_some || exists == 0) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY,
              "the server counts %" PRIu32 " messages and shows none", exists);
  return false;
}

static bool lacks_new(const ImapUpdate *update) {
  bool shows_all = update->update->is_present_told || update->way == IMAP_BY_LISTING;
  uint64_t shown = uid_set_count(update->update->present) + uid_set_count(update->news);
  return shows_all && shown < update->imap->status.exists;
}

// Of a message that the server finds, but says nothing of, the UID is all there is to be told.
static bool tell_untold(ImapUpdate *update, const UidSet *found, GError **error) {
  g_autoptr(UidSet) untold = uid_set_subtract(found, update->news);
  const MailboxUpdateFuncs *funcs = update->funcs;
  if (uid_set_count(untold) > IMAP_RANGES_MAX) return imap_update_pass_limit(update, error);
  for (size_t i = 0; i < uid_set_n_ranges(untold); i++) {
    UidRange range = uid_set_range(untold, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++) {
      MailboxMessage message = {.uid = (uint32_t)uid, .internaldate = -1, .size = -1};
      if (imap_update_is_for_another(update, message.uid)) continue;
      if (!funcs->message(&message, funcs->data, error)) return false;
    }
  }
  return true;
}

// A server that counts more messages than it told may have left out new ones, with an OK: what is
// above last_uid now is all that a later update asks for, so they would be left out for ever.
static bool find_new(ImapUpdate *update, GError **error) {
  g_autoptr(UidSet) found = uid_set_new();
  uint32_t last_uid = update->known->last_uid;
  if (!lacks_new(update) || last_uid == UINT32_MAX) return true;
  ImapUpdateSearch search = {
      .update = update, .first = last_uid + 1, .last = UINT32_MAX, .found = found};
  g_autofree char *range = g_strdup_printf("%" PRIu32 ":*", search.first);
  if (!run_search(&search, range, error)) return false;
  return tell_untold(update, found, error);
}

static bool tell_vanished(ImapUpdate *update, GError **error) {
  const MailboxUpdateFuncs *funcs = update->funcs;
  size_t count = update->update->is_present_told ? 0 : uid_set_n_ranges(update->vanished);
  for (size_t i = 0; i < count; i++)
    if (!funcs->vanished(uid_set_range(update->vanished, i), funcs->data, error)) return false;
  return true;
}

// A server may work on both FETCHes at once (Dovecot does): what it tells belongs to either.
static bool receive_all(ImapUpdate *update, GError **error) {
  bool has_modseq = update->imap->status.highestmodseq != 0;
  update->tells_present = update->way == IMAP_BY_COMPARING;
  if (!receive_new(update, error)) return false;
  if (update->way == IMAP_BY_CONDSTORE && !receive_changes(update, error)) return false;
  if (update->way == IMAP_BY_COMPARING && !receive_fetch(update, error)) return false;
  bool keeps_track = update->way == IMAP_BY_QRESYNC || update->way == IMAP_BY_CONDSTORE;
  if (keeps_track && (!has_modseq || update->missed_flags) && !compare(update, error)) return false;
  if (!list_hidden(update, error)) return false;
  update->update->is_present_told = update->way == IMAP_BY_COMPARING;
  if (doubts_present(update) && !search_present(update, error)) return false;
  return check_shown(update, error) && find_new(update, error) && tell_vanished(update, error);
}

static bool update_folder(ImapUpdate *update, GError **error) {
  ImapMailbox *imap = update->imap;
  g_autoptr(GError) failure = NULL;
  update->way = choose_way(imap, update->known);
  if (!imap_session_compress_if_slow(imap->session, error) || !send_all(update, error))
    return false;
  if (!imap_receive_examine(imap, imap_update_take_examine, update, &failure)) {
    drop_replies_after(imap, &failure);
    if (!update->has_failed) imap_explain_refusal(imap, update->known->folder, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  update->update->status = imap->status;
  if (!imap_update_is_same(update)) return drop_replies(imap, error);
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
  ImapUpdate update = {.imap = imap_of(mailbox),
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
