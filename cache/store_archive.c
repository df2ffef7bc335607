// The way of all mail into the archive. A round of the keeper's takes what is here and tells what
// is not; that is fetched, after all else that is wanted, and the next round takes it; and so on to
// the end of the folder.

#include <errno.h>

#include "cache/store_private.h"

// How much is fetched for one round: what a reader may have to wait for.
#define ROUND_BYTES ((uint64_t)512 << 10)
// How soon what failed is tried again.
#define RETRY_MS 60000
// How often new mail is looked for while nobody does: what another client removes before that is
// not archived.
#define POLL_MS 300000

static void begin_round(Store *store);

static gboolean try_again(gpointer data) {
  Store *store = data;
  g_clear_pointer(&store->archiving.retry, g_source_unref);
  store_archive(store);
  return G_SOURCE_REMOVE;
}

static void retry_later(Store *store) {
  Archiving *archiving = &store->archiving;
  archiving->is_busy = false;
  if (archiving->retry == NULL) archiving->retry = store_call_in(store, RETRY_MS, try_again, store);
}

static void let_go(Store *store) {
  GPtrArray *held = store->archiving.held;
  for (unsigned i = 0; held != NULL && i < held->len; i++)
    store_close_body(store, g_ptr_array_index(held, i));
  if (held != NULL) g_ptr_array_set_size(held, 0);
}

// ---- Fetching.

static void fetch(Store *store, const GArray *missing) {
  Archiving *archiving = &store->archiving;
  g_auto(IndexFolder) folder = {0};
  if (store->problem != NULL ||
      index_folder_named(store_index(store), LEDGER_FOLDER, &folder) != INDEX_FOUND) {
    retry_later(store);
    return;
  }
  const IndexStep *steps = &g_array_index(missing, IndexStep, 0);
  archiving->asked = steps[missing->len - 1].ino;
  archiving->has_failed = false;
  store_fetch_for_archive(store, folder.ino, steps, missing->len);
  if (archiving->n_jobs == 0) begin_round(store);
}

void store_hold_for_archive(Store *store, StoreBody *body) {
  if (store->archiving.held == NULL) store->archiving.held = g_ptr_array_new();
  body->refs++;
  g_ptr_array_add(store->archiving.held, body);
}

void store_end_archive_fetch(Store *store, const GError *error) {
  Archiving *archiving = &store->archiving;
  if (error != NULL) archiving->has_failed = true;
  if (--archiving->n_jobs > 0) return;
  if (archiving->has_failed) retry_later(store);
  if (archiving->is_busy) begin_round(store);
}

// ---- Rounds.

// A full disk is told once, until it is not full any more.
static void note_failure(Store *store, const GError *error) {
  bool is_full =
      g_error_matches(error, LEDGER_ERROR, ENOSPC) || g_error_matches(error, LEDGER_ERROR, EDQUOT);
  if (!is_full || !store->archiving.is_full)
    g_warning("%s; mail is not archived until this is tried again", error->message);
  store->archiving.is_full = is_full;
}

// A name under which a message was listed for a moment.
static void tell_recognised(Store *store, const GArray *inos) {
  Inode inode = {0};
  for (unsigned i = 0; inos != NULL && i < inos->len; i++) {
    uint64_t ino = g_array_index(inos, uint64_t, i);
    if (index_get(store->index, ino, &inode) == INDEX_FOUND && store->listener.removed != NULL)
      store->listener.removed(inode.parent, ino, inode.name, store->listener_data);
  }
  if (inos != NULL && inos->len > 0 && store->listener.changed != NULL)
    store->listener.changed(inode.parent, false, store->listener_data);
}

static void take_round(KeeperJob *job, gpointer data) {
  Store *store = data;
  Archiving *archiving = &store->archiving;
  index_refresh(store->index);
  let_go(store);
  tell_recognised(store, job->recognised);
  if (job->error != NULL) {
    note_failure(store, job->error);
    retry_later(store);
    return;
  }
  if (job->n_kept > 0) archiving->is_full = false;
  if (job->missing != NULL && job->missing->len > 0) {
    fetch(store, job->missing);
    return;
  }
  archiving->after = job->reached;
  if (!job->is_end)
    begin_round(store);
  else
    archiving->is_busy = false;
  if (job->is_end && archiving->again) store_archive(store);
}

// What came for it, and may be on no disk.
static GHashTable *held_descriptors(const GPtrArray *held) {
  if (held == NULL || held->len == 0) return NULL;
  GHashTable *fds = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  for (unsigned i = 0; i < held->len; i++) {
    const StoreBody *body = g_ptr_array_index(held, i);
    g_hash_table_insert(fds, g_memdup2(&body->ino, sizeof body->ino),
                        GINT_TO_POINTER(body->fd + 1));
  }
  return fds;
}

static void begin_round(Store *store) {
  KeeperJob *job = keeper_job_new(KEEPER_ARCHIVE);
  job->after = store->archiving.after;
  job->asked = store->archiving.asked;
  job->most_bytes = ROUND_BYTES;
  job->held = held_descriptors(store->archiving.held);
  job->done = take_round;
  keeper_push(store->keeper, job);
}

void store_archive(Store *store) {
  Archiving *archiving = &store->archiving;
  if (store->keeper == NULL || !store->keeps_forever) return;
  archiving->again = archiving->is_busy;
  if (archiving->is_busy) return;
  archiving->is_busy = true;
  archiving->after = archiving->asked = 0;
  begin_round(store);
}

// ---- News.

static gboolean poll_folder(gpointer data) {
  Store *store = data;
  g_auto(IndexFolder) folder = {0};
  if (index_folder_named(store_index(store), LEDGER_FOLDER, &folder) == INDEX_FOUND &&
      store_listing(store, folder.ino) != STORE_FRESH)
    store_sync(store, folder.ino, NULL, NULL);
  return G_SOURCE_CONTINUE;
}

static void poll_once(const GError *error, gpointer data) {
  if (error == NULL) poll_folder(data);
}

void store_start_archive(Store *store) {
  if (store->keeper == NULL || !store->keeps_forever) return;
  store_sync(store, INODE_ROOT, poll_once, store);
  store->archiving.poll = store_call_in(store, POLL_MS, poll_folder, store);
  store_archive(store);
}

// ---- Reading.

// What was put into the archive a moment ago is not in the cache any more, and the index tells.
StoreBody *store_archived(Store *store, uint64_t ino) {
  g_autofree char *id = NULL;
  uint64_t size;
  if (store->keeper == NULL) return NULL;
  index_refresh(store->index);
  if (index_archived(store_index(store), ino, &id, &size) != INDEX_FOUND) return NULL;
  int fd = archive_open(keeper_archive(store->keeper), id, size);
  if (fd < 0) return NULL;
  body_adopt(store->bodies, ino);
  return store_body_new(ino, fd, size);
}

void store_clear_archive(Store *store) {
  Archiving *archiving = &store->archiving;
  if (archiving->retry != NULL) g_source_destroy(archiving->retry);
  g_clear_pointer(&archiving->retry, g_source_unref);
  if (archiving->poll != NULL) g_source_destroy(archiving->poll);
  g_clear_pointer(&archiving->poll, g_source_unref);
  let_go(store);
  g_clear_pointer(&archiving->held, g_ptr_array_unref);
}
