#include "cache/outbox_batch.h"

struct OutboxBatch {
  Queue *queue;
  int64_t patience_us;
  SpoolJob *jobs[OUTBOX_BATCH_MAX];  // taken from the queue, in order
  unsigned count;
  int64_t end_us;  // when the first of them has waited long enough, monotonic
};

OutboxBatch *outbox_batch_new(Queue *jobs, int64_t patience_us) {
  OutboxBatch *batch = g_new0(OutboxBatch, 1);
  batch->queue = jobs;
  batch->patience_us = patience_us;
  return batch;
}

void outbox_batch_free(OutboxBatch *batch) {
  if (batch == NULL) return;
  g_assert(batch->count == 0);
  g_free(batch);
}

static bool is_note(const SpoolJob *job) {
  return job->change == SPOOL_ADVANCE && job->relaxed && !job->patient;
}

static int left_ms(const OutboxBatch *batch) {
  int64_t left_us = batch->end_us - g_get_monotonic_time();
  return left_us > 0 ? (int)(left_us / 1000) : 0;
}

static void gather(OutboxBatch *batch, SpoolJob *job) {
  if (batch->count == 0) batch->end_us = g_get_monotonic_time() + batch->patience_us;
  do
    batch->jobs[batch->count++] = job;
  while (batch->count < OUTBOX_BATCH_MAX && (job = queue_pop(batch->queue, 0)) != NULL);
}

static bool is_urgent(const OutboxBatch *batch) {
  if (left_ms(batch) == 0) return true;
  for (unsigned i = 0; i < batch->count; i++)
    if (!batch->jobs[i]->patient && !is_note(batch->jobs[i])) return true;
  return batch->count == OUTBOX_BATCH_MAX;
}

// Of a letter whose other jobs are all done: it is with the courier.
static unsigned give_notes(OutboxBatch *batch, SpoolJob **jobs) {
  unsigned notes = 0, left = 0;
  for (unsigned i = 0; i < batch->count; i++) {
    SpoolJob *job = batch->jobs[i];
    if (is_note(job))
      jobs[notes++] = job;
    else
      batch->jobs[left++] = job;
  }
  batch->count = left;
  return notes;
}

static unsigned give_all(OutboxBatch *batch, SpoolJob **jobs) {
  unsigned count = batch->count;
  for (unsigned i = 0; i < count; i++)
    jobs[i] = batch->jobs[i];
  batch->count = 0;
  return count;
}

unsigned outbox_batch_take(OutboxBatch *batch, SpoolJob *jobs[OUTBOX_BATCH_MAX], int idle_ms) {
  while (true) {
    SpoolJob *job = queue_pop(batch->queue, batch->count > 0 ? left_ms(batch) : idle_ms);
    if (job == NULL) return give_all(batch, jobs);
    gather(batch, job);
    if (is_urgent(batch)) return give_all(batch, jobs);
    unsigned notes = give_notes(batch, jobs);
    if (notes > 0) return notes;
  }
}
