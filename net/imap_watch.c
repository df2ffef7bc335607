// News: NOTIFY (RFC 5465) for all folders where the server has it, and IDLE (RFC 2177) for the one
// that is open. Both on one connection: with NOTIFY alone Dovecot sits on new mail of the open
// folder. News come at any time, also between the answers to something else: then the next watch
// tells them.

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_private.h"

// Routers forget a connection that is silent for longer, and a dead one is found that soon.
#define RENEW_MS (5 * 60 * 1000)
// A server that ends IDLE sooner than this, and again, does not mean to watch.
#define SHORT_IDLE_US G_USEC_PER_SEC
#define MAX_SHORT_IDLES 2

// ---- Hearing.

static void hear_of_folder(ImapMailbox *imap) {
  if (imap->watcher)
    imap->watcher->folder(imap->folder, NULL, imap->watcher->data);
  else
    imap->has_news = true;
}

static void hear_of_tree(ImapMailbox *imap) {
  if (imap->watcher)
    imap->watcher->tree(imap->watcher->data);
  else
    imap->has_missed = true;
}

// `* STATUS name (MESSAGES 3 UIDNEXT 7 UIDVALIDITY 1)`. What no watch is told of other folders is
// only that there was something; comparing the states of all will tell what.
static void hear_status(ImapMailbox *imap, const ImapResponse *response) {
  const char *name = imap_value_text(response->values);
  const ImapValue *items = imap_value_nth(response->values, 1);
  MailboxStatus status;
  if (!imap->watcher) {
    hear_of_tree(imap);
    return;
  }
  if (!name) return;
  bool is_useful = items && imap_read_status(items->first, &status);
  imap->watcher->folder(name, is_useful ? &status : NULL, imap->watcher->data);
}

// The server sent more than it wants to (RFC 5465 5.8), and has stopped to notify.
static void hear_overflow(ImapMailbox *imap) {
  imap->is_notified = false;
  hear_of_tree(imap);
}

// A server that warns while nothing is asked of it may have stopped to watch (so does Dovecot when
// the open folder is deleted by another client): another connection shows all there is.
static void hear_warning(ImapMailbox *imap, const ImapResponse *response) {
  if (!imap->watcher || imap->warning) return;
  imap->warning = imap_printable(response->text);
}

static void hear_words(ImapMailbox *imap, const ImapResponse *response) {
  const char *code = response->code ? response->code : "";
  if (strcmp(code, "CLOSED") == 0) imap->is_leaving = false;
  if (strcmp(code, "NOTIFICATIONOVERFLOW") == 0 && imap->is_notified) hear_overflow(imap);
  if (strcmp(response->name, "NO") == 0 || strcmp(response->name, "BAD") == 0)
    hear_warning(imap, response);
}

// Something changed in the open folder. Some servers repeat how many messages there are. Without a
// name: it cannot be read, and may be anything.
static bool is_change(ImapMailbox *imap, const ImapResponse *response, bool may_be_answer) {
  if (!response->name) return !may_be_answer;
  if (strcmp(response->name, "EXISTS") == 0) {
    bool is_repeated = imap->told_exists == response->number;
    imap->told_exists = response->number;
    return !is_repeated;
  }
  if (strcmp(response->name, "FETCH") == 0) return !may_be_answer;
  bool is_less = strcmp(response->name, "EXPUNGE") == 0 || strcmp(response->name, "VANISHED") == 0;
  if (is_less) imap->told_exists = -1;
  return is_less;
}

// EXAMINE ends what is told of the folder that was open before: at the latest by its own reply, in
// which its answers stand, sooner where CLOSED (RFC 7162 3.2.11) or the end of an IDLE is told.
static bool is_of_left_folder(ImapMailbox *imap) {
  if (imap->is_leaving && !imap->has_qresync && !imap_session_is_leaving_idle(imap->session))
    imap->is_leaving = false;
  return imap->is_leaving;
}

static void hear_change(ImapMailbox *imap, const ImapResponse *response) {
  bool is_left = is_of_left_folder(imap);
  if (!is_change(imap, response, imap->is_fetching && !is_left)) return;
  if (is_left && imap->is_notified) hear_of_tree(imap);
  if (!is_left && imap_session_state(imap->session) == IMAP_EXAMINED) hear_of_folder(imap);
}

// A line that cannot be read is as good as one that says that something changed, unless it is part
// of an answer, which is for whoever asked to doubt.
static void hear_broken(ImapMailbox *imap, const ImapResponse *response) {
  static const char *const names[] = {"STATUS", "LIST", NULL};
  bool is_of_tree = response->name && g_strv_contains(names, response->name);
  if (!response->name && (imap->is_fetching || imap->is_listing)) return;
  if (imap->is_notified && !imap->is_listing && (is_of_tree || !response->name)) hear_of_tree(imap);
  if (!is_of_tree) hear_change(imap, response);
}

void imap_overhear(const ImapEvent *event, gpointer data) {
  ImapMailbox *imap = data;
  const ImapResponse *response = event->response;
  if (event->type == IMAP_EVENT_BAD) hear_broken(imap, response);
  if (event->type != IMAP_EVENT_RESPONSE || !response->name) return;
  bool may_be_news = imap->watcher || imap->is_notified;
  if (response->text)
    hear_words(imap, response);
  else if (strcmp(response->name, "STATUS") == 0 && may_be_news && !imap->is_status_asked)
    hear_status(imap, response);
  else if (strcmp(response->name, "LIST") == 0 && may_be_news && !imap->is_listing)
    hear_of_tree(imap);
  else
    hear_change(imap, response);
}

// ---- Watching.

typedef struct {
  ImapMailbox *imap;
  const MailboxNewsFuncs *funcs;
  MailboxWatch hoped;  // what it might come to when it began
  bool is_told;        // the caller knows that `kind` is watched
  MailboxWatch kind;
} Watch;

MailboxWatch imap_can_watch(Mailbox *mailbox) {
  ImapMailbox *imap = imap_of(mailbox);
  bool refused = imap->has_notify && !imap->is_notified;
  if (imap->is_idle_refused) return MAILBOX_WATCHES_NOTHING;
  if (imap_session_has(imap->session, "NOTIFY") && !refused) return MAILBOX_WATCHES_ALL;
  return imap_session_has(imap->session, "IDLE") ? MAILBOX_WATCHES_FOLDER : MAILBOX_WATCHES_NOTHING;
}

// Asked once for each connection. A server that refuses it is as one without.
static bool set_notify(ImapMailbox *imap, GError **error) {
  static const char words[] =
      "NOTIFY SET STATUS (selected (MessageNew MessageExpunge FlagChange))"
      " (personal (MessageNew MessageExpunge FlagChange MailboxName))";
  g_autoptr(GError) refusal = NULL;
  if (imap->has_notify || !imap_session_has(imap->session, "NOTIFY")) return true;
  imap->has_notify = imap->is_notified = true;
  if (imap_session_run_words(imap->session, words, NULL, NULL, &refusal)) return true;
  imap->is_notified = false;
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

// The server may have let go of us long ago without our knowing: any answer tells.
static bool renew(ImapMailbox *imap, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (imap_session_run_words(imap->session, "NOOP", NULL, NULL, &refusal)) return true;
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

static bool begin_idle(ImapMailbox *imap, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (imap->is_idle_refused || !imap_session_has(imap->session, "IDLE")) return true;
  if (imap_session_is_idle(imap->session)) return true;
  imap->idle_since_us = g_get_monotonic_time();
  if (imap_session_idle_begin(imap->session, &refusal)) return true;
  imap->is_idle_refused = !net_error_ends_connection(refusal);
  if (imap->is_idle_refused) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

// The server ended an IDLE by itself.
static void note_ended_idle(ImapMailbox *imap) {
  bool is_short = g_get_monotonic_time() - imap->idle_since_us < SHORT_IDLE_US;
  imap->n_short_idles = is_short ? imap->n_short_idles + 1 : 0;
  if (imap->n_short_idles >= MAX_SHORT_IDLES) imap->is_idle_refused = true;
}

static void tell_watching(Watch *watch) {
  const ImapMailbox *imap = watch->imap;
  MailboxWatch kind = MAILBOX_WATCHES_NOTHING;
  bool is_idle = imap_session_is_idle(imap->session);
  if (imap->is_notified && !imap->is_idle_refused)
    kind = MAILBOX_WATCHES_ALL;
  else if (is_idle && imap->folder)
    kind = MAILBOX_WATCHES_FOLDER;
  if (watch->is_told && watch->kind == kind) return;
  watch->is_told = true;
  watch->kind = kind;
  watch->funcs->watching(kind, watch->funcs->data);
}

// The caller may now want to watch something else.
static bool is_less(const Watch *watch) {
  return imap_can_watch(&watch->imap->mailbox) < watch->hoped;
}

static WireWait doubt(ImapMailbox *imap, GError **error) {
  g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the server warns: %s", imap->warning);
  return WIRE_BROKEN;
}

// Tells news until the wire is woken, so much time is over, or the server ended the IDLE or has
// stopped to notify (WIRE_READY).
static WireWait listen(Watch *watch, int64_t duration_ms, GError **error) {
  ImapMailbox *imap = watch->imap;
  int64_t until_us = g_get_monotonic_time() + duration_ms * 1000;
  bool was_idle = imap_session_is_idle(imap->session);
  WireWait wait = WIRE_READY;
  while (wait == WIRE_READY && !imap->warning) {
    int64_t left_ms = (until_us - g_get_monotonic_time() + 999) / 1000;
    wait = imap_session_listen(imap->session, (int)MAX(left_ms, 0), error);
    bool was_ended = was_idle && !imap_session_is_idle(imap->session);
    if (wait == WIRE_READY && was_ended) note_ended_idle(imap);
    if (was_ended || is_less(watch)) break;
  }
  if (imap->warning && wait != WIRE_BROKEN) return doubt(imap, error);
  return wait;
}

static bool watch_for(Watch *watch, int timeout_ms, GError **error) {
  ImapMailbox *imap = watch->imap;
  int64_t end_us = g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  for (;;) {
    if (!begin_idle(imap, error)) return false;
    tell_watching(watch);
    if (imap->is_idle_refused || is_less(watch)) return true;
    int64_t left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
    bool renews = timeout_ms < 0 || left_ms > RENEW_MS;
    WireWait wait = listen(watch, renews ? RENEW_MS : MAX(left_ms, 0), error);
    if (wait == WIRE_READY && is_less(watch)) {
      tell_watching(watch);
      return true;
    }
    if (wait == WIRE_READY) continue;
    if (wait != WIRE_EXPIRED) return wait == WIRE_WOKEN;
    if (!renews) return true;
    if (!renew(imap, error)) return false;
  }
}

static void tell_missed(ImapMailbox *imap, const MailboxNewsFuncs *funcs) {
  if (imap->has_news && imap->folder) funcs->folder(imap->folder, NULL, funcs->data);
  if (imap->has_missed) funcs->tree(funcs->data);
  imap->has_news = imap->has_missed = false;
}

bool imap_watch(Mailbox *mailbox, int timeout_ms, const MailboxNewsFuncs *funcs, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  Watch watch = {.imap = imap, .funcs = funcs, .hoped = imap_can_watch(mailbox)};
  tell_missed(imap, funcs);
  imap->watcher = funcs;
  bool good = set_notify(imap, error) && watch_for(&watch, timeout_ms, error);
  imap->watcher = NULL;
  g_clear_pointer(&imap->warning, g_free);
  return good;
}
