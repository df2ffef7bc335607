// What a session does with bodies that are here: the index learns of them, other folders share
// them, and the oldest go when they are too many.

#include <string.h>

#include "cache/session_private.h"
#include "net/error.h"

// When the bodies are too many, so many per cent of what they may take are kept.
#define LOW_WATER_PERCENT 90

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

static bool record_bodies(Index *index, const Job *job, GError **error) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (body->came &&
        !index_set_body(index, body->ino, body->size, body->sha256, body->on_disk, now_ns(), error))
      return false;
  }
  return job->kind != JOB_LARGE || job->is_whole || job->writer == NULL ||
         index_set_size(index, job->ino, job->size, error);
}

static bool record_use(Session *session, GError **error) {
  g_autoptr(GArray) used = body_take_used(session->context->bodies);
  for (unsigned i = 0; i < used->len; i++) {
    if (!index_touch_body(session->index, g_array_index(used, uint64_t, i), now_ns(), error))
      return false;
  }
  return true;
}

typedef struct {
  BodyStore *bodies;
  GArray *evicted;  // of uint64_t
  uint64_t surplus;
} Eviction;

static bool evict(uint64_t ino, uint64_t size, gpointer data) {
  Eviction *eviction = data;
  if (body_evict(eviction->bodies, ino)) {
    g_array_append_val(eviction->evicted, ino);
    eviction->surplus -= MIN(eviction->surplus, size);
  }
  return eviction->surplus > 0;
}

// Bodies are evicted before the index forgets them: one that is missing is fetched again, one that
// nobody knows of would never go.
static bool make_room(Session *session, GError **error) {
  uint64_t limit = session->context->cache_bytes, bytes;
  if (limit == 0) return true;
  if (!index_cached_bytes(session->index, &bytes, error)) return false;
  if (bytes <= limit) return true;
  g_autoptr(GArray) evicted = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  Eviction eviction = {.bodies = session->context->bodies,
                       .evicted = evicted,
                       .surplus = bytes - limit / 100 * LOW_WATER_PERCENT};
  if (!index_oldest_bodies(session->index, evict, &eviction, error)) return false;
  for (unsigned i = 0; i < evicted->len; i++) {
    if (!index_forget_body(session->index, g_array_index(evicted, uint64_t, i), error))
      return false;
  }
  return true;
}

void session_record(Session *session, Job *job) {
  g_autoptr(GError) error = NULL;
  job->recorded = index_begin(session->index, &error) &&
                  record_bodies(session->index, job, &error) && record_use(session, &error) &&
                  make_room(session, &error) && index_commit(session->index, &error);
  index_rollback(session->index);
  if (!job->recorded) g_warning("%s: %s", session->name, error->message);
}

bool session_is_other(Session *session, const JobBody *body) {
  uint8_t known[BODY_SHA256_BYTES];
  return body->was_exact && !(index_digest(session->index, body->ino, known) &&
                              memcmp(known, body->sha256, sizeof known) == 0);
}

bool session_link_twin(Session *session, JobBody *body) {
  uint64_t twin, size;
  BodyStore *bodies = session->context->bodies;
  if (!body->has_email_id || index_twin(session->index, body->ino, &twin, &size) != INDEX_FOUND ||
      !body_link(bodies, twin, size, body->ino) ||
      !index_digest(session->index, twin, body->sha256))
    return false;
  body->came = body->on_disk = true;
  body->size = size;
  Report *report = report_new(REPORT_BODY);
  report->ino = body->ino;
  report->fd = body_open(bodies, body->ino, size);
  report->size = size;
  report->on_disk = true;
  report->is_other = session_is_other(session, body);
  session_report(session, report);
  return true;
}

bool session_seal(Session *session, Job *job, GError **error) {
  JobBody body = {.ino = job->ino, .came = true};
  job->fd =
      body_writer_finish(job->writer, job->ino, &body.size, body.sha256, &body.on_disk, error);
  if (job->fd < 0) return false;
  job->bodies = g_array_new(FALSE, TRUE, sizeof(JobBody));
  g_array_append_val(job->bodies, body);
  session_record(session, job);
  return true;
}
