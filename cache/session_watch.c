// What a session does while nobody wants anything: it watches.

#include <string.h>

#include "cache/session_private.h"
#include "net/error.h"

// After so long without a job, a connection beside the first that watches its folder lets go of it.
#define WATCH_MS (10 * 60 * 1000)
#define INBOX "INBOX"

static void tell_folder(const char *folder, const MailboxStatus *status, gpointer data) {
  Report *report = report_new(REPORT_FOLDER);
  report->folder = g_strdup(folder);
  report->has_status = status != NULL;
  if (status != NULL) report->status = *status;
  session_report(data, report);
}

static void tell_tree(gpointer data) {
  session_report(data, report_new(REPORT_TREE));
}

static void tell_watch(MailboxWatch watch, gpointer data) {
  Session *session = data;
  const char *folder = session->is_synced ? session->open_folder : NULL;
  session_report_watch(session, watch, watch == MAILBOX_WATCHES_NOTHING ? NULL : folder);
}

static void lose(Session *session, GError *error) {
  // At the end, the connection is not lost: it gets its goodbye.
  if (job_board_is_closed(session->context->board)) return;
  session_disconnect(session);
  Report *report = report_new(REPORT_LOST);
  report->session = session->number;
  report->error = g_error_copy(error);
  session_report(session, report);
}

static bool is_listed(Session *session, const char *name) {
  g_auto(IndexFolder) folder;
  return index_folder_named(session->index, name, &folder) == INDEX_FOUND && folder.listed;
}

// The first has the INBOX, unless nobody has looked at that yet.
static const char *watched_name(Session *session, bool is_first) {
  return is_first && is_listed(session, INBOX) ? INBOX : session->open_folder;
}

// Opens the folder to be watched as one that the index knows all of; false: nothing to watch.
static bool open_watched(Session *session, bool is_first) {
  const char *name = watched_name(session, is_first);
  if (name == NULL) return false;
  bool is_open = g_strcmp0(session->open_folder, name) == 0 && session->is_synced;
  if (is_open) return true;
  g_auto(IndexFolder) folder;
  if (index_folder_named(session->index, name, &folder) != INDEX_FOUND || !folder.listed)
    return false;
  Job *job = job_new(JOB_SYNC, JOB_LISTING, folder.ino);
  job->connected = true;
  bool done = session_sync(session, job, folder.ino, &job->error);
  if (!done && net_error_ends_connection(job->error)) lose(session, job->error);
  if (!done) g_clear_pointer(&job->changes, changes_free);
  session_finish(session, job);
  return done;
}

static bool has_something_to_watch(Session *session) {
  if (session->mailbox == NULL || session->index == NULL) return false;
  bool is_first = job_board_is_first(session->context->board, session->number);
  switch (mailbox_can_watch(session->mailbox)) {
    case MAILBOX_WATCHES_ALL:
      return is_first;
    case MAILBOX_WATCHES_FOLDER:
      job_board_spread_listings(session->context->board);
      return open_watched(session, is_first);
    case MAILBOX_WATCHES_NOTHING:
      return false;
  }
  return false;
}

bool session_watch(Session *session) {
  const MailboxNewsFuncs funcs = {tell_folder, tell_tree, tell_watch, session};
  JobBoard *board = session->context->board;
  g_autoptr(GError) error = NULL;
  if (!has_something_to_watch(session)) return false;
  waker_clear(session->waker);
  if (!job_board_go_away(board, session->number, session->open_folder, session->waker)) return true;
  int64_t began_us = g_get_monotonic_time();
  int patience_ms = job_board_is_first(board, session->number) ? -1 : WATCH_MS;
  bool good = mailbox_watch(session->mailbox, patience_ms, &funcs, &error);
  job_board_come_back(board, session->number);
  bool too_long = patience_ms > 0 && g_get_monotonic_time() - began_us >= patience_ms * 1000LL;
  if (!good) lose(session, error);
  if (good && too_long) session_disconnect(session);
  return true;
}
