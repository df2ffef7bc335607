// Large bodies: they are open as soon as their size is sure, and arrive while they are read.
//
// One Large is shared by all who have the message open, and there is never a second of the same
// message. It goes with the last of them, but not before what is under way for it has ended: a
// session writes to its file until then, and who opens the message again meanwhile finds it. Once
// all of it is here it is sealed: put in its place like any other body.

#include "cache/granules.h"
#include "cache/store_private.h"
#include "net/error.h"

// How far ahead of a reader who goes on parts are asked for, at first; and how many may be under
// way when one more is asked for that nobody waits for.
#define WINDOW_MIN_BYTES ((uint64_t)256 << 10)
#define JOBS_MAX 4

struct Large {
  Store *store;
  uint64_t ino;
  Granules granules;
  BodyWriter *writer;
  int fd;              // the writer's until it is sealed, and the same after that
  unsigned n_jobs;     // under way, and a retry that is to come
  StoreBody *body;     // NULL: nobody has it open
  GPtrArray *tickets;  // of those who wait for a range
  uint64_t position;   // where the last reader went on, in granules
  uint64_t window;     // how far ahead of it, in granules
  bool goes_on;        // he reads in order, and not just the beginning
  bool is_sealing;
  int sealed_fd;  // the descriptor that the writer gave up; -1: it has it
  unsigned attempts;
  int64_t give_up_us;
  GSource *retry;
};

StoreBody *store_body_new(uint64_t ino, int fd, uint64_t size) {
  StoreBody *body = g_new0(StoreBody, 1);
  *body = (StoreBody){.refs = 1, .ino = ino, .size = size, .fd = fd};
  return body;
}

int store_body_fd(const StoreBody *body) {
  return body->fd;
}

uint64_t store_body_size(const StoreBody *body) {
  return body->size;
}

bool store_body_is_whole(const StoreBody *body) {
  return body->large == NULL;
}

void store_free_large(gpointer data) {
  Large *large = data;
  if (large->retry != NULL) {
    g_source_destroy(large->retry);
    g_source_unref(large->retry);
  }
  if (large->sealed_fd >= 0) body_close(large->store->bodies, large->ino, large->sealed_fd);
  body_writer_free(large->writer);
  g_free(large->body);  // of a file that was open to the end of the mount
  g_ptr_array_unref(large->tickets);
  granules_clear(&large->granules);
  g_free(large);
}

static void drop_if_unused(Large *large) {
  if (large->body != NULL || large->n_jobs > 0) return;
  uint64_t ino = large->ino;
  g_hash_table_remove(large->store->larges, &ino);
}

void store_close_body(Store *store, StoreBody *body) {
  if (--body->refs > 0) return;
  if (body->large != NULL) {
    body->large->body = NULL;
    drop_if_unused(body->large);
  } else {
    body_close(store->bodies, body->ino, body->fd);
  }
  g_free(body);
}

StoreBody *store_large_share(Store *store, uint64_t ino) {
  Large *large = g_hash_table_lookup(store->larges, &ino);
  if (large == NULL) return NULL;
  if (large->body != NULL) {
    large->body->refs++;
  } else {
    large->body = store_body_new(ino, large->fd, large->granules.size_bytes);
    large->body->large = large;
  }
  return large->body;
}

// ---- Who waits.

// Something of the range is neither here nor on its way.
static bool is_hopeless(const Large *large, const StoreTicket *ticket) {
  uint64_t first, end;
  granules_find(&large->granules, ticket->offset, ticket->size, &first, &end);
  return granules_next_missing(&large->granules, first, end) < end;
}

// Answers those who wait for what is ready, and with `error` those who wait in vain.
static void tell_waiting(Large *large, const GError *error) {
  for (unsigned i = 0; i < large->tickets->len;) {
    StoreTicket *ticket = large->tickets->pdata[i];
    bool ready = granules_is_ready(&large->granules, ticket->offset, ticket->size);
    if (!ready && (error == NULL || !is_hopeless(large, ticket))) {
      i++;
      continue;
    }
    g_ptr_array_steal_index(large->tickets, i);
    ticket->done(ready ? NULL : error, ticket->data);
    g_free(ticket);
    i = 0;  // the callback may have cancelled others
  }
}

// ---- Asking for parts.

static Job *part_job(Large *large, uint64_t first, uint64_t n, bool ahead, GError **error) {
  Store *store = large->store;
  IndexMessage message;
  g_auto(IndexFolder) folder = {0};
  Job *job = job_new(JOB_PART, ahead ? JOB_AHEAD : JOB_URGENT, large->ino);
  job->writer = large->writer;
  job->range.offset = first * GRANULE_BYTES;
  job->range.size = MIN(n * GRANULE_BYTES, large->granules.size_bytes - job->range.offset);
  if (index_message(store_index(store), large->ino, &message) != INDEX_FOUND ||
      index_folder(store_index(store), message.folder, &folder) != INDEX_FOUND) {
    *error = g_error_new(NET_ERROR, NET_ERROR_BUSY, "the message cannot be looked up now");
    return job;
  }
  job->folder = g_steal_pointer(&folder.server_name);
  job->folder_ino = message.folder;
  job->uidvalidity = folder.status.uidvalidity;
  job->uid = message.uid;
  if (message.gone) *error = g_error_new(NET_ERROR, NET_ERROR_GONE, "the message was removed");
  return job;
}

static void ask_for(Large *large, uint64_t first, uint64_t n, bool ahead) {
  Store *store = large->store;
  GError *error = NULL;
  Job *job = part_job(large, first, n, ahead, &error);
  if (error == NULL) error = store_known_problem(store, false);
  granules_set(&large->granules, first, first + n, GRANULE_UNDER_WAY);
  large->n_jobs++;
  if (error == NULL)
    job_board_push(store->board, job);
  else
    store_send_back(store, job, error);
}

// Asks for what is missing of [first, end), in parts of at most `most` granules; what is only ahead
// of a reader waits while enough is under way.
static void ask_for_missing(Large *large, uint64_t first, uint64_t end, uint64_t most, bool ahead) {
  while (first < end && !(ahead && large->n_jobs >= JOBS_MAX)) {
    uint64_t n = granules_count_missing(&large->granules, first, MIN(end, first + most));
    if (n > 0) ask_for(large, first, n, ahead);
    first += MAX(n, 1);
  }
}

static uint64_t window_max(const Large *large) {
  return MAX(WINDOW_MIN_BYTES, large->store->batch_bytes) / GRANULE_BYTES;
}

// The reader is at these granules: if he goes on where he was, what follows is asked for in time.
static void follow_reader(Large *large, uint64_t first, uint64_t end) {
  bool goes_on = first <= large->position && end >= large->position;
  if (first > large->position || end < large->position)
    large->window = WINDOW_MIN_BYTES / GRANULE_BYTES;
  else if (end > large->position)
    large->window = MIN(large->window + (end - large->position) * 2, window_max(large));
  large->position = end;
  // Many readers look at the beginning alone (head, file).
  bool is_first = end <= JOB_FIRST_BYTES / GRANULE_BYTES;
  large->goes_on = goes_on && !is_first && large->store->readahead != NULL;
  if (!large->goes_on) return;
  ask_for_missing(large, end, MIN(end + 2 * large->window, large->granules.n), large->window, true);
}

// For a reader who reads in order what is behind his window comes too, one part after the other, as
// far as anything is fetched ahead: a message that is expunged while he rests can still be read to
// its end.
static void finish_ahead(Large *large) {
  if (!large->goes_on || large->body == NULL || large->n_jobs > 0) return;
  uint64_t ahead = large->store->ahead_bytes / GRANULE_BYTES;
  uint64_t end = MIN(large->position + ahead, large->granules.n);
  uint64_t first = granules_next_missing(&large->granules, large->position, end);
  ask_for_missing(large, first, MIN(first + large->window, end), large->window, true);
}

bool store_body_is_ready(const StoreBody *body, uint64_t offset, uint64_t size) {
  uint64_t first, end;
  if (body->large == NULL || offset >= body->size) return true;
  const Granules *granules = &body->large->granules;
  if (!granules_is_ready(granules, offset, size)) return false;
  granules_find(granules, offset, size, &first, &end);
  if (!granules_is_whole(granules)) follow_reader(body->large, first, end);
  return true;
}

StoreTicket *store_want(Store *store, StoreBody *body, uint64_t offset, uint64_t size,
                        StoreDone done, gpointer data) {
  Large *large = body->large;
  uint64_t first, end;
  StoreTicket *ticket = store_ticket_new(store, TICKET_WANT, large, large->tickets);
  ticket->offset = offset;
  ticket->size = size;
  ticket->done = done;
  ticket->data = data;
  granules_find(&large->granules, offset, size, &first, &end);
  ask_for_missing(large, first, end, window_max(large), false);
  job_board_hasten(store->board, large->ino,
                   (MailboxRange){first * GRANULE_BYTES, (end - first) * GRANULE_BYTES});
  follow_reader(large, first, end);
  return ticket;
}

void store_cancel_want(StoreTicket *ticket) {
  g_ptr_array_remove(((Large *)ticket->owner)->tickets, ticket);
}

// ---- What comes.

static void seal_if_complete(Large *large) {
  if (!granules_is_whole(&large->granules) || large->n_jobs > 0 || large->is_sealing) return;
  if (body_writer_is_in_memory(large->writer)) return;
  Job *job = job_new(JOB_SEAL, JOB_LISTING, large->ino);
  job->writer = large->writer;
  large->is_sealing = true;
  large->n_jobs++;
  job_board_push(large->store->board, job);
}

StoreBody *store_large_open(Store *store, Job *opening) {
  StoreBody *shared = store_large_share(store, opening->ino);
  if (shared != NULL) return shared;
  Large *large = g_new0(Large, 1);
  const MailboxRange first = {0, MIN(opening->size, JOB_FIRST_BYTES)};
  *large = (Large){
      .store = store,
      .ino = opening->ino,
      .writer = opening->writer,
      .fd = body_writer_fd(opening->writer),
      .tickets = g_ptr_array_new_with_free_func(g_free),
      .window = WINDOW_MIN_BYTES / GRANULE_BYTES,
      .sealed_fd = -1,
  };
  opening->writer = NULL;
  granules_init(&large->granules, opening->size);
  granules_note_ready(&large->granules, &first);
  granules_note_ready(&large->granules, &opening->tail);
  if (!opening->recorded) {
    Arrived arrived = {.size = opening->size};
    g_hash_table_insert(store->arrived, g_memdup2(&large->ino, sizeof large->ino),
                        g_memdup2(&arrived, sizeof arrived));
  }
  g_hash_table_insert(store->larges, g_memdup2(&large->ino, sizeof large->ino), large);
  seal_if_complete(large);
  return store_large_share(store, large->ino);
}

void store_note_part(Store *store, const Report *report) {
  Large *large = g_hash_table_lookup(store->larges, &report->ino);
  if (large == NULL) return;
  granules_note_ready(&large->granules, &report->range);
  tell_waiting(large, NULL);
}

static void note_failed(Large *large, const MailboxRange *range) {
  uint64_t first, end;
  granules_find(&large->granules, range->offset, range->size, &first, &end);
  granules_set(&large->granules, first, end, GRANULE_MISSING);
}

static gboolean ask_again(gpointer data) {
  Large *large = data;
  g_clear_pointer(&large->retry, g_source_unref);
  large->n_jobs--;
  for (unsigned i = 0; i < large->tickets->len; i++) {
    const StoreTicket *ticket = large->tickets->pdata[i];
    uint64_t first, end;
    granules_find(&large->granules, ticket->offset, ticket->size, &first, &end);
    ask_for_missing(large, first, end, window_max(large), false);
  }
  drop_if_unused(large);
  return G_SOURCE_REMOVE;
}

// A server that asks for patience gets it, for as long as readers have it.
static bool is_put_off(Large *large, const Job *job) {
  Store *store = large->store;
  int64_t now_us = g_get_monotonic_time();
  if (!g_error_matches(job->error, NET_ERROR, NET_ERROR_BUSY)) return false;
  if (large->retry != NULL) return true;
  if (large->attempts == 0) large->give_up_us = now_us + (int64_t)store->timeout_ms * 1000;
  unsigned wait_ms = store_note_busy(store, job->error, large->attempts);
  if (now_us + (int64_t)wait_ms * 1000 > large->give_up_us) return false;
  large->attempts++;
  large->n_jobs++;
  large->retry = store_call_in(store, wait_ms, ask_again, large);
  return true;
}

void store_end_part(Store *store, Job *job) {
  Large *large = g_hash_table_lookup(store->larges, &job->ino);
  store_tell_changes(store, job->changes);
  if (job->error == NULL) {
    large->attempts = 0;
    granules_note_ready(&large->granules, &job->range);
  } else {
    note_failed(large, &job->range);
  }
  tell_waiting(large, job->error != NULL && is_put_off(large, job) ? NULL : job->error);
  large->n_jobs--;  // not before: who was told may have closed it
  if (job->error == NULL) finish_ahead(large);
  seal_if_complete(large);
  drop_if_unused(large);
}

void store_end_seal(Store *store, Job *job) {
  Large *large = g_hash_table_lookup(store->larges, &job->ino);
  large->n_jobs--;
  large->sealed_fd = job->fd;
  if (job->error != NULL) g_message("%s", job->error->message);
  drop_if_unused(large);
}
