#include "cache/listing_bodies.h"

#include "cache/body_writer.h"

struct ListingBodies {
  BodyStore *store;
  uint64_t most_bytes, kept_bytes;
  unsigned n_kept;
  MailboxBodyFuncs funcs;
  BodyWriter *writer;  // of the body that passes or passed last; NULL: it is not kept
  uint32_t uid;        // whose that is, once it is whole; 0: it is not
};

static void drop(ListingBodies *bodies, const GError *reason) {
  if (reason != NULL) g_info("a body that was listed is not kept: %s", reason->message);
  g_clear_pointer(&bodies->writer, body_writer_free);
  bodies->uid = 0;
}

static bool begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  ListingBodies *bodies = data;
  g_autoptr(GError) problem = NULL;
  drop(bodies, NULL);
  if (bodies->most_bytes > 0 && bodies->kept_bytes >= bodies->most_bytes) return true;
  bodies->writer = body_writer_new(bodies->store, 0, &problem);
  if (bodies->writer == NULL) drop(bodies, problem);
  return true;
}

static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  ListingBodies *self = data;
  g_autoptr(GError) problem = NULL;
  if (self->writer != NULL && !body_writer_write(self->writer, bytes, size, &problem))
    drop(self, problem);
  return true;
}

// What nobody waits for has no place in memory.
static bool end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  ListingBodies *bodies = data;
  if (bodies->writer != NULL && body_writer_is_in_memory(bodies->writer)) drop(bodies, NULL);
  bodies->uid = bodies->writer != NULL ? uid : 0;
  return true;
}

ListingBodies *listing_bodies_new(BodyStore *store, uint64_t most_bytes) {
  ListingBodies *bodies = g_new0(ListingBodies, 1);
  bodies->store = store;
  bodies->most_bytes = most_bytes;
  bodies->funcs =
      (MailboxBodyFuncs){.begin = begin, .bytes = take_bytes, .end = end, .data = bodies};
  return bodies;
}

void listing_bodies_free(ListingBodies *bodies) {
  if (bodies == NULL) return;
  body_writer_free(bodies->writer);
  g_free(bodies);
}

const MailboxBodyFuncs *listing_bodies_funcs(const ListingBodies *bodies) {
  return &bodies->funcs;
}

bool listing_bodies_has(const ListingBodies *bodies, uint32_t uid) {
  return bodies->uid != 0 && bodies->uid == uid;
}

static bool record(Index *index, uint64_t ino, uint64_t size, const uint8_t *sha256,
                   GError **error) {
  bool done =
      index_begin(index, error) &&
      index_set_body(index, ino, size, sha256, true, false, g_get_real_time() * 1000, error) &&
      index_commit(index, error);
  index_rollback(index);
  return done;
}

// A file that the index does not come to know of is nobody's (see body.h).
void listing_bodies_keep(ListingBodies *bodies, Index *index, uint64_t ino) {
  g_autoptr(GError) problem = NULL;
  uint64_t size;
  uint8_t sha256[BODY_SHA256_BYTES];
  bool on_disk;
  int fd = body_writer_finish(bodies->writer, ino, &size, sha256, &on_disk, &problem);
  if (fd >= 0) {
    body_close(bodies->store, ino, fd);
    if (on_disk && record(index, ino, size, sha256, &problem)) {
      bodies->n_kept++;
      bodies->kept_bytes += size;
    }
  }
  drop(bodies, problem);
}

unsigned listing_bodies_count(const ListingBodies *bodies) {
  return bodies->n_kept;
}
