// News: NOTIFY (RFC 5465) for all folders where the server has it, and IDLE (RFC 2177) for the one
// that is open. Both on one connection: with NOTIFY alone Dovecot sits on new mail of the open
// folder.

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_private.h"

// Routers forget a connection that is silent for longer, and a dead one is found that soon.
#define RENEW_MS (5 * 60 * 1000)

typedef struct {
  ImapMailbox *imap;
  const MailboxNewsFuncs *funcs;
} Watch;

MailboxWatch imap_can_watch(Mailbox *mailbox) {
  ImapMailbox *imap = imap_of(mailbox);
  bool refused = imap->has_notify && !imap->is_notified;
  if (imap_session_has(imap->session, "NOTIFY") && !refused) return MAILBOX_WATCHES_ALL;
  return imap_session_has(imap->session, "IDLE") ? MAILBOX_WATCHES_FOLDER : MAILBOX_WATCHES_NOTHING;
}

// `* STATUS name (MESSAGES 3 UIDNEXT 7 UIDVALIDITY 1)`.
static void tell_status(const Watch *watch, const ImapResponse *response) {
  const char *name = imap_value_text(response->values);
  const ImapValue *items = imap_value_nth(response->values, 1);
  MailboxStatus status;
  if (!name) return;
  bool is_useful = items && imap_read_status(items->first, &status);
  watch->funcs->folder(name, is_useful ? &status : NULL, watch->funcs->data);
}

// A server that warns while nothing is asked of it may have stopped to watch (so does Dovecot when
// the open folder is deleted by another client): another connection shows all there is.
static bool doubt(const ImapResponse *response, GError **error) {
  g_autofree char *words = imap_printable(response->text ? response->text : "");
  g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the server warns: %s", words);
  return false;
}

static bool take_news(const ImapEvent *event, gpointer data, GError **error) {
  const Watch *watch = data;
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || !response->name) return true;
  if (strcmp(response->name, "NO") == 0 || strcmp(response->name, "BAD") == 0)
    return strcmp(response->tag, "*") != 0 || doubt(response, error);
  if (strcmp(response->name, "STATUS") == 0)
    tell_status(watch, response);
  else if (strcmp(response->name, "LIST") == 0)
    watch->funcs->tree(watch->funcs->data);
  else if (imap_is_news(event) && watch->imap->folder)
    watch->funcs->folder(watch->imap->folder, NULL, watch->funcs->data);
  return true;
}

// What may come of an IDLE that was left on when its funcs are gone: it is asked for by take_news.
static bool note_late_news(const ImapEvent *event, gpointer data, GError **error) {
  if (imap_is_news(event)) ((ImapMailbox *)data)->has_news = true;
  return true;
}

// Asked once for each connection. A server that refuses it is as one without.
static bool set_notify(Watch *watch, GError **error) {
  static const char words[] =
      "NOTIFY SET STATUS (selected (MessageNew MessageExpunge FlagChange))"
      " (personal (MessageNew MessageExpunge FlagChange MailboxName))";
  ImapMailbox *imap = watch->imap;
  g_autoptr(GError) refusal = NULL;
  if (imap->has_notify || !imap_session_has(imap->session, "NOTIFY")) return true;
  imap->has_notify = true;
  imap->is_notified = imap_session_run_words(imap->session, words, take_news, watch, &refusal);
  if (imap->is_notified || !net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

// The server may have let go of us long ago without our knowing: its answer tells.
static bool renew(Watch *watch, GError **error) {
  return imap_session_run_words(watch->imap->session, "NOOP", take_news, watch, error);
}

static bool begin(Watch *watch, GError **error) {
  ImapMailbox *imap = watch->imap;
  bool can_idle = imap_session_has(imap->session, "IDLE");
  if (can_idle && !imap_session_is_idle(imap->session) &&
      !imap_session_idle_begin(imap->session, note_late_news, imap, error))
    return false;
  MailboxWatch kind = imap->is_notified                  ? MAILBOX_WATCHES_ALL
                      : can_idle && imap->folder != NULL ? MAILBOX_WATCHES_FOLDER
                                                         : MAILBOX_WATCHES_NOTHING;
  watch->funcs->watching(kind, watch->funcs->data);
  return true;
}

// Tells news until the wire is woken or so much time is over.
static WireWait listen(Watch *watch, int64_t duration_ms, GError **error) {
  int64_t until_us = g_get_monotonic_time() + duration_ms * 1000;
  WireWait wait = WIRE_READY;
  while (wait == WIRE_READY) {
    int64_t left_ms = (until_us - g_get_monotonic_time() + 999) / 1000;
    wait = imap_session_listen(watch->imap->session, take_news, watch, (int)MAX(left_ms, 0), error);
  }
  return wait;
}

static bool watch_for(Watch *watch, int timeout_ms, GError **error) {
  int64_t end_us = g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  for (;;) {
    int64_t left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
    bool renews = timeout_ms < 0 || left_ms > RENEW_MS;
    if (!begin(watch, error)) return false;
    WireWait wait = listen(watch, renews ? RENEW_MS : MAX(left_ms, 0), error);
    if (wait != WIRE_EXPIRED) return wait == WIRE_WOKEN;
    if (!renews) return true;
    if (!renew(watch, error)) return false;
  }
}

static void tell_missed(Watch *watch) {
  ImapMailbox *imap = watch->imap;
  const MailboxNewsFuncs *funcs = watch->funcs;
  if (imap->has_news && imap->folder) funcs->folder(imap->folder, NULL, funcs->data);
  if (imap->has_missed) funcs->tree(funcs->data);
  imap->has_news = imap->has_missed = false;
}

bool imap_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs, GError **error) {
  Watch watch = {.imap = imap_of(mailbox), .funcs = funcs};
  tell_missed(&watch);
  watch.imap->is_told = true;
  bool good = set_notify(&watch, error) && watch_for(&watch, timeout_ms, error);
  watch.imap->is_told = false;
  return good;
}
