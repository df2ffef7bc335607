// Listings: who waits for one, what makes one old, and the news that make one new.

#include "cache/store_private.h"
#include "net/error.h"

// How soon news that could not be followed are followed up.
#define RETRY_MS 500
#define RETRY_MAX_MS 60000
// How soon after news all folders are compared.
#define CONFIRM_MS 3000

// A folder (the root: the tree) on its way to be brought up to date, and who waits for it.
typedef struct {
  Store *store;
  JobKind kind;
  uint64_t ino;
  Job *job;  // the board's or a session's; NULL: waits for the next try
  GPtrArray *tickets;
  bool again;  // news came while it was under way
  unsigned attempts;
  int64_t give_up_us;
  GSource *retry;
} Sync;

void store_free_sync(gpointer data) {
  Sync *sync = data;
  if (sync->retry != NULL) {
    g_source_destroy(sync->retry);
    g_source_unref(sync->retry);
  }
  g_ptr_array_unref(sync->tickets);
  g_free(sync);
}

// ---- What is new.

static void add_dirty(Store *store, uint64_t ino) {
  g_hash_table_add(store->dirty, g_memdup2(&ino, sizeof ino));
}

static bool watches_all(const Store *store) {
  for (unsigned i = 0; i < store->n_sessions; i++)
    if (store->watched[i].watch == MAILBOX_WATCHES_ALL) return true;
  return false;
}

// Only of the folder that is open all news come for sure: of others Dovecot misses a change that
// follows close on another, and mail that something else delivered.
static bool is_watched(const Store *store, const IndexFolder *folder) {
  for (unsigned i = 0; i < store->n_sessions; i++)
    if (g_strcmp0(store->watched[i].folder, folder->server_name) == 0) return true;
  return false;
}

// The root and folders without messages are as new as the folder tree.
static bool is_of_tree(const IndexFolder *folder) {
  return folder->ino == INODE_ROOT || (folder->attributes & MAILBOX_NOSELECT) != 0;
}

// What is told of the tree only makes it newer sooner.
static bool is_fresh(const Store *store, const IndexFolder *folder) {
  uint64_t ino = is_of_tree(folder) ? INODE_ROOT : folder->ino;
  int64_t age_us = g_get_real_time() - folder->synced_ns / 1000;
  if (g_hash_table_contains(store->dirty, &ino)) return false;
  if (!is_of_tree(folder) && is_watched(store, folder)) return true;
  // A server without UIDs has one folder, for ever: nobody logs in to look for others.
  if (is_of_tree(folder) && !store->traits->has_uids) return true;
  return age_us >= 0 && age_us < (int64_t)store->refresh_s * G_USEC_PER_SEC;
}

StoreListing store_listing(Store *store, uint64_t ino) {
  g_auto(IndexFolder) folder = {0};
  IndexAnswer answer = index_folder(store_index(store), ino, &folder);
  if (answer == INDEX_BUSY) return STORE_STALE;
  if (answer != INDEX_FOUND || !folder.listed) return STORE_UNLISTED;
  return is_fresh(store, &folder) ? STORE_FRESH : STORE_STALE;
}

// ---- Asking.

static void start(Sync *sync, Job *job) {
  Store *store = sync->store;
  sync->job = job;
  GError *error = store_known_problem(store, sync->kind == JOB_TREE);
  if (error == NULL)
    job_board_push(store->board, job);
  else
    store_send_back(store, job, error);
}

static void start_anew(Sync *sync) {
  g_auto(IndexFolder) folder = {0};
  Job *job = job_new(sync->kind, JOB_LISTING, sync->ino);
  if (sync->kind == JOB_SYNC &&
      index_folder(store_index(sync->store), sync->ino, &folder) == INDEX_FOUND)
    job->folder = g_steal_pointer(&folder.server_name);
  start(sync, job);
}

static Sync *sync_new(Store *store, JobKind kind, uint64_t ino) {
  Sync *sync = g_new0(Sync, 1);
  sync->store = store;
  sync->kind = kind;
  sync->ino = ino;
  sync->tickets = g_ptr_array_new_with_free_func(g_free);
  g_hash_table_insert(store->syncs, g_memdup2(&ino, sizeof ino), sync);
  return sync;
}

// Somebody waits for what would have been tried again some time.
static void hurry(Sync *sync) {
  if (sync->retry == NULL || g_get_monotonic_time() < sync->store->slow_until_us) return;
  g_source_destroy(sync->retry);
  g_clear_pointer(&sync->retry, g_source_unref);
  start_anew(sync);
}

StoreTicket *store_sync(Store *store, uint64_t ino, StoreDone done, gpointer data) {
  g_auto(IndexFolder) folder = {0};
  IndexAnswer answer = index_folder(store_index(store), ino, &folder);
  bool is_tree = answer == INDEX_FOUND && is_of_tree(&folder);
  if (is_tree) ino = INODE_ROOT;
  Sync *sync = g_hash_table_lookup(store->syncs, &ino);
  if (sync == NULL) {
    sync = sync_new(store, is_tree ? JOB_TREE : JOB_SYNC, ino);
    if (answer == INDEX_FOUND) {
      start_anew(sync);
    } else {
      sync->job = job_new(sync->kind, JOB_LISTING, ino);
      store_send_back(store, sync->job,
                      g_error_new_literal(NET_ERROR, NET_ERROR_GONE, "the folder is not known"));
    }
    if (!is_tree && store_listing(store, INODE_ROOT) != STORE_FRESH) store_probe(store);
  } else {
    hurry(sync);
  }
  StoreTicket *ticket = store_ticket_new(store, TICKET_SYNC, sync, sync->tickets);
  ticket->done = done;
  ticket->data = data;
  return ticket;
}

void store_cancel_sync(StoreTicket *ticket) {
  Sync *sync = ticket->owner;
  Store *store = sync->store;
  g_ptr_array_remove(sync->tickets, ticket);
  if (sync->tickets->len > 0 || sync->job == NULL) return;
  if (!job_board_withdraw(store->board, sync->job)) return;
  job_free(sync->job);
  uint64_t ino = sync->ino;
  g_hash_table_remove(store->syncs, &ino);
}

// The folder changed on the server: its listing is old until a synchronisation that began after
// now.
static void bring_up_to_date(Store *store, uint64_t ino) {
  add_dirty(store, ino);
  Sync *sync = g_hash_table_lookup(store->syncs, &ino);
  if (sync == NULL) {
    store_sync(store, ino, NULL, NULL);
  } else if (sync->job != NULL && job_board_withdraw(store->board, sync->job)) {
    job_board_push(store->board, sync->job);  // not begun: it will see the news
  } else {
    sync->again = sync->job != NULL;
  }
}

// ---- Answers.

void store_tell_changes(Store *store, const Changes *changes) {
  unsigned n;
  const StoreListener *listener = &store->listener;
  if (changes == NULL) return;
  const ChangesName *names = changes_removed(changes, &n);
  for (unsigned i = 0; listener->removed != NULL && i < n; i++)
    listener->removed(names[i].parent, names[i].ino, names[i].name, store->listener_data);
  names = changes_added(changes, &n);
  for (unsigned i = 0; listener->added != NULL && i < n; i++)
    listener->added(names[i].parent, names[i].ino, names[i].name, store->listener_data);
  const uint64_t *folders = changes_folders(changes, &n);
  for (unsigned i = 0; listener->changed != NULL && i < n; i++)
    listener->changed(folders[i], folders[i] == changes_first(changes), store->listener_data);
  folders = changes_stale(changes, &n);
  for (unsigned i = 0; i < n; i++)
    bring_up_to_date(store, folders[i]);
}

static gboolean try_again(gpointer data) {
  Sync *sync = data;
  g_clear_pointer(&sync->retry, g_source_unref);
  start_anew(sync);
  return G_SOURCE_REMOVE;
}

static void retry_later(Sync *sync, unsigned wait_ms) {
  sync->attempts++;
  sync->job = NULL;
  sync->again = false;
  sync->retry = store_call_in(sync->store, wait_ms, try_again, sync);
}

// A server that asks for patience slows us down; only one that goes on asking makes us fail. While
// it lets nobody in, or not once more, an older listing is as good as there is.
static bool is_put_off(Sync *sync, const Job *job) {
  Store *store = sync->store;
  int64_t now_us = g_get_monotonic_time();
  if (!g_error_matches(job->error, NET_ERROR, NET_ERROR_BUSY)) return false;
  if ((store_is_shut(store) || job->is_too_soon) &&
      store_listing(store, sync->ino) != STORE_UNLISTED)
    return false;
  if (sync->attempts == 0) sync->give_up_us = now_us + (int64_t)store->timeout_ms * 1000;
  unsigned wait_ms = store_note_busy(store, job->error, sync->attempts);
  if (now_us + (int64_t)wait_ms * 1000 > sync->give_up_us) return false;
  retry_later(sync, wait_ms);
  return true;
}

static void answer(Sync *sync, const GError *error) {
  for (StoreTicket *ticket; (ticket = store_ticket_next(sync->tickets)) != NULL; g_free(ticket))
    if (ticket->done != NULL) ticket->done(error, ticket->data);
}

static void end_sync(Store *store, Sync *sync, const GError *error) {
  uint64_t ino = sync->ino;
  gpointer key = NULL;
  // Out of its table before anyone is called back, who may ask for the same again.
  g_hash_table_steal_extended(store->syncs, &ino, &key, NULL);
  g_free(key);
  sync->job = NULL;
  answer(sync, error);
  store_free_sync(sync);
}

// News that could not be followed are not forgotten: a server that is out of reach is asked for all
// news when it is back, any other is asked again for these.
static bool is_still_wanted(Store *store, const Job *job) {
  return job->error != NULL && store->problem == NULL &&
         g_hash_table_contains(store->dirty, &job->ino) &&
         !g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE);
}

static void try_later(Sync *sync, const GError *error) {
  answer(sync, error);
  if (sync->retry == NULL) retry_later(sync, MIN(RETRY_MAX_MS, RETRY_MS << MIN(sync->attempts, 8)));
}

static bool is_of_folder(const GError *error) {
  return g_error_matches(error, NET_ERROR, NET_ERROR_BUSY) ||
         g_error_matches(error, NET_ERROR, NET_ERROR_REFUSED) ||
         g_error_matches(error, NET_ERROR, NET_ERROR_LIMIT);
}

// Who opens the folder gets an error number, or an old listing: the reason is told here, once,
// until the folder is listed.
static void tell_failure(Store *store, const Job *job) {
  if (job->kind != JOB_SYNC || job->is_too_soon || store_is_shut(store)) return;
  if (job->error == NULL) g_hash_table_remove(store->lamented, &job->ino);
  if (is_of_folder(job->error) &&
      g_hash_table_add(store->lamented, g_memdup2(&job->ino, sizeof job->ino)))
    g_message("%s cannot be listed: %s", job->folder, job->error->message);
}

void store_end_listing(Store *store, Job *job) {
  Sync *sync = g_hash_table_lookup(store->syncs, &job->ino);
  bool another = sync != NULL && sync->job != job;
  if (another) sync = NULL;  // nobody asked for this one
  store_tell_changes(store, job->changes);
  if (job->error == NULL) store_hurry_removals(store);
  if (job->error == NULL && job->kind == JOB_SYNC) store_archive(store);
  if (sync != NULL && is_put_off(sync, job)) return;
  tell_failure(store, job);
  if (sync != NULL && sync->again && job->error == NULL) {
    sync->again = false;
    start_anew(sync);
    return;
  }
  bool is_gone = job->kind == JOB_SYNC && g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE);
  if ((job->error == NULL && !another) || is_gone) g_hash_table_remove(store->dirty, &job->ino);
  if (is_gone) {
    add_dirty(store, INODE_ROOT);
    store_probe(store);
  }
  if (sync != NULL && is_still_wanted(store, job))
    try_later(sync, job->error);
  else if (sync != NULL)
    end_sync(store, sync, job->error);
}

// ---- News.

static bool is_as_listed(const IndexFolder *folder, const MailboxStatus *status) {
  const MailboxStatus *known = &folder->status;
  return status->highestmodseq != 0 && known->uidvalidity == status->uidvalidity &&
         known->uidnext == status->uidnext && known->exists == status->exists &&
         known->highestmodseq == status->highestmodseq;
}

static gboolean confirm(gpointer data) {
  Store *store = data;
  g_clear_pointer(&store->confirmation, g_source_unref);
  store_probe(store);
  return G_SOURCE_REMOVE;
}

// When much happens at once, some of it is not told: so the states of all are compared a little
// later.
static void confirm_later(Store *store) {
  if (store->confirmation != NULL || !watches_all(store)) return;
  store->confirmation = store_call_in(store, CONFIRM_MS, confirm, store);
}

void store_note_news(Store *store, const Report *report) {
  g_auto(IndexFolder) folder = {0};
  confirm_later(store);
  if (report->kind == REPORT_TREE) {
    bring_up_to_date(store, INODE_ROOT);
    return;
  }
  IndexAnswer answer = index_folder_named(store_index(store), report->folder, &folder);
  // Which folder it is cannot be told now: the tree's own comparison will.
  if (answer == INDEX_BUSY) bring_up_to_date(store, INODE_ROOT);
  if (answer != INDEX_FOUND || !folder.listed) return;
  if (report->has_status && is_as_listed(&folder, &report->status)) return;
  bring_up_to_date(store, folder.ino);
}

void store_note_watch(Store *store, const Report *report) {
  Watched *watched = &store->watched[report->session];
  watched->watch = report->watch;
  g_free(watched->folder);
  watched->folder = g_strdup(report->folder);
}
