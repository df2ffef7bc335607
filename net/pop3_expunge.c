// Removing messages: DELE marks them, and QUIT removes what is marked (RFC 1939 6).

#include <inttypes.h>

#include "net/error.h"
#include "net/pop3_private.h"

// What a reply is taken for, to bound what is on its way.
#define REPLY_BYTES 64

typedef struct {
  Pop3Mailbox *pop3;
  Pop3Walk walk;    // over what is to be removed
  bool is_sent;     // QUIT was
  GError *refusal;  // of a DELE; the first one
} Removal;

static bool send_ahead(Removal *removal, GError **error) {
  Pop3Session *session = removal->pop3->session;
  while (!removal->is_sent && pop3_session_has_room(session, REPLY_BYTES)) {
    uint32_t number = pop3_table_next(removal->pop3->table, &removal->walk);
    const Pop3Command command = {
        .verb = number != 0 ? POP3_DELE : POP3_QUIT, .number = number, .bytes = REPLY_BYTES};
    if (!pop3_session_send(session, &command, error)) return false;
    removal->is_sent = number == 0;
    if (number == 0) break;
    removal->walk.last_uid = pop3_table_get(removal->pop3->table, number)->uid;
  }
  return pop3_session_flush(session, error);
}

// Perhaps the message is no more, perhaps the server keeps it: the next listing tells.
static void take_refusal(Removal *removal, const Pop3Reply *reply) {
  if (reply->status == POP3_ERR && removal->refusal == NULL)
    pop3_reply_set_error(reply, &removal->refusal);
}

static bool remove_all(Removal *removal, GError **error) {
  Pop3Session *session = removal->pop3->session;
  for (;;) {
    Pop3Command command;
    if (!send_ahead(removal, error)) return false;
    g_autoptr(Pop3Reply) reply = pop3_session_receive(session, &command, error);
    if (reply == NULL) return false;
    if (command.verb == POP3_DELE) take_refusal(removal, reply);
    if (command.verb != POP3_QUIT) continue;
    if (reply->status == POP3_OK) return true;
    pop3_reply_set_error(reply, error);
    g_prefix_error(error, "some messages may not have been removed: ");
    return false;
  }
}

static bool are_listed(const Pop3Mailbox *pop3, const UidSet *uids) {
  Pop3Walk walk = {.uids = uids};
  uint64_t count = 0;
  for (uint32_t number; (number = pop3_table_next(pop3->table, &walk)) != 0; count++)
    walk.last_uid = pop3_table_get(pop3->table, number)->uid;
  return count == uid_set_count(uids);
}

// What is not listed is gone; but not where it may be there under no name, or another one.
static bool check_sure(const Pop3Mailbox *pop3, const UidSet *uids, GError **error) {
  if (!pop3->is_unsure || are_listed(pop3, uids)) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY,
                      "the server does not say of all messages which they are (UIDL, TOP): these "
                      "are not removed");
  return false;
}

static bool check_listed(const Pop3Mailbox *pop3, const char *folder, uint32_t uidvalidity,
                         GError **error) {
  if (pop3_has_folder(folder) && uidvalidity == POP3_UIDVALIDITY && pop3->table != NULL)
    return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_GONE,
                      "the messages to be removed were not listed on this connection");
  return false;
}

bool pop3_expunge(Mailbox *mailbox, const char *folder, uint32_t uidvalidity, const UidSet *uids,
                  GError **error) {
  Pop3Mailbox *pop3 = pop3_of(mailbox);
  Removal removal = {.pop3 = pop3, .walk = {.uids = uids}};
  g_assert(pop3->requests.length == 0);
  if (!check_listed(pop3, folder, uidvalidity, error)) return false;
  // A RSET behind a DELE would take it back.
  bool good = pop3_session_send_reset(pop3->session, error) && remove_all(&removal, error);
  if (good && removal.refusal != NULL) {
    good = false;
    g_propagate_error(error, g_steal_pointer(&removal.refusal));
  }
  g_clear_error(&removal.refusal);
  return good && check_sure(pop3, uids, error);
}
