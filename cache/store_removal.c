// What users removed: noted first, then asked of the server until it has confirmed it.

#include "cache/store_private.h"
#include "net/error.h"

// How soon after the last of many removals the server is asked, so that they are one session, and
// after the first at the latest.
#define SOON_MS 300
#define LATEST_MS 10000
// After it could not be, and while it cannot.
#define RETRY_MS 5000
#define RETRY_MAX_MS 300000

// A removal on its way into the ledger, and who waits for that.
typedef struct {
  uint64_t folder;
  GPtrArray *tickets;
} Removal;

static void ask_in(Store *store, int64_t wait_ms);
static void ask_soon(Store *store);

static void tell_changed(Store *store, uint64_t folder, bool is_no_news) {
  index_refresh(store->index);
  if (store->listener.changed != NULL)
    store->listener.changed(folder, is_no_news, store->listener_data);
}

// ---- Into the ledger.

static void free_removal(gpointer data) {
  Removal *removal = data;
  g_ptr_array_unref(removal->tickets);
  g_free(removal);
}

static void answer(const Removal *removal, const GError *error) {
  for (StoreTicket *ticket; (ticket = store_ticket_next(removal->tickets)) != NULL; g_free(ticket))
    ticket->done(error, ticket->data);
}

static void take_noted(KeeperJob *job, gpointer data) {
  Store *store = data;
  const Removal *removal = job->done_data;
  if (job->error == NULL) {
    g_hash_table_add(store->removals.ids, g_steal_pointer(&job->id));
    tell_changed(store, removal->folder, true);
    ask_soon(store);
  }
  answer(removal, job->error);
}

StoreRemoval store_removal(Store *store) {
  return store->removal;
}

StoreTicket *store_remove(Store *store, uint64_t ino, StoreDone done, gpointer data) {
  g_assert(store->keeper != NULL);
  Inode inode = {0};
  Removal *removal = g_new0(Removal, 1);
  index_get(store_index(store), ino, &inode);
  removal->folder = inode.parent;
  removal->tickets = g_ptr_array_new_with_free_func(g_free);
  StoreTicket *ticket = store_ticket_new(store, TICKET_REMOVE, removal, removal->tickets);
  ticket->done = done;
  ticket->data = data;
  KeeperJob *job = keeper_job_new(KEEPER_REMOVE);
  job->ino = ino;
  job->done = take_noted;
  job->done_data = removal;
  job->free_done_data = free_removal;
  keeper_push(store->keeper, job);
  return ticket;
}

void store_cancel_removal(StoreTicket *ticket) {
  g_ptr_array_remove(((Removal *)ticket->owner)->tickets, ticket);
}

// ---- To the server.

static void go_on(Store *store, bool failed) {
  Removals *removals = &store->removals;
  removals->is_asked = false;
  removals->n_failed = failed ? MIN(removals->n_failed + 1, 16) : 0;
  int64_t wait_ms = failed ? MIN(RETRY_MAX_MS, RETRY_MS << (removals->n_failed - 1)) : SOON_MS;
  ask_in(store, wait_ms);
}

static void take_settled(KeeperJob *job, gpointer data) {
  Store *store = data;
  bool failed = GPOINTER_TO_INT(job->done_data) != 0 || job->error != NULL;
  if (job->error != NULL) g_warning("%s", job->error->message);
  for (unsigned i = 0; job->error == NULL && i < job->ids->len; i++)
    g_hash_table_remove(store->removals.ids, g_ptr_array_index(job->ids, i));
  if (job->task == KEEPER_SHOW) {
    g_auto(IndexFolder) folder = {0};
    index_refresh(store->index);
    if (index_folder_named(store->index, LEDGER_FOLDER, &folder) == INDEX_FOUND)
      tell_changed(store, folder.ino, false);
    return;
  }
  index_refresh(store->index);
  go_on(store, failed);
}

// Takes the ids.
static void tell_keeper(Store *store, KeeperTask task, GPtrArray **ids, bool failed) {
  KeeperJob *job = keeper_job_new(task);
  job->ids = g_steal_pointer(ids);
  job->done = take_settled;
  job->done_data = GINT_TO_POINTER(failed);
  keeper_push(store->keeper, job);
}

// What a server refuses it may go on refusing: its user is told once, until it does not any more.
static void tell_failure(Store *store, const GError *error) {
  bool is_refused = g_error_matches(error, NET_ERROR, NET_ERROR_REFUSED);
  unsigned n = g_hash_table_size(store->removals.ids);
  if (is_refused && !store->removals.is_told)
    g_warning(
        "the server refuses to remove some of %u messages, which stay hidden here and are "
        "tried again: %s",
        n, error->message);
  else if (error != NULL)
    g_info("%u removed messages are still on the server: %s", n, error->message);
  if (is_refused || error == NULL) store->removals.is_told = is_refused;
}

void store_end_expunge(Store *store, Job *job) {
  store_tell_changes(store, job->changes);
  tell_failure(store, job->error);
  if (job->doubtful->len > 0) {
    g_message(
        "%u removed messages are shown again: whether the server still means the same "
        "messages is not certain",
        job->doubtful->len);
    tell_keeper(store, KEEPER_SHOW, &job->doubtful, false);
  }
  tell_keeper(store, KEEPER_SETTLE, &job->settled, job->error != NULL);
}

static void add_id(gpointer key, gpointer value, gpointer ids) {
  g_ptr_array_add(ids, g_strdup(key));
}

static gboolean ask(gpointer data) {
  Store *store = data;
  g_auto(IndexFolder) folder = {0};
  g_clear_pointer(&store->removals.timer, g_source_unref);
  if (index_folder_named(store_index(store), LEDGER_FOLDER, &folder) != INDEX_FOUND) {
    ask_in(store, RETRY_MS);
    return G_SOURCE_REMOVE;
  }
  Job *job = job_new(JOB_EXPUNGE, JOB_LISTING, folder.ino);
  job->folder = g_steal_pointer(&folder.server_name);
  job->folder_ino = folder.ino;
  g_hash_table_foreach(store->removals.ids, add_id, job->ids);
  store->removals.is_asked = true;
  GError *problem = store_known_problem(store, true);
  if (problem == NULL)
    job_board_push(store->board, job);
  else
    store_send_back(store, job, problem);
  return G_SOURCE_REMOVE;
}

// What was answered once is done, also where nothing more may be removed by now; but not by a mount
// that is for reading.
static void ask_in(Store *store, int64_t wait_ms) {
  Removals *removals = &store->removals;
  bool wanted = store->removal != STORE_REMOVES_NOTHING && store->sessions != NULL &&
                g_hash_table_size(removals->ids) > 0;
  if (wanted && !removals->is_asked && removals->timer == NULL)
    removals->timer = store_call_in(store, wait_ms, ask, store);
}

static void stop_timer(Removals *removals) {
  if (removals->timer != NULL) g_source_destroy(removals->timer);
  g_clear_pointer(&removals->timer, g_source_unref);
}

// Put off while more come.
static void ask_soon(Store *store) {
  Removals *removals = &store->removals;
  int64_t now_us = g_get_monotonic_time();
  bool is_first = removals->timer == NULL;
  if (is_first) removals->first_us = now_us;
  bool is_late = now_us - removals->first_us > LATEST_MS * 1000;
  if (!is_first && !is_late && removals->n_failed == 0) stop_timer(removals);
  ask_in(store, SOON_MS);
}

void store_hurry_removals(Store *store) {
  Removals *removals = &store->removals;
  if (removals->n_failed == 0 || removals->timer == NULL) return;
  stop_timer(removals);
  ask_in(store, SOON_MS);
}

// ---- From one mount to the next.

void store_start_removals(Store *store) {
  if (store->keeper == NULL) return;
  g_autoptr(GPtrArray) ids = keeper_take_removals(store->keeper);
  store->removals.ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (unsigned i = 0; i < ids->len; i++)
    g_hash_table_add(store->removals.ids, g_strdup(g_ptr_array_index(ids, i)));
  ask_in(store, SOON_MS);
}

void store_clear_removals(Store *store) {
  Removals *removals = &store->removals;
  stop_timer(removals);
  g_clear_pointer(&removals->ids, g_hash_table_unref);
}
