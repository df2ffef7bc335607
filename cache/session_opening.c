// The opening of a large message: its first bytes come with those around the end that the server
// announced, and tell its true size.

#include "cache/session_bodies_private.h"

static size_t tail_bytes(const Flight *flight) {
  return flight->tail != NULL ? flight->tail->len : 0;
}

bool opening_is_whole(const Flight *flight) {
  return flight->has_first && flight->first_bytes > JOB_FIRST_BYTES &&
         flight->first_bytes == flight->job->announced && tail_bytes(flight) <= 1;
}

bool opening_tell_size(const Flight *flight) {
  Job *job = flight->job;
  uint64_t tail = tail_bytes(flight);
  if (!flight->has_first || flight->first_bytes != JOB_FIRST_BYTES) return false;
  job->size = job->announced - 1 + tail;
  return flight->has_tail && tail > 0 && tail < JOB_TAIL_BYTES && job->size >= JOB_FIRST_BYTES;
}

void opening_make_whole(const Flight *flight) {
  Job *job = flight->job;
  JobBody body = {.ino = job->ino, .uid = job->uid, .was_exact = job->was_exact};
  g_clear_pointer(&job->writer, body_writer_free);
  job->is_whole = true;
  job->bodies = g_array_new(FALSE, TRUE, sizeof(JobBody));
  g_array_append_val(job->bodies, body);
}

void opening_keep(const Flight *flight, uint64_t most) {
  Job *job = flight->job;
  uint64_t tail = MAX(job->announced - 1, flight->first_bytes);
  uint64_t skip = tail - (job->announced - 1), had = tail_bytes(flight);
  bool good = body_writer_set_size(job->writer, job->size, most, &job->error);
  if (good && had > skip) {
    job->tail = (MailboxRange){tail, had - skip};
    good = body_writer_write_at(job->writer, tail, flight->tail->data + skip, job->tail.size,
                                &job->error);
  }
  if (!good) g_clear_pointer(&job->writer, body_writer_free);
}
