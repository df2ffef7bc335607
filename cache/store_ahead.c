// What is fetched before anybody waits for it: ahead of readers, and for the archive.

#include "cache/store_private.h"

// Where messages come whole only, one is fetched ahead if it is no more than this share of what may
// be.
#define WHOLE_SHARE 16
// Fetched ahead in one job: at least, and at most so many messages.
#define BATCH_MIN_BYTES (64 << 10)
#define BATCH_MESSAGES 500

static bool is_wanted_ahead(const IndexStep *step, gpointer data) {
  Store *store = data;
  return !step->has_body && step->size <= store->whole_bytes &&
         !g_hash_table_contains(store->fetches, &step->ino) &&
         !g_hash_table_contains(store->arrived, &step->ino) &&
         !g_hash_table_contains(store->unfetchable, &step->ino);
}

static uint64_t batch_bytes(const Store *store, uint64_t window_bytes) {
  return CLAMP(window_bytes / 4, BATCH_MIN_BYTES, store->batch_bytes);
}

// Takes as many of the steps into one job as it may have; how many is told.
static unsigned push_batch(Store *store, const IndexFolder *folder, const IndexStep *steps,
                           unsigned n, uint64_t most_bytes, bool archives) {
  uint64_t bytes = 0;
  unsigned taken = 0;
  Job *job = job_new(JOB_BODIES, JOB_AHEAD, folder->ino);
  job->folder = g_strdup(folder->server_name);
  job->folder_ino = folder->ino;
  job->uidvalidity = folder->status.uidvalidity;
  job->archives = archives;
  for (; taken < n && bytes < most_bytes && job->bodies->len < BATCH_MESSAGES; taken++) {
    const IndexStep *step = &steps[taken];
    JobBody body = {.ino = step->ino,
                    .uid = step->uid,
                    .has_email_id = step->has_email_id,
                    .was_exact = step->size_exact};
    g_array_append_val(job->bodies, body);
    store_expect_body(store, step->ino, folder->ino, job);
    bytes += step->size;
  }
  job->bytes = bytes;
  job_board_push(store->board, job);
  return taken;
}

static void fetch_ahead(uint64_t folder_ino, const IndexStep *steps, unsigned n,
                        uint64_t window_bytes, gpointer data) {
  Store *store = data;
  g_auto(IndexFolder) folder = {0};
  if (store->problem != NULL || store_is_shut(store) ||
      g_get_monotonic_time() < store->slow_until_us ||
      index_folder(store_index(store), folder_ino, &folder) != INDEX_FOUND)
    return;
  uint64_t most_bytes = batch_bytes(store, window_bytes);
  for (unsigned i = 0; i < n;)
    i += push_batch(store, &folder, &steps[i], n - i, most_bytes, false);
}

void store_fetch_for_archive(Store *store, uint64_t folder_ino, const IndexStep *steps,
                             unsigned n) {
  g_auto(IndexFolder) folder = {0};
  g_autoptr(GArray) wanted = g_array_new(FALSE, FALSE, sizeof(IndexStep));
  if (index_folder(store_index(store), folder_ino, &folder) != INDEX_FOUND) return;
  for (unsigned i = 0; i < n; i++)
    if (!g_hash_table_contains(store->fetches, &steps[i].ino) &&
        !store_is_unfetchable(store, steps[i].ino))
      g_array_append_val(wanted, steps[i]);
  if (wanted->len == 0) return;
  store->archiving.n_jobs++;
  push_batch(store, &folder, &g_array_index(wanted, IndexStep, 0), wanted->len, UINT64_MAX, true);
}

void store_make_readahead(Store *store, uint64_t max_bytes) {
  const ReadAheadFuncs funcs = {is_wanted_ahead, fetch_ahead, store};
  store->whole_bytes = STORE_WHOLE_MAX_BYTES;
  if (!store->traits->has_parts)
    store->whole_bytes = MAX(STORE_WHOLE_MAX_BYTES, max_bytes / WHOLE_SHARE);
  if (max_bytes > 0) store->readahead = readahead_new(store->index, max_bytes, &funcs);
}
