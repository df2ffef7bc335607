// Bytes of messages: requests are sent without waiting, and answered in their order.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_message.h"
#include "net/imap_private.h"

// Servers may cut lines at 8,192 bytes (RFC 7162 section 4).
#define SET_MAX_BYTES 8000

typedef struct {
  UidSet *uids;  // NULL: parts of `uid`
  uint32_t uid;
  uint32_t uidvalidity;
  bool examines;        // EXAMINE was sent before
  unsigned n_commands;  // FETCH
  GError *failure;      // of the EXAMINE before it, known already; the FETCHes are answered
} ImapRequest;

// What is read of one answer. A server may send a body's response in several forms: UID before or
// after the body, other messages' items in between. Bytes are told as they come; whose they were is
// certain at the end of their response.
typedef struct {
  ImapMailbox *imap;
  const ImapRequest *request;
  const MailboxBodyFuncs *funcs;
  bool is_wanted;     // the body passing by now is told
  bool has_ended;     // one came whole, whose end was not told yet
  bool is_part;       // it, or the one passing by
  uint64_t offset;    // of it
  UidSet *told;       // messages that came whole
  UidSet *withheld;   // named, but without bytes
  bool has_expunged;  // the server said that some are missing because they are no more
} Answer;

static void free_request(gpointer data) {
  ImapRequest *request = data;
  uid_set_free(request->uids);
  g_clear_error(&request->failure);
  g_free(request);
}

void imap_free_requests(ImapMailbox *imap) {
  g_queue_clear_full(&imap->requests, free_request);
}

// ---- Sending.

static bool send_whole(ImapMailbox *imap, ImapRequest *request, GError **error) {
  size_t next = 0;
  for (;;) {
    g_autofree char *set = uid_set_print(request->uids, &next, SET_MAX_BYTES);
    if (!set) return true;
    g_autofree char *words = g_strdup_printf("UID FETCH %s (UID BODY.PEEK[])", set);
    request->n_commands++;
    if (!imap_send_words(imap->session, words, error)) return false;
  }
}

static bool send_parts(ImapMailbox *imap, ImapRequest *request, const MailboxRequest *wanted,
                       GError **error) {
  g_autoptr(GString) words = g_string_new(NULL);
  g_string_printf(words, "UID FETCH %" PRIu32 " (UID", wanted->uid);
  for (unsigned i = 0; i < wanted->n_ranges; i++)
    g_string_append_printf(words, " BODY.PEEK[]<%" PRIu64 ".%" PRIu64 ">", wanted->ranges[i].offset,
                           wanted->ranges[i].size);
  g_string_append_c(words, ')');
  request->n_commands++;
  return imap_send_words(imap->session, words->str, error);
}

static ImapRequest *new_request(const MailboxRequest *wanted) {
  ImapRequest *request = g_new0(ImapRequest, 1);
  g_autoptr(UidSet) nothing = uid_set_new();
  request->uid = wanted->uid;
  request->uidvalidity = wanted->uidvalidity;
  if (wanted->uids) request->uids = uid_set_subtract(wanted->uids, nothing);
  return request;
}

// A request behind one whose folder could not be opened fails as that one did.
static bool fails_as_last(ImapMailbox *imap, const MailboxRequest *wanted) {
  const ImapRequest *last = g_queue_peek_tail(&imap->requests);
  if (!last || !last->failure) return false;
  ImapRequest *request = new_request(wanted);
  request->failure = g_error_copy(last->failure);
  g_queue_push_tail(&imap->requests, request);
  return true;
}

bool imap_request(Mailbox *mailbox, const MailboxRequest *wanted, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  if (fails_as_last(imap, wanted)) return true;
  if (!imap_session_compress_if_slow(imap->session, error)) return false;
  ImapRequest *request = new_request(wanted);
  bool is_open = !wanted->anew && g_strcmp0(imap->folder, wanted->folder) == 0;
  g_assert(imap->requests.length < MAILBOX_PIPELINE_MAX);
  g_assert(is_open || imap->requests.length == 0);
  g_queue_push_tail(&imap->requests, request);
  request->examines = !is_open;
  if (!is_open &&
      !imap_send_examine(imap, wanted->folder, imap->has_condstore ? "(CONDSTORE)" : NULL, error))
    return false;
  return request->uids ? send_whole(imap, request, error)
                       : send_parts(imap, request, wanted, error);
}

bool imap_wants_pause(Mailbox *mailbox) {
  return imap_session_would_compress(imap_of(mailbox)->session);
}

// ---- Receiving.

static bool wrong_response(GError **error, const char *words) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL, words);
  return false;
}

static bool asks_for(const ImapRequest *request, uint32_t uid) {
  return request->uids ? uid_set_contains(request->uids, uid) : request->uid == uid;
}

// A server may work on several requests at once (Dovecot does): what comes may be any one's.
static bool is_asked_for(const Answer *answer, uint32_t uid, bool is_part) {
  const ImapRequest *request = answer->request;
  if (is_part == !request->uids && (uid == 0 || asks_for(request, uid))) return true;
  for (GList *link = answer->imap->requests.head; link; link = link->next) {
    request = link->data;
    if (is_part == !request->uids && (uid == 0 || asks_for(request, uid))) return true;
  }
  return false;
}

// `BODY[]` of a whole message, `BODY[]<262144>` of a part; false: another item.
static bool read_item(const char *item, bool *is_part, uint64_t *offset) {
  *offset = 0;
  *is_part = g_ascii_strncasecmp(item, "BODY[]<", 7) == 0;
  if (!*is_part) return g_ascii_strcasecmp(item, "BODY[]") == 0;
  char *end = NULL;
  *offset = g_ascii_strtoull(item + 7, &end, 10);
  return end > item + 7 && strcmp(end, ">") == 0;
}

// A message that the server sends twice is told once.
static bool tell_end(Answer *answer, uint32_t uid, GError **error) {
  answer->has_ended = false;
  if (!answer->is_part && uid_set_contains(answer->told, uid)) return true;
  if (!answer->is_part) uid_set_add(answer->told, uid);
  return answer->funcs->end(uid, answer->offset, answer->funcs->data, error);
}

static bool begin_body(Answer *answer, const ImapEvent *event, GError **error) {
  const ImapValue *list = event->response->values;
  uint32_t uid = imap_message_uid(list ? list->first : NULL);
  uint32_t only = answer->request->uids ? 0 : answer->request->uid;
  uint64_t offset;
  bool is_part;
  // The second part in one response: the first one's UID is known, or there is only one message.
  if (answer->has_ended && (uid != 0 || only != 0) &&
      !tell_end(answer, uid != 0 ? uid : only, error))
    return false;
  answer->is_wanted = read_item(event->item, &is_part, &offset) && !answer->has_ended &&
                      is_asked_for(answer, uid, is_part) &&
                      (is_part || uid == 0 || !uid_set_contains(answer->told, uid));
  if (!answer->is_wanted) return true;
  answer->offset = offset;
  answer->is_part = is_part;
  return answer->funcs->begin(uid, offset, answer->funcs->data, error);
}

static void note_withheld(Answer *answer, const ImapValue *items, uint32_t uid) {
  const ImapValue *item = items;
  uint64_t offset;
  bool is_part;
  for (; item && item->next && uid != 0; item = item->next->next)
    if (item->kind == IMAP_ATOM && read_item(item->text, &is_part, &offset) &&
        item->next->kind != IMAP_BODY && is_asked_for(answer, uid, is_part))
      uid_set_add(answer->withheld, uid);
}

static bool end_response(Answer *answer, const ImapEvent *event, GError **error) {
  const ImapResponse *response = event->response;
  bool is_incomplete = answer->is_wanted, has_ended = answer->has_ended;
  answer->is_wanted = answer->has_ended = false;
  if (is_incomplete) return wrong_response(error, "the server broke off within the message");
  if (g_strcmp0(response->code, "EXPUNGEISSUED") == 0) answer->has_expunged = true;
  if (!response->name || strcmp(response->name, "FETCH") != 0 || !response->values) return true;
  const ImapValue *items = response->values->first;
  uint32_t uid = imap_message_uid(items);
  if (!has_ended) {
    if (imap_value_item(items, "FLAGS")) answer->imap->has_news = true;
    note_withheld(answer, items, uid);
    return true;
  }
  if (uid == 0 || !is_asked_for(answer, uid, answer->is_part))
    return wrong_response(error, "the server sent another message than was asked for");
  return tell_end(answer, uid, error);
}

static bool take_event(const ImapEvent *event, gpointer data, GError **error) {
  Answer *answer = data;
  const MailboxBodyFuncs *funcs = answer->funcs;
  switch (event->type) {
    case IMAP_EVENT_BODY_BEGIN:
      return begin_body(answer, event, error);
    case IMAP_EVENT_BODY_BYTES:
      return !answer->is_wanted || funcs->bytes(event->bytes, event->size, funcs->data, error);
    case IMAP_EVENT_BODY_END:
      if (answer->is_wanted) answer->has_ended = true;
      answer->is_wanted = false;
      return true;
    default:
      return end_response(answer, event, error);
  }
}

static bool take_examine(const ImapEvent *event, gpointer data, GError **error) {
  imap_note_status(event, &((ImapMailbox *)data)->status);
  return true;
}

static void tell_withheld(const Answer *answer) {
  if (answer->has_expunged) return;
  for (size_t i = 0; i < uid_set_n_ranges(answer->withheld); i++) {
    UidRange range = uid_set_range(answer->withheld, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++)
      answer->funcs->withheld((uint32_t)uid, answer->funcs->data);
  }
}

// Reads the replies to all commands of the request; the first failure is the result.
static bool receive_fetches(ImapMailbox *imap, const ImapRequest *request, Answer *answer,
                            GError **error) {
  g_autoptr(GError) first = NULL;
  for (unsigned i = 0; i < request->n_commands; i++) {
    g_autoptr(GError) failure = NULL;
    if (!imap_session_receive(imap->session, answer ? take_event : NULL, answer, &failure) &&
        !first)
      first = g_steal_pointer(&failure);
    if (imap_session_state(imap->session) == IMAP_CLOSED) break;
  }
  if (!first) return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

// All FETCHes under way are answered, since the server reads them all, and tell nothing.
static void drop_fetches(ImapMailbox *imap, const ImapRequest *request) {
  receive_fetches(imap, request, NULL, NULL);
  for (GList *link = imap->requests.head; link; link = link->next)
    receive_fetches(imap, link->data, NULL, NULL);
}

// Without the folder, the requests behind this one fail as it does.
static bool receive_examine(ImapMailbox *imap, const ImapRequest *request, GError **error) {
  g_autofree char *folder = g_strdup(imap->folder);
  g_autoptr(GError) failure = NULL;
  if (imap_receive_examine(imap, take_examine, imap, &failure)) return true;
  if (!net_error_ends_connection(failure)) {
    drop_fetches(imap, request);
    imap_explain_refusal(imap, folder, &failure);
    for (GList *link = imap->requests.head; link; link = link->next)
      ((ImapRequest *)link->data)->failure = g_error_copy(failure);
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static bool receive(ImapMailbox *imap, const ImapRequest *request, const MailboxBodyFuncs *funcs,
                    GError **error) {
  g_autoptr(UidSet) told = uid_set_new(), withheld = uid_set_new();
  Answer answer = {
      .imap = imap, .request = request, .funcs = funcs, .told = told, .withheld = withheld};
  if (request->examines && !receive_examine(imap, request, error)) return false;
  bool is_same = imap->status.uidvalidity == request->uidvalidity;
  g_autoptr(GError) failure = NULL;
  bool good = receive_fetches(imap, request, is_same ? &answer : NULL, &failure);
  if (is_same && good) {
    tell_withheld(&answer);
    return true;
  }
  if (!is_same && (good || !net_error_ends_connection(failure))) {
    g_clear_error(&failure);
    g_set_error_literal(&failure, NET_ERROR, NET_ERROR_GONE,
                        "the server renumbered this folder's messages");
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool imap_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  ImapRequest *request = g_queue_pop_head(&imap->requests);
  g_assert(request);
  imap->is_fetching = true;
  GError *failure = g_steal_pointer(&request->failure);
  bool good = failure == NULL && receive(imap, request, funcs, error);
  if (failure) g_propagate_error(error, failure);
  imap->is_fetching = false;
  free_request(request);
  return good;
}
