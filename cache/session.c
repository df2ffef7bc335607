#include "cache/session.h"

#include <string.h>

#include "net/error.h"
#include "net/mailbox.h"

// A server may close a connection after 30 minutes (RFC 3501 5.4), routers forget it much sooner.
#define IDLE_LOGOUT_MS (4 * 60 * 1000)

struct Session {
  const SessionContext *context;
  unsigned number;
  char *name;
  Waker *waker;
  GThread *thread;
  // The thread's own:
  Index *index;
  GError *index_error;   // why there is none
  Mailbox *mailbox;      // NULL: not connected
  char *open_folder;     // NULL: none
  MailboxStatus status;  // of the open folder, when it was opened
};

static void disconnect(Session *session) {
  g_clear_pointer(&session->mailbox, mailbox_free);
  g_clear_pointer(&session->open_folder, g_free);
}

static bool connect_mailbox(Session *session, Job *job, GError **error) {
  const SessionContext *context = session->context;
  if (session->mailbox == NULL)
    session->mailbox =
        context->open_mailbox(context->account, session->waker, session->name, error);
  job->connected = session->mailbox != NULL;
  job->could_not_connect = !job->connected;
  return job->connected;
}

static bool examine(Session *session, const char *folder, GError **error) {
  g_clear_pointer(&session->open_folder, g_free);
  if (!mailbox_examine(session->mailbox, folder, &session->status, error)) return false;
  session->open_folder = g_strdup(folder);
  return true;
}

static bool do_sync(Session *session, Job *job, GError **error) {
  g_auto(IndexFolder) folder;
  IndexAnswer answer = index_folder(session->index, job->ino, &folder);
  bool is_gone = answer == INDEX_ABSENT || folder.gone;
  if (is_gone || answer != INDEX_FOUND) {
    g_set_error(error, NET_ERROR, is_gone ? NET_ERROR_GONE : NET_ERROR_BUSY,
                is_gone ? "the folder is gone" : "the folder cannot be looked up now");
    return false;
  }
  if (!examine(session, folder.server_name, error) ||
      !sync_folder(session->index, session->mailbox, &folder, &session->status, job->changes,
                   error)) {
    return false;
  }
  unsigned n;
  const ChangesRemoved *removed = changes_removed(job->changes, &n);
  for (unsigned i = 0; i < n; i++)
    body_remove(session->context->bodies, removed[i].ino);
  return true;
}

static bool sink_body(const void *bytes, size_t size, gpointer writer, GError **error) {
  return body_writer_write(writer, bytes, size, error);
}

static bool open_folder_of(Session *session, const Job *job, GError **error) {
  if (g_strcmp0(session->open_folder, job->folder) != 0 && !examine(session, job->folder, error))
    return false;
  if (session->status.uidvalidity == job->uidvalidity) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_GONE, "the server renumbered this folder's messages");
  return false;
}

static bool fetch_from(Session *session, const Job *job, BodyWriter *writer, GError **error) {
  return open_folder_of(session, job, error) &&
         mailbox_fetch(session->mailbox, job->uid, sink_body, writer, error);
}

// What is newer than our view of the folder is not in it: look again before it is called gone.
static bool fetch_body(Session *session, const Job *job, BodyWriter *writer, GError **error) {
  bool was_open = g_strcmp0(session->open_folder, job->folder) == 0;
  g_autoptr(GError) first = NULL;
  if (fetch_from(session, job, writer, &first)) return true;
  if (!was_open || !g_error_matches(first, NET_ERROR, NET_ERROR_GONE)) {
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
  }
  g_clear_pointer(&session->open_folder, g_free);
  return body_writer_reset(writer, error) && fetch_from(session, job, writer, error);
}

// The size goes into the index; if it cannot (the disk is full), the main loop remembers it.
static void record_body(Session *session, Job *job, const uint8_t *sha256, bool on_disk) {
  g_autoptr(GError) error = NULL;
  job->recorded = index_begin(session->index, &error) &&
                  index_set_body(session->index, job->ino, job->size, sha256, on_disk, &error) &&
                  index_commit(session->index, &error);
  index_rollback(session->index);
  if (!job->recorded) g_warning("%s: %s", session->name, error->message);
}

static bool do_fetch(Session *session, Job *job, GError **error) {
  uint8_t sha256[BODY_SHA256_BYTES];
  bool on_disk;
  g_autoptr(BodyWriter) writer = body_writer_new(session->context->bodies, error);
  if (writer == NULL || !fetch_body(session, job, writer, error)) return false;
  job->fd = body_writer_finish(writer, job->ino, &job->size, sha256, &on_disk, error);
  if (job->fd < 0) return false;
  record_body(session, job, sha256, on_disk);
  return true;
}

static bool try_job(Session *session, Job *job, GError **error) {
  g_clear_pointer(&job->changes, changes_free);
  if (session->index == NULL) {
    g_propagate_error(error, g_error_copy(session->index_error));
    return false;
  }
  if (!connect_mailbox(session, job, error)) return false;
  if (job->kind == JOB_FETCH) return do_fetch(session, job, error);
  job->changes = changes_new();
  return job->kind == JOB_TREE ? sync_tree(session->index, session->mailbox,
                                           &session->context->sync, job->changes, error)
                               : do_sync(session, job, error);
}

static void do_job(Session *session, Job *job) {
  bool was_connected = session->mailbox != NULL;
  if (try_job(session, job, &job->error)) return;
  if (!net_error_ends_connection(job->error)) return;
  disconnect(session);
  // An old connection may have died while nobody looked; that is no failure of this job's. Having
  // waited for a silent server once is enough.
  if (!was_connected || waker_is_cancelled(session->waker) ||
      g_error_matches(job->error, NET_ERROR, NET_ERROR_TIMEOUT)) {
    return;
  }
  g_info("%s: %s; connecting again", session->name, job->error->message);
  g_clear_error(&job->error);
  if (!try_job(session, job, &job->error) && net_error_ends_connection(job->error))
    disconnect(session);
}

// Opened before anything is mounted: the cache's files may be deleted after that.
static void open_index(Session *session) {
  session->index = index_open(session->context->index_path, INDEX_WRITE, &session->index_error);
  if (session->index != NULL && session->context->uid_names) index_use_uid_names(session->index);
}

static gpointer run(gpointer data) {
  Session *session = data;
  JobBoard *board = session->context->board;
  open_index(session);
  while (!job_board_is_closed(board)) {
    int patience = session->mailbox != NULL ? IDLE_LOGOUT_MS : -1;
    Job *job = job_board_take(board, session->number, session->open_folder, patience);
    if (job == NULL) {
      if (!job_board_is_closed(board)) disconnect(session);
      continue;
    }
    do_job(session, job);
    if (job->error != NULL) g_clear_pointer(&job->changes, changes_free);
    post_send(session->context->results, job);
  }
  // A cancel was meant for the job under way; the goodbye has a limit of its own.
  waker_reset(session->waker);
  disconnect(session);
  g_clear_pointer(&session->index, index_free);
  g_clear_error(&session->index_error);
  return NULL;
}

Session *session_new(const SessionContext *context, unsigned number) {
  Session *session = g_new0(Session, 1);
  session->context = context;
  session->number = number;
  session->name = g_strdup_printf("imap%u", number + 1);
  session->waker = waker_new();
  session->thread = g_thread_new(session->name, run, session);
  return session;
}

void session_cancel(Session *session) {
  waker_cancel(session->waker);
}

void session_free(Session *session) {
  if (session == NULL) return;
  g_thread_join(session->thread);
  waker_free(session->waker);
  g_free(session->name);
  g_free(session);
}
