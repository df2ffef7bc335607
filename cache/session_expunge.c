// Messages removed for good. Only what this connection has just listed under an id is what a user
// removed who saw it under that id; and not if the listing found it to be another message, which is
// not hidden.

#include "cache/session_private.h"
#include "net/error.h"

// The messages that are still there, and how each of the others ends.
typedef struct {
  UidSet *uids;
  GPtrArray *ids;  // of those, lent
} Listed;

static void add_id(GPtrArray *ids, const char *id) {
  g_ptr_array_add(ids, g_strdup(id));
}

static bool find_one(Session *session, Job *job, const IndexFolder *folder, const char *id,
                     Listed *listed, GError **error) {
  IndexListed found;
  if (!index_listed(session->index, folder->ino, folder->generation, id, &found, error))
    return false;
  if (found.uid == 0) {
    add_id(job->settled, id);
  } else if (found.has_twins || !found.is_hidden) {
    add_id(job->doubtful, id);
  } else {
    uid_set_add(listed->uids, found.uid);
    g_ptr_array_add(listed->ids, (gpointer)id);
  }
  return true;
}

static bool expunge_listed(Session *session, Job *job, const IndexFolder *folder, Listed *listed,
                           GError **error) {
  for (unsigned i = 0; i < job->ids->len; i++)
    if (!find_one(session, job, folder, g_ptr_array_index(job->ids, i), listed, error))
      return false;
  if (uid_set_is_empty(listed->uids)) return true;
  bool done = mailbox_expunge(session->mailbox, folder->server_name, folder->status.uidvalidity,
                              listed->uids, error);
  // It is over, also where the error is not the connection's.
  session_disconnect(session);
  if (!done) return false;
  for (unsigned i = 0; i < listed->ids->len; i++)
    add_id(job->settled, g_ptr_array_index(listed->ids, i));
  return true;
}

static bool expunge_in(Session *session, Job *job, GError **error) {
  g_auto(IndexFolder) folder = {0};
  if (index_folder(session->index, job->folder_ino, &folder) != INDEX_FOUND) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY, "the folder cannot be looked up now");
    return false;
  }
  g_autoptr(UidSet) uids = uid_set_new();
  g_autoptr(GPtrArray) ids = g_ptr_array_new();
  Listed listed = {uids, ids};
  return expunge_listed(session, job, &folder, &listed, error);
}

static bool try_expunge(Session *session, Job *job, GError **error) {
  g_ptr_array_set_size(job->settled, 0);
  g_ptr_array_set_size(job->doubtful, 0);
  g_clear_pointer(&job->changes, changes_free);
  if (!session_connect(session, job, error)) return false;
  if (session_sync(session, job, job->folder_ino, error)) return expunge_in(session, job, error);
  g_clear_pointer(&job->changes, changes_free);
  return false;
}

// Where a connection ends in the middle, what the server lists at the next try decides.
void session_expunge(Session *session, Job *job) {
  bool was_connected = session->mailbox != NULL;
  if (session->index == NULL) {
    job->error = g_error_copy(session->index_error);
    return;
  }
  if (try_expunge(session, job, &job->error) || !net_error_ends_connection(job->error)) return;
  session_disconnect(session);
  if (!session_may_retry(session, job, was_connected, job->error)) return;
  g_info("%s: %s; connecting again", session->name, job->error->message);
  g_clear_error(&job->error);
  if (!try_expunge(session, job, &job->error) && net_error_ends_connection(job->error))
    session_disconnect(session);
}
