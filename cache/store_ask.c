// What the main loop asks the sessions for, who waits for it, and what becomes of the answers.

#include "cache/store_private.h"
#include "net/error.h"

// How soon after a failed try a server that cannot be reached is tried again, and one that refused
// the login: that must not look like an attack.
#define RETRY_OFFLINE_S 1
#define RETRY_OFFLINE_MAX_S 8
#define RETRY_REFUSED_S 60
#define RETRY_REFUSED_MAX_S 600
// After that long, that the server was silent says nothing of now.
#define OLD_NEWS_S 60
// How long a message that the server lists but does not give is not asked for again.
#define UNFETCHABLE_S 60

// What the main loop waits for from the sessions, and who waits for it.
typedef struct {
  Store *store;
  JobKind kind;
  uint64_t ino;
  Job *job;  // the board's or a session's; only to withdraw it
  uint64_t announced_size;
  uint64_t folder;  // JOB_FETCH
  GPtrArray *tickets;
} Work;

struct StoreTicket {
  Work *work;
  StoreDone done;        // JOB_TREE, JOB_SYNC
  StoreFetched fetched;  // JOB_FETCH
  gpointer data;
};

void store_free_work(gpointer data) {
  Work *work = data;
  g_ptr_array_unref(work->tickets);
  g_free(work);
}

static Work *new_work(Store *store, GHashTable *table, JobKind kind, uint64_t ino) {
  Work *work = g_new0(Work, 1);
  work->store = store;
  work->kind = kind;
  work->ino = ino;
  work->tickets = g_ptr_array_new_with_free_func(g_free);
  g_hash_table_insert(table, g_memdup2(&ino, sizeof ino), work);
  return work;
}

static StoreTicket *add_ticket(Work *work, StoreDone done, StoreFetched fetched, gpointer data) {
  StoreTicket *ticket = g_new0(StoreTicket, 1);
  *ticket = (StoreTicket){.work = work, .done = done, .fetched = fetched, .data = data};
  g_ptr_array_add(work->tickets, ticket);
  return ticket;
}

// Nobody waited for this answer, so it is no time-out.
static GError *known_problem(const Store *store) {
  GError *error = g_error_copy(store->problem);
  if (error->code == NET_ERROR_TIMEOUT) error->code = NET_ERROR_OFFLINE;
  return error;
}

// Tries the server again, for nobody in particular.
static void probe(Store *store) {
  const uint64_t root = INODE_ROOT;
  if (g_hash_table_contains(store->syncs, &root)) return;
  Work *work = new_work(store, store->syncs, JOB_TREE, root);
  work->job = job_new(JOB_TREE, root);
  job_board_push(store->board, work->job);
}

// Whether a request can be answered with what is known. A server that refused to talk is asked
// again by the next request that is due; one that was silent, behind the back of the requests, or
// each of them would pay for it with a whole time-out (but for the folder tree: its readers have an
// older one).
static bool is_known_bad(Store *store, const Work *work) {
  if (store->problem == NULL) return false;
  int64_t due_us = g_get_monotonic_time() - store->retry_at_us;
  if (due_us < 0) return true;
  bool silent = store->problem->code == NET_ERROR_TIMEOUT;
  if (!silent || work->kind == JOB_TREE || due_us > OLD_NEWS_S * G_USEC_PER_SEC) return false;
  probe(store);
  return true;
}

// Gives the job to the sessions, or sends it straight back while the server is known to be out of
// reach, or `error` (taken) forbids it.
static void start(Work *work, Job *job, GError *error) {
  Store *store = work->store;
  work->job = job;
  if (error == NULL && is_known_bad(store, work)) error = known_problem(store);
  if (error == NULL) {
    job_board_push(store->board, job);
    return;
  }
  job->error = error;
  post_send(store->results, job);
}

static void refresh_tree(Store *store) {
  if (store_listing(store, INODE_ROOT) != STORE_FRESH) store_sync(store, INODE_ROOT, NULL, NULL);
}

// The root and folders without messages are as new as the folder tree.
static bool is_of_tree(const IndexFolder *folder) {
  return folder->ino == INODE_ROOT || (folder->attributes & MAILBOX_NOSELECT) != 0;
}

StoreTicket *store_sync(Store *store, uint64_t ino, StoreDone done, gpointer data) {
  g_auto(IndexFolder) folder = {0};
  GError *error = NULL;
  if (index_folder(store->index, ino, &folder) != INDEX_FOUND)
    error = g_error_new(NET_ERROR, NET_ERROR_BUSY, "the folder cannot be looked up now");
  bool is_tree = error == NULL && is_of_tree(&folder);
  if (is_tree) ino = INODE_ROOT;
  Work *work = g_hash_table_lookup(store->syncs, &ino);
  if (work == NULL) {
    work = new_work(store, store->syncs, is_tree ? JOB_TREE : JOB_SYNC, ino);
    Job *job = job_new(work->kind, ino);
    job->folder = g_strdup(folder.server_name);
    start(work, job, g_steal_pointer(&error));
    if (!is_tree) refresh_tree(store);
  }
  g_clear_error(&error);
  return add_ticket(work, done, NULL, data);
}

int store_body(Store *store, uint64_t ino) {
  IndexMessage message;
  if (index_message(store->index, ino, &message) != INDEX_FOUND || !message.has_body) return -1;
  return body_open(store->bodies, ino, message.size);
}

void store_close_body(Store *store, int fd) {
  body_close(store->bodies, fd);
}

static bool is_unfetchable(Store *store, uint64_t ino) {
  const int64_t *until_us = g_hash_table_lookup(store->unfetchable, &ino);
  if (until_us == NULL) return false;
  if (g_get_monotonic_time() < *until_us) return true;
  g_hash_table_remove(store->unfetchable, &ino);
  return false;
}

static void remember_unfetchable(Store *store, uint64_t ino) {
  int64_t until_us = g_get_monotonic_time() + UNFETCHABLE_S * G_USEC_PER_SEC;
  g_hash_table_insert(store->unfetchable, g_memdup2(&ino, sizeof ino),
                      g_memdup2(&until_us, sizeof until_us));
}

// Fills the job with where the message is; an error if it cannot be asked for.
static GError *address_job(Store *store, Work *work, Job *job) {
  IndexMessage message;
  g_auto(IndexFolder) folder = {0};
  if (index_message(store->index, work->ino, &message) != INDEX_FOUND ||
      index_folder(store->index, message.folder, &folder) != INDEX_FOUND) {
    return g_error_new(NET_ERROR, NET_ERROR_BUSY, "the message cannot be looked up now");
  }
  job->folder = g_steal_pointer(&folder.server_name);
  job->uidvalidity = message.uidvalidity;
  job->uid = message.uid;
  work->folder = message.folder;
  work->announced_size = message.size;
  if (message.gone)
    return g_error_new(NET_ERROR, NET_ERROR_GONE, "message %u of %s was removed", message.uid,
                       job->folder);
  if (is_unfetchable(store, work->ino))
    return g_error_new(NET_ERROR, NET_ERROR_REFUSED, "the server does not give message %u of %s",
                       message.uid, job->folder);
  return NULL;
}

StoreTicket *store_fetch(Store *store, uint64_t ino, StoreFetched done, gpointer data) {
  Work *work = g_hash_table_lookup(store->fetches, &ino);
  if (work == NULL) {
    work = new_work(store, store->fetches, JOB_FETCH, ino);
    Job *job = job_new(JOB_FETCH, ino);
    start(work, job, address_job(store, work, job));
  }
  return add_ticket(work, NULL, done, data);
}

void store_cancel(StoreTicket *ticket) {
  Work *work = ticket->work;
  Store *store = work->store;
  g_ptr_array_remove(work->tickets, ticket);
  if (work->tickets->len > 0 || work->job == NULL) return;
  if (!job_board_withdraw(store->board, work->job)) return;
  job_free(work->job);
  uint64_t ino = work->ino;
  g_hash_table_remove(work->kind == JOB_FETCH ? store->fetches : store->syncs, &ino);
}

// Those who wait in line behind a try that failed need not fail one after the other.
static void send_back_waiting(Store *store) {
  Job *job;
  while ((job = job_board_withdraw_any(store->board)) != NULL) {
    job->error = known_problem(store);
    post_send(store->results, job);
  }
}

// Several sessions may fail at once; that is one failed try.
static void delay_next_try(Store *store) {
  int64_t now_us = g_get_monotonic_time();
  bool refused = g_error_matches(store->problem, NET_ERROR, NET_ERROR_DENIED);
  unsigned least = refused ? RETRY_REFUSED_S : RETRY_OFFLINE_S;
  unsigned most = refused ? RETRY_REFUSED_MAX_S : RETRY_OFFLINE_MAX_S;
  if (now_us < store->retry_at_us) return;
  store->retry_s = CLAMP(store->retry_s * 2, least, most);
  store->retry_at_us = now_us + (int64_t)store->retry_s * G_USEC_PER_SEC;
}

static void note_reached(Store *store) {
  if (store->problem != NULL) g_message("the server can be reached again");
  store->was_online = true;
  store->retry_s = 0;
  store->retry_at_us = 0;
  g_clear_error(&store->problem);
}

static void note_problem(Store *store, const GError *error) {
  // What keeps us out at the start is told by whoever waits for `ready`.
  bool is_news = store->problem == NULL || store->problem->code != error->code;
  if (is_news && store->was_online) g_message("%s", error->message);
  g_clear_error(&store->problem);
  store->problem = g_error_copy(error);
  delay_next_try(store);
  send_back_waiting(store);
}

static void note_connection(Store *store, const Job *job) {
  bool silent = g_error_matches(job->error, NET_ERROR, NET_ERROR_TIMEOUT);
  if (job->could_not_connect || (job->connected && silent)) {
    note_problem(store, job->error);
  } else if (job->connected) {
    note_reached(store);
  }
}

static void tell_listener(Store *store, const Changes *changes) {
  unsigned n;
  if (store->listener.removed == NULL) return;
  const ChangesRemoved *removed = changes_removed(changes, &n);
  for (unsigned i = 0; i < n; i++)
    store->listener.removed(removed[i].parent, removed[i].ino, removed[i].name,
                            store->listener_data);
  const uint64_t *folders = changes_folders(changes, &n);
  for (unsigned i = 0; i < n; i++)
    store->listener.changed(folders[i], store->listener_data);
}

// Takes the work out of its table before anyone is called back, who may ask for the same again.
static Work *take_work(GHashTable *table, uint64_t ino) {
  gpointer key = NULL, work = NULL;
  g_hash_table_steal_extended(table, &ino, &key, &work);
  g_free(key);
  return work;
}

// Callbacks may cancel other tickets of the same work: each is out of the list before its call.
static StoreTicket *next_ticket(Work *work) {
  return work->tickets->len > 0 ? g_ptr_array_steal_index(work->tickets, 0) : NULL;
}

static void end_sync(Store *store, Job *job) {
  Work *work = take_work(store->syncs, job->ino);
  work->job = NULL;
  if (job->changes != NULL) tell_listener(store, job->changes);
  bool folder_gone =
      job->kind == JOB_SYNC && g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE);
  if (folder_gone) store_sync(store, INODE_ROOT, NULL, NULL);
  for (StoreTicket *ticket; (ticket = next_ticket(work)) != NULL; g_free(ticket)) {
    if (ticket->done != NULL) ticket->done(job->error, ticket->data);
  }
  store_free_work(work);
}

static void tell_fetched(Work *work, int fd, uint64_t size, const GError *error) {
  BodyStore *bodies = work->store->bodies;
  bool resized = error == NULL && size != work->announced_size;
  g_autoptr(GError) no_descriptor = NULL;
  for (StoreTicket *ticket; (ticket = next_ticket(work)) != NULL; g_free(ticket)) {
    int copy = error == NULL ? body_dup(bodies, fd) : -1;
    if (error == NULL && copy < 0)
      no_descriptor = g_error_new(NET_ERROR, NET_ERROR_LIMIT, "too many open files");
    ticket->fetched(copy, size, resized, copy < 0 && error == NULL ? no_descriptor : error,
                    ticket->data);
    g_clear_error(&no_descriptor);
  }
}

// The server gave nothing for this message: whether it is gone, the folder's listing tells now.
static void judge_missing(const GError *error, gpointer data) {
  Work *work = data;
  Store *store = work->store;
  Inode inode;
  bool gone = index_get(store->index, work->ino, &inode) == INDEX_FOUND && inode.gone;
  g_autoptr(GError) verdict =
      gone ? g_error_new(NET_ERROR, NET_ERROR_GONE, "the message was removed")
           : g_error_new(NET_ERROR, NET_ERROR_REFUSED,
                         "the server lists this message but does not give it");
  if (!gone && error == NULL) remember_unfetchable(store, work->ino);
  take_work(store->fetches, work->ino);
  tell_fetched(work, -1, 0, !gone && error != NULL ? error : verdict);
  store_free_work(work);
}

static bool is_missing(const Job *job) {
  return job->connected && (g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE) ||
                            g_error_matches(job->error, NET_ERROR, NET_ERROR_REFUSED));
}

static void end_fetch(Store *store, Job *job) {
  Work *work = g_hash_table_lookup(store->fetches, &job->ino);
  work->job = NULL;
  if (is_missing(job)) {
    store_sync(store, work->folder, judge_missing, work);
    return;
  }
  if (job->error == NULL && !job->recorded)
    g_hash_table_insert(store->sizes, g_memdup2(&job->ino, sizeof job->ino),
                        g_memdup2(&job->size, sizeof job->size));
  take_work(store->fetches, job->ino);
  tell_fetched(work, job->fd, job->size, job->error);
  if (job->fd >= 0) body_close(store->bodies, job->fd);
  store_free_work(work);
}

void store_take_result(gpointer data, gpointer user_data) {
  g_autoptr(Job) job = data;
  Store *store = user_data;
  note_connection(store, job);
  if (job->kind == JOB_FETCH) {
    end_fetch(store, job);
  } else {
    end_sync(store, job);
  }
}
