// Claim: what somebody waits for is never kept back by the spool; what nobody waits for shares the
// next commit, in order, and is not kept back for long; a note goes alone, before it.
#include "cache/outbox_batch.h"

#include <string.h>

// Longer than a slow machine takes for anything else here.
#define PATIENCE_US 500000

typedef struct {
  const char *name;
  const char *pushed;  // a job each: p patient, n note, u waited for
  bool is_closed;      // the queue, then
  const char *taken;   // the batches, by the position of each job from a
} Row;

// Where neither the end nor a job that is waited for comes, time does.
static const Row rows[] = {
    {"one that is waited for", "u", true, "a"},
    {"it takes the patient along", "ppu", true, "abc"},
    {"patient ones wait for company", "pp", false, "ab"},
    {"the end is no reason to wait", "pp", true, "ab"},
    {"a note goes before", "pnp", true, "b ac"},
    {"notes share a commit", "nn", true, "ab"},
    {"a note goes with what is waited for", "pnu", true, "abc"},
    {"nothing", "", true, ""},
};

static SpoolJob *job_of(char kind, unsigned position) {
  SpoolJob *job = spool_job_new(kind == 'n' ? SPOOL_ADVANCE : SPOOL_PUT);
  job->row.id = position;
  job->relaxed = kind == 'n';
  job->patient = kind == 'p';
  return job;
}

static void take_all(OutboxBatch *batch, GString *taken) {
  SpoolJob *jobs[OUTBOX_BATCH_MAX];
  unsigned count;
  while ((count = outbox_batch_take(batch, jobs, 0)) > 0) {
    if (taken->len > 0) g_string_append_c(taken, ' ');
    for (unsigned i = 0; i < count; i++) {
      g_string_append_c(taken, (char)('a' + jobs[i]->row.id));
      spool_job_free(jobs[i]);
    }
  }
}

static void test_row(gconstpointer data) {
  const Row *row = data;
  Queue *queue = queue_new((GDestroyNotify)spool_job_free);
  OutboxBatch *batch = outbox_batch_new(queue, PATIENCE_US);
  for (unsigned i = 0; row->pushed[i] != '\0'; i++)
    queue_push(queue, job_of(row->pushed[i], i));
  if (row->is_closed) queue_close(queue);
  g_autoptr(GString) taken = g_string_new(NULL);
  take_all(batch, taken);
  g_assert_cmpstr(taken->str, ==, row->taken);
  outbox_batch_free(batch);
  queue_free(queue);
}

// The first of many need not wait for all.
static void test_many(void) {
  Queue *queue = queue_new((GDestroyNotify)spool_job_free);
  OutboxBatch *batch = outbox_batch_new(queue, PATIENCE_US);
  SpoolJob *jobs[OUTBOX_BATCH_MAX];
  for (unsigned i = 0; i < OUTBOX_BATCH_MAX + 1; i++)
    queue_push(queue, job_of('p', i));
  g_assert_cmpuint(outbox_batch_take(batch, jobs, 0), ==, OUTBOX_BATCH_MAX);
  for (unsigned i = 0; i < OUTBOX_BATCH_MAX; i++) {
    g_assert_cmpuint(jobs[i]->row.id, ==, i);
    spool_job_free(jobs[i]);
  }
  g_assert_cmpuint(outbox_batch_take(batch, jobs, 0), ==, 1);
  spool_job_free(jobs[0]);
  outbox_batch_free(batch);
  queue_free(queue);
}

// However many notes come, patience has an end: time itself has to pass for it.
static void test_patience(void) {
  Queue *queue = queue_new((GDestroyNotify)spool_job_free);
  OutboxBatch *batch = outbox_batch_new(queue, PATIENCE_US);
  SpoolJob *jobs[OUTBOX_BATCH_MAX];
  queue_push(queue, job_of('p', 0));
  queue_push(queue, job_of('n', 1));
  g_assert_cmpuint(outbox_batch_take(batch, jobs, 0), ==, 1);
  spool_job_free(jobs[0]);
  g_usleep(PATIENCE_US);
  queue_push(queue, job_of('n', 2));
  g_assert_cmpuint(outbox_batch_take(batch, jobs, 0), ==, 2);
  for (unsigned i = 0; i < 2; i++)
    spool_job_free(jobs[i]);
  outbox_batch_free(batch);
  queue_free(queue);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/outbox/batch/", rows[i].name, NULL);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  g_test_add_func("/outbox/batch/many", test_many);
  g_test_add_func("/outbox/batch/patience", test_patience);
  return g_test_run();
}
