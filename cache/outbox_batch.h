// The OutboxBatch decides which of the spool's jobs share a commit, and when it is made. At once,
// if somebody waits for one of them; a patient job waits some milliseconds for company, for whoever
// copies many letters flushes the next within that. A note (relaxed, and somebody waits for it)
// does not wait, nor does it take patient ones along, which would make it wait for the disk.
//
//   queue ──> [ patient patient note ] ──> note
//                      └── another that is waited for, or the time is over ──> all, in order
//
// The spool thread's.
#pragma once

#include <glib.h>

#include "cache/outbox_spool.h"

// More jobs than this do not share a commit, so that the first need not wait for too many.
#define OUTBOX_BATCH_MAX 256

typedef struct OutboxBatch OutboxBatch;

// The queue stays the caller's. patience_us: how long a patient job waits.
OutboxBatch *outbox_batch_new(Queue *jobs, int64_t patience_us);
// After outbox_batch_take has said that there are no more.
void outbox_batch_free(OutboxBatch *batch);
// Waits for the next batch: how many jobs it has, which are the caller's then. 0: nothing came for
// idle_ms (-1: for ever), or the queue is closed and all jobs were taken.
unsigned outbox_batch_take(OutboxBatch *batch, SpoolJob *jobs[OUTBOX_BATCH_MAX], int idle_ms);
