// A session that waits for news (RFC 2177).

#include "net/error.h"
#include "net/imap_session_private.h"

static bool await_agreement(ImapSession *session, const ImapSent *idle, GError **error) {
  while (!idle->ended) {
    ImapTook took = imap_session_take_next(session, NULL, error);
    if (took == IMAP_TOOK_GO_AHEAD) return true;
    if (took != IMAP_TOOK_NOTHING) continue;
    imap_session_close(session);
    return false;
  }
  // An OK without IDLE having been on is no agreement either.
  if (idle->refusal)
    g_propagate_error(error, g_error_copy(idle->refusal));
  else
    g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, "the server ends IDLE at once");
  return false;
}

bool imap_session_idle_begin(ImapSession *session, GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(session, "IDLE");
  imap_command_end(command);
  g_assert(session->sent.length == 0 && !session->idle);
  if (!imap_session_send(session, command, error)) return false;
  ImapSent *idle = session->sent.head->data;
  bool agreed = await_agreement(session, idle, error);
  g_queue_pop_head(&session->sent);
  idle->is_idle = true;
  if (agreed)
    session->idle = idle;
  else
    imap_sent_free(idle);
  return agreed;
}

bool imap_session_is_idle(const ImapSession *session) {
  return session->idle != NULL;
}

bool imap_session_is_leaving_idle(const ImapSession *session) {
  const ImapSent *sent = session->sent.head ? session->sent.head->data : NULL;
  return sent && sent->is_idle && !sent->ended;
}

// Waits until an event is there.
static WireWait await_event(ImapSession *session, ImapEvent *event, int timeout_ms,
                            GError **error) {
  *event = imap_parser_next(session->parser);
  while (event->type == IMAP_EVENT_MORE) {
    WireWait wait = wire_wait(session->wire, timeout_ms, error);
    if (wait != WIRE_READY) return wait;
    if (!imap_session_receive_more(session, error)) return WIRE_BROKEN;
    *event = imap_parser_next(session->parser);
  }
  if (event->type != IMAP_EVENT_FATAL) return WIRE_READY;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL, "the server sends no IMAP");
  return WIRE_BROKEN;
}

// Who was told to stop while nothing came can still say goodbye.
WireWait imap_session_listen(ImapSession *session, int timeout_ms, GError **error) {
  ImapEvent event;
  g_autoptr(GError) failure = NULL;
  if (!imap_session_check_open(session, error)) return WIRE_BROKEN;
  WireWait wait = await_event(session, &event, timeout_ms, &failure);
  if (wait == WIRE_READY && imap_session_take(session, &event, NULL, &failure) == IMAP_TOOK_NOTHING)
    wait = WIRE_BROKEN;
  if (session->idle && session->idle->ended) g_clear_pointer(&session->idle, imap_sent_free);
  if (wait != WIRE_BROKEN) return wait;
  if (!g_error_matches(failure, NET_ERROR, NET_ERROR_CANCELLED)) imap_session_close(session);
  g_propagate_error(error, g_steal_pointer(&failure));
  return WIRE_BROKEN;
}
