#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/fake_node.h"

struct StoreTicket {
  Store *store;
  uint64_t ino;
  int outcome;  // FAKE_WAIT: the store's
  bool removes;
  uint64_t until;  // wants the bytes before this one; 0: no such wish
  StoreDone done;
  StoreFetched fetched;
  gpointer data;
  GSource *idle;
};

// What has arrived; the rest is a hole.
static void write_body(StoreBody *body) {
  const Node *node = body->node;
  if (node->path != NULL) return;
  size_t size = strlen(node->body), count = MIN(size, node->arrived);
  g_assert_cmpint(ftruncate(body->fd, (off_t)size), ==, 0);
  g_assert_cmpint(pwrite(body->fd, node->body, count, 0), ==, (ssize_t)count);
}

static StoreBody *open_body(Store *store, Node *node) {
  StoreBody *body = g_new0(StoreBody, 1);
  body->node = node;
  body->size = node->inode.size;
  if (node->path != NULL)
    body->fd = open(node->path, O_RDONLY | O_CLOEXEC);
  else
    body->fd = memfd_create("body", MFD_CLOEXEC);
  write_body(body);
  g_ptr_array_add(store->bodies, body);
  return body;
}

StoreBody *store_body(Store *store, uint64_t ino) {
  Node *node = fake_find(store, ino);
  if (node == NULL) return NULL;
  return node->here && node->arrived >= node->inode.size ? open_body(store, node) : NULL;
}

void store_close_body(Store *store, StoreBody *body) {
  g_ptr_array_remove_fast(store->bodies, body);
  close(body->fd);
  g_free(body);
}

int store_body_fd(const StoreBody *body) {
  return body->fd;
}

bool store_body_is_whole(const StoreBody *body) {
  return store_body_is_ready(body, 0, store_body_size(body));
}

uint64_t store_body_size(const StoreBody *body) {
  return body->size;
}

bool store_body_is_ready(const StoreBody *body, uint64_t offset, uint64_t size) {
  return MIN(offset + size, body->size) <= body->node->arrived;
}

static void ticket_free(StoreTicket *ticket) {
  g_ptr_array_remove(ticket->store->tickets, ticket);
  g_source_destroy(ticket->idle);
  g_source_unref(ticket->idle);
  g_free(ticket);
}

void store_cancel(StoreTicket *ticket) {
  ticket->store->cancelled++;
  ticket_free(ticket);
}

// The body becomes known; where nobody waits any more, too.
static void arrive(Node *node) {
  node->inode.size = strlen(node->body);
  node->inode.size_exact = true;
  node->here = true;
}

void fake_change_body(Store *store, uint64_t ino, const char *body) {
  Node *node = fake_find(store, ino);
  g_free(node->body);
  node->body = g_strdup(body);
  node->edition++;
  arrive(node);
}

uint64_t store_edition(Store *store, uint64_t ino) {
  return fake_find(store, ino)->edition;
}

static void end_ticket(StoreTicket *ticket, const GError *error) {
  Node *node = fake_find(ticket->store, ticket->ino);
  g_autoptr(GError) gone = NULL;
  if (ticket->removes) {
    if (error == NULL) fake_take_out(ticket->store, node);
    if (error == NULL) fake_tell_changed(ticket->store, node->inode.parent);
    ticket->done(error, ticket->data);
  } else if (ticket->done != NULL) {
    if (error == NULL && ticket->until == 0) node->listing = STORE_FRESH;
    ticket->done(error, ticket->data);
  } else {
    if (error == NULL && (node == NULL || node->body == NULL))
      error = gone = g_error_new(NET_ERROR, NET_ERROR_GONE, "no such message");
    if (error == NULL) arrive(node);
    ticket->fetched(error == NULL ? open_body(ticket->store, node) : NULL, error, ticket->data);
  }
}

static gboolean on_idle(gpointer data) {
  StoreTicket *ticket = data;
  g_autoptr(GError) error = NULL;
  int outcome = ticket->outcome != FAKE_WAIT ? ticket->outcome : ticket->store->outcome;
  if (outcome >= 0) error = g_error_new(NET_ERROR, outcome, "as the test says");
  end_ticket(ticket, error);
  ticket_free(ticket);
  return G_SOURCE_CONTINUE;
}

void fake_let_arrive(Store *store, uint64_t ino, uint64_t arrived) {
  Node *node = fake_find(store, ino);
  node->arrived = arrived;
  for (unsigned i = 0; i < store->bodies->len; i++)
    if (((StoreBody *)store->bodies->pdata[i])->node == node) write_body(store->bodies->pdata[i]);
  for (unsigned i = 0; i < store->tickets->len; i++) {
    StoreTicket *ticket = store->tickets->pdata[i];
    if (ticket->ino == ino && ticket->until > 0 && ticket->until <= arrived)
      g_source_attach(ticket->idle, store->context);
  }
}

void fake_fail_wants(Store *store, unsigned count, int code) {
  store->fail_wants = count;
  store->fail_code = code;
}

void fake_wait_asked(Store *store, unsigned count) {
  pthread_mutex_lock(&store->mutex);
  while (store->asked < count)
    pthread_cond_wait(&store->asked_more, &store->mutex);
  pthread_mutex_unlock(&store->mutex);
}

void fake_go_on(Store *store) {
  GTreeNode *at = g_tree_node_first(store->nodes);
  store->outcome = FAKE_SUCCEED;
  for (unsigned i = 0; i < store->tickets->len; i++) {
    StoreTicket *ticket = store->tickets->pdata[i];
    if (ticket->until == 0) g_source_attach(ticket->idle, store->context);
  }
  for (; store->tickets->len == 0 && at != NULL; at = g_tree_node_next(at)) {
    Node *node = g_tree_node_value(at);
    if (node->body != NULL) arrive(node);
  }
}

static StoreTicket *ask(Store *store, uint64_t ino, StoreDone done, StoreFetched fetched,
                        gpointer data) {
  StoreTicket *ticket = g_new0(StoreTicket, 1);
  *ticket = (StoreTicket){
      .store = store,
      .ino = ino,
      .outcome = FAKE_WAIT,
      .done = done,
      .fetched = fetched,
      .data = data,
      .idle = g_idle_source_new(),
  };
  g_source_set_callback(ticket->idle, on_idle, ticket, NULL);
  g_ptr_array_add(store->tickets, ticket);
  pthread_mutex_lock(&store->mutex);
  store->asked++;
  pthread_cond_broadcast(&store->asked_more);
  pthread_mutex_unlock(&store->mutex);
  return ticket;
}

static StoreTicket *begin(StoreTicket *ticket) {
  if (ticket->store->outcome != FAKE_WAIT) g_source_attach(ticket->idle, ticket->store->context);
  return ticket;
}

StoreTicket *store_sync(Store *store, uint64_t folder, StoreDone done, gpointer data) {
  return begin(ask(store, folder, done, NULL, data));
}

int64_t store_progress_us(Store *store) {
  return store->progress_us;
}

void fake_note_progress(Store *store) {
  store->progress_us = g_get_monotonic_time();
}

StoreTicket *store_fetch(Store *store, uint64_t ino, StoreFetched done, gpointer data) {
  return begin(ask(store, ino, NULL, done, data));
}

StoreTicket *store_remove(Store *store, uint64_t ino, StoreDone done, gpointer data) {
  StoreTicket *ticket = ask(store, ino, done, NULL, data);
  ticket->removes = true;
  return begin(ticket);
}

StoreTicket *store_want(Store *store, StoreBody *body, uint64_t offset, uint64_t size,
                        StoreDone done, gpointer data) {
  StoreTicket *ticket = ask(store, body->node->inode.ino, done, NULL, data);
  ticket->until = MIN(offset + size, store_body_size(body));
  if (store->fail_wants > 0) {
    store->fail_wants--;
    ticket->outcome = store->fail_code;
  }
  bool fails = ticket->outcome != FAKE_WAIT || store->outcome >= 0;
  if (fails || store_body_is_ready(body, offset, size))
    g_source_attach(ticket->idle, store->context);
  return ticket;
}
