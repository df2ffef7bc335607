// Bytes of messages: RETR, many on their way.

#include <inttypes.h>

#include "net/error.h"
#include "net/pop3_private.h"

// What a message of unknown size is taken for, to bound what is on its way.
#define UNKNOWN_BYTES (64 << 10)

// One is kept until it is answered. Its RETRs are sent as there is room, after those of the one
// before it.
typedef struct {
  UidSet *uids;
  Pop3Walk walk;       // over those that are to be asked for; what is not in the table is not there
  bool is_sent;        // nothing more is to be asked, and RSET went out behind what was
  bool is_given_up;    // a callback failed: what is not sent is not asked for
  unsigned n_awaited;  // RETRs sent and not answered
  GError *failure;     // known already
} Pop3Request;

static void free_request(gpointer data) {
  Pop3Request *request = data;
  uid_set_free(request->uids);
  g_clear_error(&request->failure);
  g_free(request);
}

void pop3_free_requests(Pop3Mailbox *pop3) {
  g_queue_clear_full(&pop3->requests, free_request);
}

// ---- Sending.

// True without having sent if there is no room.
static bool send_next(Pop3Mailbox *pop3, Pop3Request *request, bool *has_room, GError **error) {
  uint32_t number = request->is_given_up ? 0 : pop3_table_next(pop3->table, &request->walk);
  const Pop3Message *message = pop3_table_get(pop3->table, number);
  int64_t size = message != NULL ? message->size : 0;
  const Pop3Command command = {
      .verb = POP3_RETR, .number = number, .bytes = size >= 0 ? (uint64_t)size : UNKNOWN_BYTES};
  *has_room = pop3_session_has_room(pop3->session, command.bytes);
  if (!*has_room) return true;
  if (message == NULL) {
    request->is_sent = true;
    return pop3_session_send_reset(pop3->session, error);
  }
  if (!pop3_session_send(pop3->session, &command, error)) return false;
  request->n_awaited++;
  request->walk.last_uid = message->uid;
  return true;
}

// Sends what there is room for, of the oldest request first.
static bool send_ahead(Pop3Mailbox *pop3, GError **error) {
  bool has_room = pop3_session_has_room(pop3->session, 0);
  for (GList *link = pop3->requests.head; link && has_room; link = link->next) {
    Pop3Request *request = link->data;
    while (has_room && !request->is_sent)
      if (!send_next(pop3, request, &has_room, error)) return false;
  }
  return pop3_session_flush(pop3->session, error);
}

static GError *find_failure(const Pop3Mailbox *pop3, const MailboxRequest *wanted) {
  if (!pop3_has_folder(wanted->folder))
    return g_error_new_literal(NET_ERROR, NET_ERROR_GONE, "a POP3 mailbox has no folder but INBOX");
  if (wanted->uidvalidity != POP3_UIDVALIDITY)
    return g_error_new_literal(NET_ERROR, NET_ERROR_GONE, "these are not this mailbox's UIDs");
  if (pop3->table == NULL)
    return g_error_new_literal(NET_ERROR, NET_ERROR_GONE,
                               "the messages of this connection were not listed yet");
  return NULL;
}

// Parts are answered by the whole. `anew` has no meaning: the view is the session's.
bool pop3_request(Mailbox *mailbox, const MailboxRequest *wanted, GError **error) {
  Pop3Mailbox *pop3 = pop3_of(mailbox);
  g_autoptr(UidSet) nothing = uid_set_new();
  g_assert(pop3->requests.length < MAILBOX_PIPELINE_MAX);
  Pop3Request *request = g_new0(Pop3Request, 1);
  request->uids = wanted->uids != NULL ? uid_set_subtract(wanted->uids, nothing) : uid_set_new();
  if (wanted->uids == NULL) uid_set_add(request->uids, wanted->uid);
  request->walk.uids = request->uids;
  request->failure = find_failure(pop3, wanted);
  request->is_sent = request->failure != NULL;
  g_queue_push_tail(&pop3->requests, request);
  return send_ahead(pop3, error);
}

// ---- Receiving.

typedef struct {
  Pop3Mailbox *pop3;
  Pop3Request *request;
  const MailboxBodyFuncs *funcs;
  UidSet *withheld;
  GError *failure;  // the first one; nothing more is told
} Answer;

static bool tell_bytes(const char *bytes, size_t size, gpointer data, GError **error) {
  const MailboxBodyFuncs *funcs = data;
  return funcs->bytes(bytes, size, funcs->data, error);
}

static bool take_message(Answer *answer, uint32_t uid, GError **error) {
  const MailboxBodyFuncs *funcs = answer->funcs;
  Pop3Session *session = answer->pop3->session;
  if (answer->failure != NULL) return pop3_session_receive_bytes(session, NULL, NULL, error);
  if (!funcs->begin(uid, 0, funcs->data, error)) {
    pop3_session_receive_bytes(session, NULL, NULL, NULL);
    return false;
  }
  return pop3_session_receive_bytes(session, tell_bytes, (gpointer)funcs, error) &&
         funcs->end(uid, 0, funcs->data, error);
}

static bool take_refusal(Answer *answer, uint32_t uid, const Pop3Reply *reply, GError **error) {
  if (!pop3_reply_is_temporary(reply)) {
    uid_set_add(answer->withheld, uid);
    return true;
  }
  pop3_reply_set_error(reply, error);
  return false;
}

static bool receive_one(Answer *answer, GError **error) {
  Pop3Command command;
  g_autoptr(Pop3Reply) reply = pop3_session_receive(answer->pop3->session, &command, error);
  if (reply == NULL) return false;
  answer->request->n_awaited--;
  uint32_t uid = pop3_table_get(answer->pop3->table, command.number)->uid;
  return reply->status == POP3_OK ? take_message(answer, uid, error)
                                  : take_refusal(answer, uid, reply, error);
}

// All that is on its way is answered. An error of the connection goes before others.
static void receive_all(Answer *answer) {
  Pop3Session *session = answer->pop3->session;
  for (;;) {
    GError *failure = NULL;
    bool good = send_ahead(answer->pop3, &failure);
    if (good && answer->request->n_awaited == 0 && answer->request->is_sent) return;
    good = good && receive_one(answer, &failure);
    if (good) continue;
    answer->request->is_given_up = true;
    if (pop3_session_is_over(session)) g_clear_error(&answer->failure);
    if (answer->failure == NULL) answer->failure = g_steal_pointer(&failure);
    g_clear_error(&failure);
    if (pop3_session_is_over(session)) return;
  }
}

// A server that is about to close may refuse as well: what it withholds is certain when the RSET
// behind it was answered.
static void tell_withheld(Answer *answer) {
  const MailboxBodyFuncs *funcs = answer->funcs;
  if (answer->failure != NULL || uid_set_is_empty(answer->withheld)) return;
  if (!pop3_session_settle(answer->pop3->session, &answer->failure)) return;
  for (size_t i = 0; i < uid_set_n_ranges(answer->withheld); i++) {
    UidRange range = uid_set_range(answer->withheld, i);
    for (uint64_t uid = range.first; uid <= range.last; uid++)
      funcs->withheld((uint32_t)uid, funcs->data);
  }
}

bool pop3_receive(Mailbox *mailbox, const MailboxBodyFuncs *funcs, GError **error) {
  Pop3Mailbox *pop3 = pop3_of(mailbox);
  g_assert(pop3->requests.length > 0);
  g_autoptr(UidSet) withheld = uid_set_new();
  Pop3Request *request = pop3->requests.head->data;
  Answer answer = {.pop3 = pop3, .request = request, .funcs = funcs, .withheld = withheld};
  answer.failure = g_steal_pointer(&request->failure);
  if (answer.failure == NULL) receive_all(&answer);
  tell_withheld(&answer);
  free_request(g_queue_pop_head(&pop3->requests));
  if (answer.failure == NULL) return true;
  g_propagate_error(error, answer.failure);
  return false;
}
