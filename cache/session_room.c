// Room for bodies: the oldest go when they are too many, and when there is no room for the index.

#include "cache/session_private.h"

// When the bodies are too many, so many per cent of what they may take are kept.
#define LOW_WATER_PERCENT 90
// How much goes when the disk is full: far more than a listing's worth, so that it is not for each
// commit again.
#define FULL_BYTES ((uint64_t)32 << 20)

typedef struct {
  BodyStore *bodies;
  GArray *evicted;  // of uint64_t
  uint64_t surplus;
} Eviction;

static bool evict(uint64_t ino, uint64_t size, gpointer data) {
  Eviction *eviction = data;
  bool is_last;
  if (body_evict(eviction->bodies, ino, &is_last)) {
    g_array_append_val(eviction->evicted, ino);
    if (is_last) eviction->surplus -= MIN(eviction->surplus, size);
  }
  return eviction->surplus > 0;
}

static bool forget(Index *index, const GArray *evicted, GError **error) {
  for (unsigned i = 0; i < evicted->len; i++)
    if (!index_forget_body(index, g_array_index(evicted, uint64_t, i), error)) return false;
  return true;
}

// Bodies are evicted before the index forgets them: one that is missing is fetched again, one that
// nobody knows of would stay until the next start.
bool session_make_room(Session *session, GError **error) {
  uint64_t limit = session->context->cache_bytes, bytes;
  if (limit == 0) return true;
  if (!index_cached_bytes(session->index, &bytes, error)) return false;
  if (bytes <= limit) return true;
  g_autoptr(GArray) evicted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  Eviction eviction = {.bodies = session->context->bodies,
                       .evicted = evicted,
                       .surplus = bytes - limit / 100 * LOW_WATER_PERCENT};
  return index_oldest_bodies(session->index, evict, &eviction, error) &&
         forget(session->index, evicted, error);
}

static void warn_once(Session *session, const GError *error) {
  if (g_atomic_int_add(&session->context->n_full, 1) == 0)
    g_warning("%s: %s; bodies make room for the index", session->name, error->message);
}

bool session_free_room(Session *session, GError **error) {
  if (!g_error_matches(*error, INDEX_ERROR, INDEX_ERROR_FULL)) return false;
  g_autoptr(GArray) evicted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_autoptr(GError) failure = NULL;
  Eviction eviction = {
      .bodies = session->context->bodies, .evicted = evicted, .surplus = FULL_BYTES};
  index_rollback(session->index);
  if (!index_oldest_bodies(session->index, evict, &eviction, &failure) || evicted->len == 0)
    return false;
  warn_once(session, *error);
  g_clear_error(error);
  // Where the index cannot be told, a body that is missing is fetched again.
  if (!index_begin(session->index, &failure) || !forget(session->index, evicted, &failure) ||
      !index_commit(session->index, &failure))
    g_info("%s: %s", session->name, failure->message);
  index_rollback(session->index);
  return true;
}
