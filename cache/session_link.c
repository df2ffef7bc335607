// A session's connection: when it is made, given up, and left to others.

#include "cache/session_private.h"
#include "net/error.h"

// For how long a session that the server has no connection for is left out.
#define BARRED_S 60
// A server that lets nobody in is not asked at once for each of those who wait in line.
#define SHUT_US (G_USEC_PER_SEC / 10)

// A cancel was meant for the job under way; the goodbye has a limit of its own.
static void say_goodbye(Session *session) {
  bool cancelled = waker_is_cancelled(session->waker);
  if (cancelled) waker_reset(session->waker);
  g_clear_pointer(&session->mailbox, mailbox_free);
  if (cancelled) waker_cancel(session->waker);
}

void session_disconnect(Session *session) {
  if (session->mailbox == NULL) return;
  say_goodbye(session);
  g_atomic_int_add(&session->context->n_connected, -1);
  session->tells_uid_first = false;
  session_set_folder(session, NULL, false);
  g_clear_pointer(&session->sent_folder, g_free);
  session->no_sent_us = 0;
  session_report_watch(session, MAILBOX_WATCHES_NOTHING, NULL);
}

// That interruption may come after the connection was renewed; the one at the end stays.
void session_renew_now(Session *session) {
  if (atomic_exchange(&session->renewed, false)) session_disconnect(session);
  if (!waker_is_cancelled(session->waker) || atomic_load(&session->is_ending)) return;
  waker_reset(session->waker);
  if (atomic_load(&session->is_ending)) waker_cancel(session->waker);
}

unsigned session_login_pause_ms(const Session *session) {
  int64_t left_us = session->login_from_us - g_get_monotonic_time();
  return left_us > 0 ? (unsigned)(left_us / 1000 + 1) : 0;
}

// The server lets nobody in.
static void note_shut(Session *session, GError *problem) {
  session->shut = g_error_copy(problem);
  int64_t pause_us = MAX(SHUT_US, (int64_t)net_error_backoff_ms(problem) * 1000);
  session->shut_until_us = g_get_monotonic_time() + pause_us;
}

static bool may_login(Session *session, GError **error) {
  unsigned pause_ms = session_login_pause_ms(session);
  if (session->shut != NULL && g_get_monotonic_time() < session->shut_until_us) {
    g_propagate_error(error, g_error_copy(session->shut));
    return false;
  }
  g_clear_error(&session->shut);
  if (pause_ms == 0) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY,
              "the server wants a pause between logins: %u s more", (pause_ms + 999) / 1000);
  return false;
}

static void open_mailbox(Session *session, GError **error) {
  SessionContext *context = session->context;
  g_autoptr(GError) problem = NULL;
  int64_t now_us = session->connected_us = g_get_monotonic_time();
  if (!may_login(session, error)) return;
  session->mailbox =
      context->open_mailbox(context->account, session->waker, session->name, &problem);
  if (session->mailbox != NULL) {
    int64_t delay_s = mailbox_login_delay_s(session->mailbox);
    session->login_from_us = delay_s > 0 ? now_us + delay_s * G_USEC_PER_SEC : 0;
    g_atomic_int_inc(&context->n_connected);
    return;
  }
  if (g_error_matches(problem, NET_ERROR, NET_ERROR_BUSY)) note_shut(session, problem);
  g_propagate_error(error, g_steal_pointer(&problem));
}

// How long the server wants to be left alone, as far as it is known; 0: it is not.
static unsigned pause_of(const Session *session) {
  int64_t left_us = session->shut != NULL ? session->shut_until_us - g_get_monotonic_time() : 0;
  return MAX(session_login_pause_ms(session),
             left_us > SHUT_US ? (unsigned)(left_us / 1000 + 1) : 0);
}

bool session_connect(Session *session, Job *job, GError **error) {
  session_renew_now(session);
  if (session->mailbox == NULL) open_mailbox(session, error);
  job->connected = session->mailbox != NULL;
  job->could_not_connect = !job->connected;
  job->pause_ms = job->connected ? 0 : pause_of(session);
  return job->connected;
}

bool session_may_retry(Session *session, Job *job, bool was_connected, const GError *error) {
  if (job->retried || !net_error_ends_connection(error)) return false;
  bool is_renewed = atomic_load(&session->renewed);
  if (job_board_is_closed(session->context->board)) return false;
  bool cancelled = waker_is_cancelled(session->waker) && !is_renewed;
  bool silent = g_error_matches(error, NET_ERROR, NET_ERROR_TIMEOUT);
  job->retried = true;
  return is_renewed || (was_connected && !cancelled && !silent);
}

bool session_leave_to_others(Session *session, Job *job, const GError *error) {
  SessionContext *context = session->context;
  bool is_first = job_board_is_first(context->board, session->number);
  bool no_room = job->could_not_connect && g_atomic_int_get(&context->n_connected) > 0 &&
                 (g_error_matches(error, NET_ERROR, NET_ERROR_BUSY) ||
                  (!is_first && g_error_matches(error, NET_ERROR, NET_ERROR_OFFLINE)));
  if (!no_room || !job_board_bar(context->board, session->number, BARRED_S)) return false;
  g_info("%s: %s; the other connections go on", session->name, error->message);
  job->could_not_connect = job->retried = false;
  job_board_push(context->board, job);
  return true;
}
