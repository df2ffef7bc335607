// A session's life, and its work on listings.

#include "cache/session.h"

#include <string.h>

#include "cache/session_private.h"
#include "net/error.h"

// A session that has had nothing to do for so long looks after the bodies on disk.
#define SWEEP_PAUSE_MS 20
// A login is new enough for the first listing on it for so long.
#define NEW_LOGIN_US (G_USEC_PER_SEC / 2)
// How long a connection with nothing to do is kept because no login may follow: a server that ends
// those sooner than RFC 1939 allows (10 minutes) lets them be for so long.
#define KEPT_MAX_MS (2 * 60 * 1000)

void session_report(Session *session, Report *report) {
  post_send(session->context->reports, report);
}

void session_finish(Session *session, Job *job) {
  session_report(session, report_new_job(job));
}

void session_report_watch(Session *session, MailboxWatch watch, const char *folder) {
  if (session->watch == watch && g_strcmp0(session->watched_folder, folder) == 0) return;
  session->watch = watch;
  g_free(session->watched_folder);
  session->watched_folder = g_strdup(folder);
  Report *report = report_new(REPORT_WATCH);
  report->session = session->number;
  report->watch = watch;
  report->folder = g_strdup(folder);
  session_report(session, report);
}

void session_set_folder(Session *session, const char *folder, bool is_synced) {
  if (g_strcmp0(session->open_folder, folder) != 0) {
    bool watches_others = session->watch == MAILBOX_WATCHES_ALL;
    session_report_watch(session, watches_others ? MAILBOX_WATCHES_ALL : MAILBOX_WATCHES_NOTHING,
                         NULL);
    g_free(session->open_folder);
    session->open_folder = g_strdup(folder);
    session->is_synced = false;
  }
  if (is_synced) session->is_synced = true;
}

// The bodies of what is gone, after the commit that made it so.
static void remove_bodies(Session *session, const Changes *changes, unsigned from) {
  unsigned n;
  g_autoptr(GError) error = NULL;
  const ChangesName *removed = changes_removed(changes, &n);
  if (from == n) return;
  bool good = index_begin(session->index, &error);
  for (unsigned i = from; i < n; i++) {
    body_remove(session->context->bodies, removed[i].ino);
    good = good && index_forget_body(session->index, removed[i].ino, &error);
  }
  if (!good || !index_commit(session->index, &error))
    g_info("%s: %s", session->name, error->message);
  index_rollback(session->index);
}

// For what came whole with a listing.
static void make_room(Session *session) {
  g_autoptr(GError) error = NULL;
  if (!index_begin(session->index, &error) || !session_make_room(session, &error) ||
      !index_commit(session->index, &error))
    g_info("%s: %s", session->name, error->message);
  index_rollback(session->index);
}

static bool sync_claimed(Session *session, Job *job, uint64_t ino, GError **error) {
  g_auto(IndexFolder) folder;
  unsigned n_removed;
  IndexAnswer answer = index_folder(session->index, ino, &folder);
  bool is_gone = answer == INDEX_ABSENT || folder.gone;
  if (is_gone || answer != INDEX_FOUND) {
    g_set_error(error, NET_ERROR, is_gone ? NET_ERROR_GONE : NET_ERROR_BUSY,
                is_gone ? "the folder is gone" : "the folder cannot be looked up now");
    return false;
  }
  if (job->changes == NULL) job->changes = changes_new();
  changes_removed(job->changes, &n_removed);
  session_set_folder(session, NULL, false);
  bool has_uids = session->context->traits->has_uids;
  g_autoptr(ListingBodies) bodies =
      has_uids ? NULL : listing_bodies_new(session->context->bodies, session->context->cache_bytes);
  if (!sync_folder(session->index, session->mailbox, has_uids, &folder, bodies, job->changes,
                   error))
    return false;
  if (bodies != NULL && listing_bodies_count(bodies) > 0) make_room(session);
  session_set_folder(session, folder.server_name, true);
  remove_bodies(session, job->changes, n_removed);
  return true;
}

bool session_sync(Session *session, Job *job, uint64_t folder, GError **error) {
  JobBoard *board = session->context->board;
  if (!job_board_claim(board, folder)) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY, "the folder is being listed already");
    return false;
  }
  bool done = sync_claimed(session, job, folder, error);
  job_board_unclaim(board, folder);
  return done;
}

// What came since the login is seen by another one only (see session.h).
static bool is_login_too_old(const Session *session, const Job *job) {
  if (session->context->traits->has_uids || session->mailbox == NULL || job->kind != JOB_SYNC)
    return false;
  int64_t age_us = job->pinned_us - session->connected_us;
  return age_us > (session->is_synced ? 0 : NEW_LOGIN_US);
}

// The listing of a login that none may follow yet is as new as any can be.
static bool is_as_new_as_can_be(const Session *session, const Job *job) {
  return is_login_too_old(session, job) && session->is_synced &&
         session_login_pause_ms(session) > 0;
}

static bool keep_listing(Session *session, Job *job, GError **error) {
  job->connected = job->is_too_soon = true;
  g_set_error(error, NET_ERROR, NET_ERROR_BUSY, "%s: the server wants a pause between logins",
              job->folder);
  return false;
}

static bool try_listing(Session *session, Job *job, GError **error) {
  g_clear_pointer(&job->changes, changes_free);
  if (is_as_new_as_can_be(session, job)) return keep_listing(session, job, error);
  if (is_login_too_old(session, job) && session_login_pause_ms(session) == 0)
    session_disconnect(session);
  if (!session_connect(session, job, error)) return false;
  if (job->kind == JOB_SYNC) return session_sync(session, job, job->ino, error);
  job->changes = changes_new();
  return sync_tree(session->index, session->mailbox, &session->context->sync, job->changes, error);
}

static void do_listing(Session *session, Job *job) {
  bool was_connected = session->mailbox != NULL;
  if (try_listing(session, job, &job->error)) return;
  if (session_free_room(session, &job->error) && try_listing(session, job, &job->error)) return;
  if (!net_error_ends_connection(job->error)) return;
  session_disconnect(session);
  if (!session_may_retry(session, job, was_connected, job->error)) return;
  g_info("%s: %s; connecting again", session->name, job->error->message);
  g_clear_error(&job->error);
  if (!try_listing(session, job, &job->error) && net_error_ends_connection(job->error))
    session_disconnect(session);
}

// That it cannot be had is for those to tell who need it.
static void do_connect(Session *session, Job *job) {
  g_autoptr(GError) error = NULL;
  if (!session_connect(session, job, &error))
    g_info("%s: no connection ahead of need: %s", session->name, error->message);
  job->could_not_connect = false;
}

static void do_job(Session *session, Job *job) {
  if (session->index == NULL) {
    job->error = g_error_copy(session->index_error);
  } else if (job_is_about_bodies(job)) {
    session_do_bodies(session, job);
    return;
  } else if (job->kind == JOB_SEAL) {
    session_seal(session, job, &job->error);
  } else if (job->kind == JOB_CONNECT) {
    do_connect(session, job);
  } else if (job->kind == JOB_COPY) {
    session_copy(session, job, &job->error);
  } else if (job->kind == JOB_EXPUNGE) {
    session_expunge(session, job);
    session_finish(session, job);
    return;
  } else {
    do_listing(session, job);
    g_autoptr(GError) error = g_steal_pointer(&job->error);
    if (error != NULL && session_leave_to_others(session, job, error)) return;
    job->error = g_steal_pointer(&error);
  }
  if (job->error != NULL) g_clear_pointer(&job->changes, changes_free);
  session_finish(session, job);
}

// Opened before anything is mounted: the cache's files may be deleted after that.
static void open_index(Session *session) {
  session->index = index_open(session->context->index_path, INDEX_WRITE, &session->index_error);
  if (session->index != NULL && session->context->uid_names) index_use_uid_names(session->index);
}

static int linger_ms(const Session *session) {
  int kept_ms = (int)MIN(session_login_pause_ms(session), KEPT_MAX_MS);
  return MAX(session->context->traits->linger_ms, kept_ms);
}

static Job *await_job(Session *session) {
  JobBoard *board = session->context->board;
  if (session_may_sweep(session)) {
    Job *next = job_board_take(board, session->number, session->open_folder, SWEEP_PAUSE_MS);
    if (next == NULL && !job_board_is_closed(board)) session_sweep(session);
    return next;
  }
  int patience = session->mailbox != NULL ? linger_ms(session) : -1;
  if (session_watch(session)) patience = 0;
  Job *job = job_board_take(board, session->number, session->open_folder, patience);
  if (job == NULL && patience > 0 && !job_board_is_closed(board)) session_disconnect(session);
  return job;
}

static gpointer run(gpointer data) {
  Session *session = data;
  JobBoard *board = session->context->board;
  open_index(session);
  while (!job_board_is_closed(board)) {
    Job *job = await_job(session);
    if (job != NULL) do_job(session, job);
    session_renew_now(session);
  }
  session_disconnect(session);
  g_clear_pointer(&session->index, index_free);
  g_clear_error(&session->index_error);
  g_clear_error(&session->shut);
  return NULL;
}

Session *session_new(SessionContext *context, unsigned number) {
  Session *session = g_new0(Session, 1);
  session->context = context;
  session->number = number;
  session->name = g_strdup_printf("%s%u", mailbox_traits(context->account)->log_name, number + 1);
  session->waker = waker_new();
  session->thread = g_thread_new(session->name, run, session);
  return session;
}

void session_renew(Session *session) {
  atomic_store(&session->renewed, true);
  waker_cancel(session->waker);
}

void session_cancel(Session *session) {
  atomic_store(&session->is_ending, true);
  waker_cancel(session->waker);
}

void session_free(Session *session) {
  if (session == NULL) return;
  g_thread_join(session->thread);
  waker_free(session->waker);
  g_free(session->watched_folder);
  g_free(session->name);
  g_free(session);
}
