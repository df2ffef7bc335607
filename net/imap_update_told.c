// What a server tells in an update, as it comes: messages, those that are no more, and the folder's
// state.

#include <string.h>

#include "net/error.h"
#include "net/imap_update_private.h"

// Nothing is told before it is certain that the folder is the one that the caller knows.
bool imap_update_is_same(const ImapUpdate *update) {
  const MailboxKnown *known = update->known;
  return update->imap->status.uidvalidity != 0 &&
         (known->uidvalidity == 0 || known->uidvalidity == update->imap->status.uidvalidity);
}

static bool is_identified(const ImapUpdate *update) {
  return update->imap->status.uidvalidity != 0;
}

// False: no room for so many ranges. As many again may be waiting to be sorted.
static bool add_known(const ImapUpdate *update, UidSet *set, UidRange range) {
  uid_set_add_range(set, range.first, MIN(range.last, update->known->last_uid));
  return uid_set_n_kept(set) < 2 * IMAP_RANGES_MAX;
}

bool imap_update_pass_limit(ImapUpdate *update, GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT,
                      "the server names more messages than any folder has");
  update->has_failed = true;
  return false;
}

static bool add_present(ImapUpdate *update, UidRange range, GError **error) {
  return add_known(update, update->update->present, range) || imap_update_pass_limit(update, error);
}

static bool note_known(ImapUpdate *update, uint32_t uid, GError **error) {
  return !update->tells_present || add_present(update, (UidRange){uid, uid}, error);
}

static bool note_new(ImapUpdate *update, uint32_t uid, GError **error) {
  uid_set_add(update->news, uid);
  return uid_set_n_kept(update->news) < 2 * IMAP_RANGES_MAX ||
         imap_update_pass_limit(update, error);
}

// When the hidden ones are asked for, most are told again; and one that came since the folder was
// opened is the next update's, which will ask for all of it.
bool imap_update_is_for_another(const ImapUpdate *update, uint32_t uid) {
  uint32_t uidnext = update->imap->status.uidnext;
  if (!update->news_before) return false;
  bool is_later = uidnext != 0 && uid >= uidnext && uid > uid_set_last(update->news);
  return is_later || uid_set_contains(update->news_before, uid);
}

// VANISHED may come before it is certain whose it is; then it has to be an answer to EXAMINE.
static bool is_of_folder(const ImapUpdate *update, const ImapResponse *response) {
  const ImapValue *value = response->values;
  bool is_earlier =
      value && value->kind == IMAP_LIST && imap_value_is_atom(value->first, "EARLIER");
  return is_identified(update) ? imap_update_is_same(update) : is_earlier;
}

// `* VANISHED (EARLIER) 41,43:116` (RFC 7162 3.2.10), range by range.
static void take_vanished_range(ImapUpdate *update, const ImapEvent *event) {
  if (!is_of_folder(update, event->response)) return;
  if (!add_known(update, update->vanished, event->range)) {
    g_clear_pointer(&update->vanished, uid_set_free);
    update->vanished = uid_set_new();
    update->missed_vanished = true;
  }
}

static void take_vanished_end(ImapUpdate *update, const ImapEvent *event) {
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
static bool take_fetch(ImapUpdate *update, const ImapEvent *event, GError **error) {
  const ImapResponse *response = event->response;
  MailboxMessage message;
  if (!is_identified(update) && update->way == IMAP_BY_QRESYNC) update->missed_flags = true;
  if (!imap_update_is_same(update)) return true;
  const ImapValue *items = response->values ? response->values->first : NULL;
  if (!items || !imap_message_reader_read(update->reader, items, &message)) {
    update->missed_message = true;
    update->hides_message |= event->type == IMAP_EVENT_BAD;
    update->imap->has_news |= event->type == IMAP_EVENT_RESPONSE && is_of_flags(items);
    return true;
  }
  bool is_new = message.uid > update->known->last_uid;
  if (is_new && imap_update_is_for_another(update, message.uid)) return true;
  if (is_new ? !note_new(update, message.uid, error) : !note_known(update, message.uid, error))
    return false;
  bool taken = update->funcs->message(&message, update->funcs->data, error);
  update->has_failed = !taken;
  return taken;
}

// A line of which not even the name can be read may be either.
bool imap_update_take(const ImapEvent *event, gpointer data, GError **error) {
  ImapUpdate *update = data;
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
static void forget_other_folder(ImapUpdate *update) {
  g_clear_pointer(&update->vanished, uid_set_free);
  update->vanished = uid_set_new();
  update->missed_flags = update->missed_message = update->missed_vanished = false;
  update->hides_message = false;
  update->is_counted = false;
}

bool imap_update_take_examine(const ImapEvent *event, gpointer data, GError **error) {
  ImapUpdate *update = data;
  const ImapResponse *response = event->response;
  if (!imap_note_status(event, &update->imap->status))
    return imap_update_take(event, update, error);
  if (g_strcmp0(response->code, "CLOSED") == 0)
    forget_other_folder(update);
  else if (strcmp(response->name, "EXISTS") == 0)
    update->is_counted = response->number <= UINT32_MAX;
  return true;
}

bool imap_update_take_search(const ImapEvent *event, gpointer data, GError **error) {
  ImapUpdateSearch *search = data;
  if (search->update->has_failed) return true;
  if (!imap_search_note(&search->answer, event))
    return imap_update_take(event, search->update, error);
  if (event->type != IMAP_EVENT_RANGE) return true;
  uid_set_add_range(search->found, MAX(event->range.first, search->first),
                    MIN(event->range.last, search->last));
  return uid_set_n_kept(search->found) < 2 * IMAP_RANGES_MAX ||
         imap_update_pass_limit(search->update, error);
}
