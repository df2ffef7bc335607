// What a session does with bodies that are here: the index learns of them, and other folders share
// them.

#include <string.h>

#include "cache/session_private.h"
#include "net/error.h"

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

static bool record_bodies(Index *index, const Job *job, GError **error) {
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (body->came && !index_set_body(index, body->ino, body->size, body->sha256, body->on_disk,
                                      body->is_linked, now_ns(), error))
      return false;
  }
  return job->kind != JOB_LARGE || job->is_whole || job->writer == NULL ||
         index_set_size(index, job->ino, job->size, error);
}

static bool record_use(Index *index, const GArray *used, GError **error) {
  for (unsigned i = 0; i < used->len; i++) {
    if (!index_touch_body(index, g_array_index(used, uint64_t, i), now_ns(), error)) return false;
  }
  return true;
}

static bool try_record(Session *session, const Job *job, const GArray *used, GError **error) {
  bool recorded = index_begin(session->index, error) && record_bodies(session->index, job, error) &&
                  record_use(session->index, used, error) && session_make_room(session, error) &&
                  index_commit(session->index, error);
  index_rollback(session->index);
  return recorded;
}

void session_record(Session *session, Job *job) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) used = body_take_used(session->context->bodies);
  job->recorded = try_record(session, job, used, &error) ||
                  (session_free_room(session, &error) && try_record(session, job, used, &error));
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
  body->came = body->on_disk = body->is_linked = true;
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
