// Bodies: who waits for one, and what becomes of what came.

#include "cache/store_private.h"
#include "net/error.h"

// How long a message that the server lists but does not give is not asked for again.
#define UNFETCHABLE_S 60

// A body on its way, and who waits for it: nobody, if it is fetched ahead.
typedef struct {
  Store *store;
  uint64_t ino, folder;
  Job *job;  // the board's or a session's, perhaps others' too; NULL: waits for something
  GPtrArray *tickets;
  unsigned attempts;
  int64_t give_up_us;
  GSource *retry;
} Fetch;

void store_free_fetch(gpointer data) {
  Fetch *fetch = data;
  if (fetch->retry != NULL) {
    g_source_destroy(fetch->retry);
    g_source_unref(fetch->retry);
  }
  g_ptr_array_unref(fetch->tickets);
  g_free(fetch);
}

static Fetch *fetch_new(Store *store, uint64_t ino, uint64_t folder) {
  Fetch *fetch = g_new0(Fetch, 1);
  fetch->store = store;
  fetch->ino = ino;
  fetch->folder = folder;
  fetch->tickets = g_ptr_array_new_with_free_func(g_free);
  g_hash_table_insert(store->fetches, g_memdup2(&ino, sizeof ino), fetch);
  return fetch;
}

void store_expect_body(Store *store, uint64_t ino, uint64_t folder, Job *job) {
  fetch_new(store, ino, folder)->job = job;
}

// ---- Bodies that are here.

static StoreBody *open_on_disk(Store *store, uint64_t ino, uint64_t size) {
  int fd = body_open(store->bodies, ino, size);
  return fd >= 0 ? store_body_new(ino, fd, size) : NULL;
}

StoreBody *store_body(Store *store, uint64_t ino) {
  IndexMessage message;
  Arrived *arrived = g_hash_table_lookup(store->arrived, &ino);
  StoreBody *body = NULL;
  if (arrived != NULL && arrived->kept != NULL)
    body = store_take_kept(store, arrived);
  else if (arrived != NULL && arrived->on_disk)
    body = open_on_disk(store, ino, arrived->size);
  else if (arrived == NULL && index_message(store_index(store), ino, &message) == INDEX_FOUND &&
           message.has_body)
    body = open_on_disk(store, ino, message.size);
  if (body == NULL) body = store_archived(store, ino);
  if (body == NULL) return store_large_share(store, ino);
  if (store->readahead != NULL) readahead_found(store->readahead, ino);
  return body;
}

// ---- Messages that cannot be had.

bool store_is_unfetchable(Store *store, uint64_t ino) {
  const int64_t *until_us = g_hash_table_lookup(store->unfetchable, &ino);
  if (until_us == NULL) return false;
  if (g_get_monotonic_time() < *until_us) return true;
  g_hash_table_remove(store->unfetchable, &ino);
  return false;
}

static void remember_unfetchable(Store *store, uint64_t ino) {
  int64_t until_us = g_get_monotonic_time() + UNFETCHABLE_S * G_USEC_PER_SEC;
  g_hash_table_insert(store->unfetchable, g_memdup2(&ino, sizeof ino),
                      g_memdup2(&until_us, sizeof until_us));
}

// ---- Asking.

// The job that opens one message; `error` is set if it cannot be asked for.
static Job *opening_job(Store *store, Fetch *fetch, bool *has_twin, GError **error) {
  IndexMessage message;
  g_auto(IndexFolder) folder = {0};
  uint64_t twin, size;
  if (index_message(store_index(store), fetch->ino, &message) != INDEX_FOUND ||
      index_folder(store_index(store), message.folder, &folder) != INDEX_FOUND) {
    *error = g_error_new(NET_ERROR, NET_ERROR_BUSY, "the message cannot be looked up now");
    return job_new(JOB_BODIES, JOB_URGENT, fetch->ino);
  }
  *has_twin = message.has_email_id &&
              index_twin(store_index(store), fetch->ino, &twin, &size) == INDEX_FOUND;
  // What came a moment ago the index may not know yet.
  bool was_exact = message.size_exact || g_hash_table_contains(store->arrived, &fetch->ino);
  bool is_large =
      store->traits->has_parts && !*has_twin && message.announced > STORE_WHOLE_MAX_BYTES;
  Job *job = job_new(is_large ? JOB_LARGE : JOB_BODIES, JOB_URGENT, fetch->ino);
  job->folder = g_steal_pointer(&folder.server_name);
  job->folder_ino = fetch->folder = message.folder;
  job->uidvalidity = folder.status.uidvalidity;
  if (is_large) {
    job->uid = message.uid;
    job->announced = (uint64_t)message.announced;
    job->was_exact = was_exact;
  } else {
    JobBody body = {.ino = fetch->ino,
                    .uid = message.uid,
                    .has_email_id = message.has_email_id,
                    .was_exact = was_exact};
    g_array_append_val(job->bodies, body);
  }
  if (message.gone)
    *error = g_error_new(NET_ERROR, NET_ERROR_GONE, "message %u of %s was removed", message.uid,
                         job->folder);
  else if (store_is_unfetchable(store, fetch->ino))
    *error = g_error_new(NET_ERROR, NET_ERROR_REFUSED, "the server does not give message %u of %s",
                         message.uid, job->folder);
  return job;
}

static void start(Fetch *fetch) {
  Store *store = fetch->store;
  GError *error = NULL;
  bool has_twin = false;
  fetch->job = opening_job(store, fetch, &has_twin, &error);
  if (error == NULL && !has_twin) error = store_known_problem(store, false);
  if (error == NULL)
    job_board_push(store->board, fetch->job);
  else
    store_send_back(store, fetch->job, error);
}

static gboolean try_again(gpointer data) {
  Fetch *fetch = data;
  g_clear_pointer(&fetch->retry, g_source_unref);
  start(fetch);
  return G_SOURCE_REMOVE;
}

// A reader waits for what would have been fetched with others some time: he does not wait for
// those.
static void hurry(Fetch *fetch) {
  Store *store = fetch->store;
  Job *job = fetch->job;
  if (job == NULL || job->priority == JOB_URGENT || !job_board_withdraw(store->board, job)) return;
  for (unsigned i = 0; i < job->bodies->len; i++) {
    if (g_array_index(job->bodies, JobBody, i).ino != fetch->ino) continue;
    g_array_remove_index(job->bodies, i);
    break;
  }
  if (job->bodies->len > 0) {
    job_board_push(store->board, job);
  } else {
    if (job->archives) store_end_archive_fetch(store, NULL);
    job_free(job);
  }
  start(fetch);
}

int64_t store_progress_us(Store *store) {
  return (int64_t)g_atomic_int_get(&store->context.progress_s) * G_USEC_PER_SEC;
}

StoreTicket *store_fetch(Store *store, uint64_t ino, StoreFetched done, gpointer data) {
  Fetch *fetch = g_hash_table_lookup(store->fetches, &ino);
  if (fetch == NULL) {
    fetch = fetch_new(store, ino, 0);
    start(fetch);
    store_connect_ahead(store);
  } else {
    hurry(fetch);
  }
  StoreTicket *ticket = store_ticket_new(store, TICKET_FETCH, fetch, fetch->tickets);
  ticket->fetched = done;
  ticket->data = data;
  if (store->readahead != NULL) readahead_missed(store->readahead, fetch->folder, ino);
  return ticket;
}

void store_cancel_fetch(StoreTicket *ticket) {
  Fetch *fetch = ticket->owner;
  Store *store = fetch->store;
  g_ptr_array_remove(fetch->tickets, ticket);
  if (fetch->tickets->len > 0 || fetch->job == NULL || fetch->job->priority != JOB_URGENT) return;
  if (!job_board_withdraw(store->board, fetch->job)) return;
  job_free(fetch->job);
  uint64_t ino = fetch->ino;
  g_hash_table_remove(store->fetches, &ino);
}

// ---- What came.

static Fetch *take_fetch(Store *store, uint64_t ino) {
  gpointer key = NULL, fetch = NULL;
  g_hash_table_steal_extended(store->fetches, &ino, &key, &fetch);
  g_free(key);
  return fetch;
}

// Takes `body` (NULL: error) and the fetch, which is out of its table.
static void tell(Fetch *fetch, StoreBody *body, const GError *error) {
  Store *store = fetch->store;
  for (StoreTicket *ticket; (ticket = store_ticket_next(fetch->tickets)) != NULL; g_free(ticket)) {
    if (body != NULL) body->refs++;
    ticket->fetched(body, error, ticket->data);
  }
  if (body != NULL) store_close_body(store, body);
  store_free_fetch(fetch);
}

uint64_t store_edition(Store *store, uint64_t ino) {
  if (g_hash_table_size(store->editions) == 0) return 0;
  const uint64_t *edition = g_hash_table_lookup(store->editions, &ino);
  return edition != NULL ? *edition : 0;
}

static void begin_edition(Store *store, uint64_t ino) {
  uint64_t edition = store_edition(store, ino) + 1;
  g_hash_table_insert(store->editions, g_memdup2(&ino, sizeof ino),
                      g_memdup2(&edition, sizeof edition));
}

void store_note_body(Store *store, const Report *report) {
  Arrived arrived = {.size = report->size, .on_disk = report->on_disk};
  StoreBody *body = report->fd >= 0 ? store_body_new(report->ino, report->fd, report->size) : NULL;
  Arrived *before = g_hash_table_lookup(store->arrived, &report->ino);
  if (before != NULL && before->kept != NULL)
    store_close_body(store, store_take_kept(store, before));
  g_hash_table_insert(store->arrived, g_memdup2(&report->ino, sizeof report->ino),
                      g_memdup2(&arrived, sizeof arrived));
  Fetch *fetch = body != NULL ? take_fetch(store, report->ino) : NULL;
  if (report->is_other) begin_edition(store, report->ino);
  if (fetch != NULL && fetch->job != NULL && fetch->job->archives)
    store_hold_for_archive(store, body);
  if (fetch != NULL && fetch->tickets->len == 0 && report->on_disk) {
    store_keep(store, g_hash_table_lookup(store->arrived, &report->ino), body);
    store_free_fetch(fetch);
  } else if (fetch != NULL) {
    tell(fetch, body, NULL);
  } else if (body != NULL) {
    store_close_body(store, body);
  }
}

static void forget_arrived(Store *store, const Job *job) {
  for (unsigned i = 0; job->recorded && job->bodies != NULL && i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    Arrived *arrived = body->came ? g_hash_table_lookup(store->arrived, &body->ino) : NULL;
    if (arrived == NULL) continue;
    arrived->recorded = true;
    store_forget_recorded(store, arrived, body->ino);
  }
}

static void tell_refused(Fetch *fetch) {
  g_autoptr(GError) verdict = g_error_new_literal(
      NET_ERROR, NET_ERROR_REFUSED, "the server lists this message but does not give it");
  remember_unfetchable(fetch->store, fetch->ino);
  take_fetch(fetch->store, fetch->ino);
  tell(fetch, NULL, verdict);
}

// The server gave nothing for this message: whether it is gone, the folder's listing tells now.
static void judge_missing(const GError *error, gpointer data) {
  Fetch *fetch = data;
  Store *store = fetch->store;
  Inode inode;
  bool gone = index_get(store_index(store), fetch->ino, &inode) == INDEX_FOUND && inode.gone;
  if (!gone && error == NULL) {
    tell_refused(fetch);
    return;
  }
  g_autoptr(GError) verdict = g_error_new(NET_ERROR, NET_ERROR_GONE, "the message was removed");
  take_fetch(store, fetch->ino);
  tell(fetch, NULL, gone ? verdict : error);
}

static bool is_put_off(Fetch *fetch, const Job *job) {
  Store *store = fetch->store;
  int64_t now_us = g_get_monotonic_time();
  if (!g_error_matches(job->error, NET_ERROR, NET_ERROR_BUSY)) return false;
  if (fetch->attempts == 0) fetch->give_up_us = now_us + (int64_t)store->timeout_ms * 1000;
  unsigned wait_ms = store_note_busy(store, job->error, fetch->attempts);
  if (now_us + (int64_t)wait_ms * 1000 > fetch->give_up_us) return false;
  fetch->attempts++;
  fetch->job = NULL;
  fetch->retry = store_call_in(store, wait_ms, try_again, fetch);
  return true;
}

static bool is_missing(const Job *job) {
  return job->connected &&
         (job->error == NULL || g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE) ||
          g_error_matches(job->error, NET_ERROR, NET_ERROR_REFUSED));
}

// Where the server has no UIDs, what it does not give of its own listing of the moment cannot be
// had: another listing would cost a login.
static bool is_withheld(const Fetch *fetch, const Job *job) {
  if (fetch->store->traits->has_uids || job->bodies == NULL) return false;
  for (unsigned i = 0; i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (body->ino == fetch->ino) return body->withheld;
  }
  return false;
}

// That it was removed the job itself found out, or somebody meanwhile.
static bool is_known_gone(const Fetch *fetch, const Job *job) {
  Inode inode;
  return g_error_matches(job->error, NET_ERROR, NET_ERROR_GONE) &&
         index_get(store_index(fetch->store), fetch->ino, &inode) == INDEX_FOUND && inode.gone;
}

// The job ended without this message's body.
static void end_without(Fetch *fetch, const Job *job) {
  Store *store = fetch->store;
  fetch->job = NULL;
  if (fetch->tickets->len == 0) {
    uint64_t ino = fetch->ino;
    g_hash_table_remove(store->fetches, &ino);
  } else if (job->error == NULL && is_withheld(fetch, job)) {
    tell_refused(fetch);
  } else if (job->priority == JOB_AHEAD && job->error == NULL) {
    start(fetch);  // for itself, with all care
  } else if (is_missing(job) && !is_known_gone(fetch, job)) {
    store_sync(store, fetch->folder, judge_missing, fetch);
  } else if (!is_put_off(fetch, job)) {
    take_fetch(store, fetch->ino);
    tell(fetch, NULL, job->error);
  }
}

static void end_one(Store *store, const Job *job, uint64_t ino) {
  Fetch *fetch = g_hash_table_lookup(store->fetches, &ino);
  if (fetch != NULL && fetch->job == job) end_without(fetch, job);
}

void store_end_bodies(Store *store, Job *job) {
  store_tell_changes(store, job->changes);
  forget_arrived(store, job);
  if (job->kind == JOB_LARGE && job->error == NULL && job->writer != NULL) {
    Fetch *fetch = take_fetch(store, job->ino);
    // Whether all of it is as it was is known at the end at best.
    if (job->was_exact) begin_edition(store, job->ino);
    StoreBody *body = store_large_open(store, job);
    if (fetch != NULL)
      tell(fetch, body, NULL);
    else
      store_close_body(store, body);
    return;
  }
  if (job->bodies == NULL || job->bodies->len == 0) end_one(store, job, job->ino);
  for (unsigned i = 0; job->bodies != NULL && i < job->bodies->len; i++) {
    const JobBody *body = &g_array_index(job->bodies, JobBody, i);
    if (job->archives && body->withheld) remember_unfetchable(store, body->ino);
    end_one(store, job, body->ino);
  }
  if (job->archives) store_end_archive_fetch(store, job->error);
}
