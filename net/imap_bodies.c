// Bytes of messages, as the answers to requests bring them.

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_message.h"
#include "net/imap_private.h"
#include "net/imap_request.h"

// What is read of one answer. A server may send a body's response in several forms: UID before or
// after the body, other messages' items in between. Bytes are told as they come; whose they were is
// certain at the end of their response.
typedef struct {
  ImapMailbox *imap;
  ImapRequest *request;
  const MailboxBodyFuncs *funcs;
  bool is_wanted;   // the body passing by now is told
  bool has_ended;   // one came whole, whose end was not told yet
  bool is_part;     // it, or the one passing by
  uint64_t offset;  // of it
  UidSet *told;     // messages that came whole
  bool has_failed;  // a callback did: nothing more is told
} Answer;

static bool wrong_response(GError **error, const char *words) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL, words);
  return false;
}

static bool asks_for(const ImapRequest *request, uint32_t uid) {
  return request->uids ? uid_set_contains(request->uids, uid) : request->uid == uid;
}

// A server may work on several requests at once (Dovecot does): what comes may be any one's.
static ImapRequest *oldest_for(const Answer *answer, uint32_t uid, bool is_part) {
  for (GList *link = answer->imap->requests.head; link; link = link->next) {
    ImapRequest *request = link->data;
    if (is_part == !request->uids && (uid == 0 || asks_for(request, uid))) return request;
  }
  return NULL;
}

// What comes whole though only parts were asked for is a part that begins at 0: there are servers
// that know no parts, and such that say so of one that is all there is.
static ImapRequest *find_asker(const Answer *answer, uint32_t uid, bool *is_part) {
  ImapRequest *request = oldest_for(answer, uid, *is_part);
  if (request) return request;
  *is_part = true;
  return oldest_for(answer, uid, true);
}

// `262144>`, at most 63 bits.
static bool read_origin(const char *text, uint64_t *offset) {
  const char *at = text;
  for (*offset = 0; g_ascii_isdigit(*at); at++) {
    if (*offset > (INT64_MAX - 9) / 10) return false;
    *offset = *offset * 10 + (uint64_t)(*at - '0');
  }
  return at > text && strcmp(at, ">") == 0;
}

// `BODY[]` of a whole message, `BODY[]<262144>` of a part; false: another item.
static bool read_item(const char *item, bool *is_part, uint64_t *offset) {
  *offset = 0;
  *is_part = g_ascii_strncasecmp(item, "BODY[]<", 7) == 0;
  return *is_part ? read_origin(item + 7, offset) : g_ascii_strcasecmp(item, "BODY[]") == 0;
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
                      find_asker(answer, uid, &is_part) &&
                      (is_part || uid == 0 || !uid_set_contains(answer->told, uid));
  if (!answer->is_wanted) return true;
  answer->offset = offset;
  answer->is_part = is_part;
  return answer->funcs->begin(uid, offset, answer->funcs->data, error);
}

// Whether it is withheld or no more, the reply to the request that asked for it tells.
static void note_withheld(const Answer *answer, const ImapValue *items, uint32_t uid) {
  const ImapValue *item = items;
  uint64_t offset;
  bool is_part;
  for (; item && item->next && uid != 0; item = item->next->next) {
    if (item->kind != IMAP_ATOM || !read_item(item->text, &is_part, &offset)) continue;
    ImapRequest *asker = item->next->kind != IMAP_BODY ? find_asker(answer, uid, &is_part) : NULL;
    if (asker) uid_set_add(asker->withheld, uid);
  }
}

// Behind a body that was counted too small stands the rest of it: a line that cannot be read makes
// a body that came before on it doubtful, and the stream, of which nobody knows where it goes on.
static bool end_response(Answer *answer, const ImapEvent *event, GError **error) {
  const ImapResponse *response = event->response;
  bool is_incomplete = answer->is_wanted, has_ended = answer->has_ended;
  answer->is_wanted = answer->has_ended = false;
  bool is_cut = has_ended && event->type == IMAP_EVENT_BAD;
  if (is_incomplete || is_cut)
    return wrong_response(error, "the server broke off within the message");
  if (!response->name || strcmp(response->name, "FETCH") != 0 || !response->values) return true;
  const ImapValue *items = response->values->first;
  uint32_t uid = imap_message_uid(items);
  if (imap_value_item(items, "FLAGS")) answer->imap->has_news = true;
  if (!has_ended) {
    note_withheld(answer, items, uid);
    return true;
  }
  if (uid == 0 || !find_asker(answer, uid, &answer->is_part))
    return wrong_response(error, "the server sent another message than was asked for");
  return tell_end(answer, uid, error);
}

static bool tell_event(Answer *answer, const ImapEvent *event, GError **error) {
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
    case IMAP_EVENT_RANGE:
      return true;
    default:
      return end_response(answer, event, error);
  }
}

static bool take_event(const ImapEvent *event, gpointer data, GError **error) {
  Answer *answer = data;
  if (answer->has_failed) return true;
  answer->has_failed = !tell_event(answer, event, error);
  return !answer->has_failed;
}

static void tell_withheld(const Answer *answer) {
  const UidSet *withheld = answer->request->withheld;
  if (answer->request->has_expunged) return;
  for (size_t i = 0; i < uid_set_n_ranges(withheld); i++) {
    UidRange range = uid_set_range(withheld, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++)
      answer->funcs->withheld((uint32_t)uid, answer->funcs->data);
  }
}

// One reply. That messages of a set are no more is no failure: they are not told.
static bool receive_fetch(ImapMailbox *imap, ImapRequest *request, Answer *answer, GError **error) {
  g_autoptr(GError) failure = NULL;
  request->n_awaited--;
  bool good = imap_session_receive(imap->session, answer ? take_event : NULL, answer, &failure);
  bool is_expunge = g_strcmp0(imap_session_code(imap->session), "EXPUNGEISSUED") == 0;
  request->has_expunged |= is_expunge;
  if (good) return true;
  if (answer && !answer->has_failed && is_expunge && !net_error_ends_connection(failure))
    return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// Reads the replies to all commands of the request; the first failure is the result. Nothing more
// is asked for nobody.
static bool receive_fetches(ImapMailbox *imap, ImapRequest *request, Answer *answer,
                            GError **error) {
  g_autoptr(GError) first = NULL;
  for (;;) {
    g_autoptr(GError) failure = NULL;
    request->is_sent |= !answer || answer->has_failed;
    bool good = imap_requests_send(imap, &failure);
    if (good && request->n_awaited == 0) break;
    good = good && receive_fetch(imap, request, answer, &failure);
    if (!good) imap_error_add(&first, g_steal_pointer(&failure));
    if (imap_session_state(imap->session) == IMAP_CLOSED) break;
  }
  if (!first) return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

// All FETCHes under way are answered, since the server reads them all, and tell nothing; no more
// are sent.
static void drop_fetches(ImapMailbox *imap, GError **failure) {
  for (GList *link = imap->requests.head; link; link = link->next)
    ((ImapRequest *)link->data)->is_sent = true;
  for (GList *link = imap->requests.head; link; link = link->next) {
    GError *another = NULL;
    if (!receive_fetches(imap, link->data, NULL, &another)) imap_error_add(failure, another);
  }
}

// Without the folder, the requests behind this one fail as it does.
static bool receive_examine(ImapMailbox *imap, GError **error) {
  g_autofree char *folder = g_strdup(imap->folder);
  g_autoptr(GError) failure = NULL;
  if (imap_receive_examine(imap, imap_take_status, imap, &failure)) return true;
  if (!net_error_ends_connection(failure)) {
    drop_fetches(imap, &failure);
    imap_explain_refusal(imap, folder, &failure);
    for (GList *link = imap->requests.head->next; link; link = link->next)
      ((ImapRequest *)link->data)->failure = g_error_copy(failure);
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static bool receive(ImapMailbox *imap, ImapRequest *request, const MailboxBodyFuncs *funcs,
                    GError **error) {
  g_autoptr(UidSet) told = uid_set_new();
  Answer answer = {.imap = imap, .request = request, .funcs = funcs, .told = told};
  if (request->examines && !receive_examine(imap, error)) return false;
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
  g_assert(imap->requests.length > 0);
  ImapRequest *request = imap->requests.head->data;
  GError *failure = g_steal_pointer(&request->failure);
  imap->is_fetching = true;
  bool good = failure == NULL && receive(imap, request, funcs, error);
  imap->is_fetching = false;
  if (failure) g_propagate_error(error, failure);
  imap_request_free(g_queue_pop_head(&imap->requests));
  return good;
}
