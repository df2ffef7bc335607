// Bodies kept open: what was fetched ahead need not be looked for by the reader who comes. He comes
// for the first of them first, and soon, unless he has stopped.

#include "cache/store_private.h"

// What is open is not evicted: so these are few, and not for long.
#define KEPT_MAX 2048
#define KEPT_BYTES ((uint64_t)32 << 20)
#define KEPT_MS 2000

static uint64_t max_bytes(const Store *store) {
  uint64_t cache_bytes = store->context.cache_bytes;
  return cache_bytes > 0 ? MIN(cache_bytes / 4, KEPT_BYTES) : KEPT_BYTES;
}

void store_forget_recorded(Store *store, const Arrived *arrived, uint64_t ino) {
  if (arrived->recorded && arrived->kept == NULL) g_hash_table_remove(store->arrived, &ino);
}

StoreBody *store_take_kept(Store *store, Arrived *arrived) {
  StoreBody *body = arrived->kept;
  uint64_t ino = body->ino;
  g_queue_delete_link(&store->kept, body->kept);
  store->kept_bytes -= body->size;
  body->kept = NULL;
  arrived->kept = NULL;
  store_forget_recorded(store, arrived, ino);
  return body;
}

// The first kept until then.
static void drop_until(Store *store, int64_t until_us) {
  StoreBody *first;
  while ((first = g_queue_peek_head(&store->kept)) != NULL && first->kept_us <= until_us)
    store_close_body(store,
                     store_take_kept(store, g_hash_table_lookup(store->arrived, &first->ino)));
}

static gboolean drop_old(gpointer data);

static void set_timer(Store *store) {
  const StoreBody *first = g_queue_peek_head(&store->kept);
  if (store->kept_timer != NULL || first == NULL) return;
  int64_t age_ms = (g_get_monotonic_time() - first->kept_us) / 1000;
  store->kept_timer = store_call_in(store, KEPT_MS - age_ms + 1, drop_old, store);
}

static gboolean drop_old(gpointer data) {
  Store *store = data;
  g_clear_pointer(&store->kept_timer, g_source_unref);
  drop_until(store, g_get_monotonic_time() - KEPT_MS * 1000);
  set_timer(store);
  return G_SOURCE_REMOVE;
}

void store_keep(Store *store, Arrived *arrived, StoreBody *body) {
  if (store->kept.length >= KEPT_MAX || store->kept_bytes + body->size > max_bytes(store)) {
    store_close_body(store, body);
    return;
  }
  arrived->kept = body;
  body->kept_us = g_get_monotonic_time();
  g_queue_push_tail(&store->kept, body);
  body->kept = store->kept.tail;
  store->kept_bytes += body->size;
  set_timer(store);
}

void store_drop_kept(Store *store) {
  if (store->kept_timer != NULL) g_source_destroy(store->kept_timer);
  g_clear_pointer(&store->kept_timer, g_source_unref);
  drop_until(store, INT64_MAX);
}
