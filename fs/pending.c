#include "fs/pending.h"

#include <errno.h>
#include <unistd.h>

#include "fs/interrupt.h"
#include "net/error.h"

// How soon a busy index is asked again, and an interrupted caller looked at again.
#define RETRY_MS 5
#define LOOK_MS 100

struct Pendings {
  Store *store;
  GMainContext *context;
  GHashTable *all;  // set of Pending, owned
  bool closed;
};

typedef struct {
  Pendings *owner;
  Request request;
  char *name;
  StoreTicket *ticket;   // NULL: waits for the index, or the store is done
  RequestAnswer answer;  // exactly one of these two
  RequestResume resume;
  GSource *timer;
  int64_t deadline_us, try_us, look_us;  // INT64_MAX: never
  bool waits_for_bytes;                  // each that comes moves the deadline
  unsigned wait_ms;
} Pending;

static void pending_free(gpointer data) {
  Pending *pending = data;
  if (pending->ticket != NULL) store_cancel(pending->ticket);
  g_source_destroy(pending->timer);
  g_source_unref(pending->timer);
  g_free(pending->name);
  g_free(pending);
}

Pendings *pendings_new(Store *store, GMainContext *context) {
  Pendings *pendings = g_new0(Pendings, 1);
  pendings->store = store;
  pendings->context = context;
  pendings->all = g_hash_table_new_full(NULL, NULL, pending_free, NULL);
  return pendings;
}

void pendings_close(Pendings *pendings) {
  GHashTableIter iter;
  gpointer pending;
  pendings->closed = true;
  g_hash_table_iter_init(&iter, pendings->all);
  while (g_hash_table_iter_next(&iter, &pending, NULL))
    fuse_reply_err(((Pending *)pending)->request.req, EHOSTUNREACH);
  g_hash_table_remove_all(pendings->all);
}

void pendings_free(Pendings *pendings) {
  if (pendings == NULL) return;
  g_hash_table_unref(pendings->all);
  g_free(pendings);
}

static void set_timer(Pending *pending) {
  int64_t first = MIN(pending->deadline_us, MIN(pending->try_us, pending->look_us));
  g_source_set_ready_time(pending->timer, first);
}

// Called by libfuse on our thread, but inside locks of its own: only a mark for the timer.
static void interrupted(fuse_req_t req, void *data) {
  Pending *pending = data;
  pending->look_us = 0;
  set_timer(pending);
}

static void finish(Pending *pending, const PendingResult *result) {
  pending->ticket = NULL;
  pending->resume(&pending->request, result);
  g_hash_table_remove(pending->owner->all, pending);
}

static void expire(Pending *pending) {
  if (pending->answer != NULL) {
    fuse_reply_err(pending->request.req, EIO);
    g_hash_table_remove(pending->owner->all, pending);
    return;
  }
  g_autoptr(GError) error =
      g_error_new(NET_ERROR, NET_ERROR_TIMEOUT, "no answer within %u ms", pending->wait_ms);
  store_cancel(pending->ticket);
  finish(pending, &(PendingResult){.error = error});
}

static bool is_put_off(Pending *pending, int64_t now) {
  if (!pending->waits_for_bytes) return false;
  int64_t late_us = store_progress_us(pending->owner->store) + (int64_t)pending->wait_ms * 1000;
  if (late_us <= now) return false;
  pending->deadline_us = late_us;
  return true;
}

static void try_again(Pending *pending, int64_t now) {
  if (pending->answer(&pending->request)) {
    g_hash_table_remove(pending->owner->all, pending);
    return;
  }
  pending->try_us = now + RETRY_MS * 1000;
  set_timer(pending);
}

static gboolean tick(gpointer data) {
  Pending *pending = data;
  int64_t now = g_get_monotonic_time();
  if (pending->look_us <= now) {
    if (interrupt_is_real(fuse_req_ctx(pending->request.req)->pid)) {
      fuse_reply_err(pending->request.req, EINTR);
      g_hash_table_remove(pending->owner->all, pending);
      return G_SOURCE_CONTINUE;
    }
    pending->look_us = now + LOOK_MS * 1000;
  }
  if (pending->deadline_us <= now && !is_put_off(pending, now))
    expire(pending);
  else if (pending->try_us <= now)
    try_again(pending, now);
  else
    set_timer(pending);
  return G_SOURCE_CONTINUE;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data) {
  return callback(data);
}

static GSourceFuncs timer_funcs = {.dispatch = dispatch};

static Pending *pending_new(Pendings *pendings, const Request *request, unsigned wait_ms) {
  Pending *pending = g_new0(Pending, 1);
  pending->owner = pendings;
  pending->request = *request;
  pending->request.name = pending->name = g_strdup(request->name);
  pending->wait_ms = wait_ms;
  pending->deadline_us = g_get_monotonic_time() + (int64_t)wait_ms * 1000;
  pending->try_us = pending->look_us = INT64_MAX;
  pending->timer = g_source_new(&timer_funcs, sizeof(GSource));
  g_source_set_callback(pending->timer, tick, pending, NULL);
  g_source_attach(pending->timer, pendings->context);
  g_hash_table_add(pendings->all, pending);
  set_timer(pending);
  fuse_req_interrupt_func(request->req, interrupted, pending);
  return pending;
}

void pending_answer(Pendings *pendings, const Request *request, RequestAnswer answer,
                    unsigned wait_ms) {
  Request now = *request;
  if (answer(&now)) return;
  if (pendings->closed) {
    fuse_reply_err(request->req, EHOSTUNREACH);
    return;
  }
  Pending *pending = pending_new(pendings, request, wait_ms);
  pending->answer = answer;
  pending->try_us = g_get_monotonic_time() + RETRY_MS * 1000;
  set_timer(pending);
}

static void on_done(const GError *error, gpointer data) {
  finish(data, &(PendingResult){.error = error});
}

static void on_fetched(StoreBody *body, const GError *error, gpointer data) {
  finish(data, &(PendingResult){.error = error, .body = body});
}

// NULL: the mount ends, replied.
static Pending *wait_for_store(Pendings *pendings, const Request *request, unsigned wait_ms,
                               RequestResume resume) {
  if (pendings->closed) {
    fuse_reply_err(request->req, EHOSTUNREACH);
    return NULL;
  }
  Pending *pending = pending_new(pendings, request, wait_ms);
  pending->resume = resume;
  return pending;
}

void pending_sync(Pendings *pendings, const Request *request, uint64_t folder, unsigned wait_ms,
                  RequestResume resume) {
  Pending *pending = wait_for_store(pendings, request, wait_ms, resume);
  if (pending != NULL) pending->ticket = store_sync(pendings->store, folder, on_done, pending);
}

void pending_fetch(Pendings *pendings, const Request *request, unsigned wait_ms,
                   RequestResume resume) {
  Pending *pending = wait_for_store(pendings, request, wait_ms, resume);
  if (pending == NULL) return;
  pending->waits_for_bytes = true;
  pending->ticket = store_fetch(pendings->store, request->ino, on_fetched, pending);
}

void pending_remove(Pendings *pendings, const Request *request, uint64_t ino, unsigned wait_ms,
                    RequestResume resume) {
  Pending *pending = wait_for_store(pendings, request, wait_ms, resume);
  if (pending != NULL) pending->ticket = store_remove(pendings->store, ino, on_done, pending);
}

void pending_want(Pendings *pendings, const Request *request, StoreBody *body, unsigned wait_ms,
                  RequestResume resume) {
  Pending *pending = wait_for_store(pendings, request, wait_ms, resume);
  if (pending == NULL) return;
  pending->waits_for_bytes = true;
  pending->ticket =
      store_want(pendings->store, body, (uint64_t)request->offset, request->size, on_done, pending);
}
