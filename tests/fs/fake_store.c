#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/fake.h"

typedef struct {
  Inode inode;
  char *name;
  char *body;  // NULL: cannot be had
  char *path;  // where it is, NULL: in memory
  bool here;   // on disk
  StoreListing listing;
} Node;

struct Store {
  GMainContext *context;
  GTree *nodes;        // by ino
  GHashTable *names;   // "PARENT/NAME" -> Node
  GPtrArray *tickets;  // under way
  uint64_t next_ino;
  int outcome;
  unsigned busy;
  uint64_t used, limit;
  unsigned cancelled;
  StoreListener listener;
  gpointer listener_data;
  pthread_mutex_t mutex;
  pthread_cond_t asked_more;
  unsigned asked;  // under the mutex
};

struct StoreTicket {
  Store *store;
  uint64_t ino;
  StoreDone done;
  StoreFetched fetched;
  gpointer data;
  GSource *idle;
};

static void node_free(gpointer data) {
  Node *node = data;
  g_free(node->name);
  g_free(node->body);
  g_free(node->path);
  g_free(node);
}

static int compare(gconstpointer a, gconstpointer b, gpointer data) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static char *key_of(uint64_t parent, const char *name) {
  return g_strdup_printf("%" G_GUINT64_FORMAT "/%s", parent, name);
}

static Node *add(Store *store, uint64_t ino, uint64_t parent, InodeKind kind, const char *name) {
  Node *node = g_new0(Node, 1);
  node->name = g_strdup(name);
  node->inode = (Inode){
      .ino = ino,
      .parent = parent,
      .kind = kind,
      .name = node->name,
      .mtime_ns = 1700000000123456789,
      .ctime_ns = 1700000001000000001,
      .listed = true,
  };
  g_tree_insert(store->nodes, &node->inode.ino, node);
  g_hash_table_insert(store->names, key_of(parent, name), node);
  return node;
}

Store *fake_store_new(GMainContext *context) {
  Store *store = g_new0(Store, 1);
  store->context = context;
  store->nodes = g_tree_new_full(compare, NULL, NULL, node_free);
  store->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  store->tickets = g_ptr_array_new();
  store->next_ino = 1000;
  store->outcome = FAKE_SUCCEED;
  pthread_mutex_init(&store->mutex, NULL);
  pthread_cond_init(&store->asked_more, NULL);
  add(store, INODE_ROOT, INODE_ROOT, INODE_FOLDER, "");
  return store;
}

void fake_store_free(Store *store) {
  while (store->tickets->len > 0)
    store_cancel(store->tickets->pdata[0]);
  g_ptr_array_unref(store->tickets);
  g_hash_table_unref(store->names);
  g_tree_unref(store->nodes);
  pthread_mutex_destroy(&store->mutex);
  pthread_cond_destroy(&store->asked_more);
  g_free(store);
}

static Node *find(Store *store, uint64_t ino) {
  return g_tree_lookup(store->nodes, &ino);
}

uint64_t fake_add_folder(Store *store, uint64_t parent, const char *name) {
  find(store, parent)->inode.subfolders++;
  return add(store, store->next_ino++, parent, INODE_FOLDER, name)->inode.ino;
}

uint64_t fake_add_message(Store *store, uint64_t parent, const char *name, const char *body,
                          uint64_t announced) {
  Node *node = add(store, store->next_ino++, parent, INODE_MESSAGE, name);
  node->inode.size = announced;
  node->body = g_strdup(body);
  return node->inode.ino;
}

void fake_put_body(Store *store, uint64_t ino, const char *path) {
  Node *node = find(store, ino);
  node->path = g_strdup(path);
  node->here = true;
}

void fake_add_many(Store *store, uint64_t parent, unsigned from, unsigned to) {
  for (unsigned i = from; i < to; i++) {
    char name[32];
    snprintf(name, sizeof name, "%06u.eml", i);
    fake_add_message(store, parent, name, "", 1);
  }
}

void fake_tell_changed(Store *store, uint64_t folder) {
  find(store, folder)->inode.mtime_ns++;
  if (store->listener.changed != NULL) store->listener.changed(folder, store->listener_data);
}

void fake_remove(Store *store, uint64_t ino) {
  Node *node = find(store, ino);
  uint64_t parent = node->inode.parent;
  g_autofree char *key = key_of(parent, node->name);
  node->inode.gone = true;
  g_hash_table_remove(store->names, key);
  find(store, parent)->inode.mtime_ns++;
  if (store->listener.removed == NULL) return;
  store->listener.removed(parent, ino, node->name, store->listener_data);
  store->listener.changed(parent, store->listener_data);
}

void fake_set_listing(Store *store, uint64_t folder, StoreListing listing) {
  find(store, folder)->listing = listing;
}

void fake_set_outcome(Store *store, int outcome) {
  store->outcome = outcome;
}

void fake_be_busy(Store *store, unsigned count) {
  store->busy = count;
}

void fake_set_usage(Store *store, uint64_t used, uint64_t limit) {
  store->used = used;
  store->limit = limit;
}

void fake_wait_asked(Store *store, unsigned count) {
  pthread_mutex_lock(&store->mutex);
  while (store->asked < count)
    pthread_cond_wait(&store->asked_more, &store->mutex);
  pthread_mutex_unlock(&store->mutex);
}

unsigned fake_count_cancelled(Store *store) {
  return store->cancelled;
}

static bool is_busy(Store *store) {
  if (store->busy == 0) return false;
  store->busy--;
  return true;
}

// ---- What the file system calls.

void store_set_listener(Store *store, const StoreListener *listener, gpointer data) {
  store->listener = *listener;
  store->listener_data = data;
}

StoreAnswer store_get(Store *store, uint64_t ino, Inode *inode) {
  if (is_busy(store)) return STORE_LATER;
  Node *node = find(store, ino);
  if (node == NULL) return STORE_ABSENT;
  *inode = node->inode;
  return STORE_FOUND;
}

StoreAnswer store_lookup(Store *store, uint64_t parent, const char *name, Inode *inode) {
  if (is_busy(store)) return STORE_LATER;
  g_autofree char *key = key_of(parent, name);
  Node *node = g_hash_table_lookup(store->names, key);
  if (node == NULL) return STORE_ABSENT;
  *inode = node->inode;
  return STORE_FOUND;
}

StoreAnswer store_children(Store *store, uint64_t folder, uint64_t after, StoreEach each,
                           gpointer data) {
  if (is_busy(store)) return STORE_LATER;
  for (GTreeNode *at = g_tree_upper_bound(store->nodes, &after); at != NULL;
       at = g_tree_node_next(at)) {
    Node *node = g_tree_node_value(at);
    if (node->inode.parent != folder || node->inode.gone) continue;
    if (!each(&node->inode, data)) break;
  }
  return STORE_FOUND;
}

char *fake_long_text(void) {
  GString *text = g_string_new("x");
  while (text->len <= 1 << 17)
    g_string_append(text, "\u00e9");
  return g_string_free(text, FALSE);
}

StoreAnswer store_detail(Store *store, uint64_t ino, StoreDetail detail, char **text) {
  *text = NULL;
  if (detail == STORE_UID) *text = g_strdup("4711");
  if (detail == STORE_FROM) *text = g_strdup("Alice <alice@example.org>");
  if (detail == STORE_DATE) *text = fake_long_text();
  return STORE_FOUND;
}

StoreListing store_listing(Store *store, uint64_t folder) {
  return find(store, folder)->listing;
}

int store_body(Store *store, uint64_t ino) {
  Node *node = find(store, ino);
  if (!node->here) return -1;
  if (node->path != NULL) return open(node->path, O_RDONLY | O_CLOEXEC);
  int fd = memfd_create("body", MFD_CLOEXEC);
  g_assert_cmpint(pwrite(fd, node->body, strlen(node->body), 0), ==, (ssize_t)strlen(node->body));
  return fd;
}

void store_close_body(Store *store, int fd) {
  close(fd);
}

void store_usage(Store *store, uint64_t *used, uint64_t *limit, uint64_t *messages) {
  *used = store->used;
  *limit = store->limit;
  *messages = g_hash_table_size(store->names);
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
static bool arrive(Node *node) {
  uint64_t size = strlen(node->body);
  bool resized = node->inode.size != size;
  node->inode.size = size;
  node->inode.size_exact = true;
  node->here = true;
  return resized;
}

static void end_ticket(StoreTicket *ticket, const GError *error) {
  Node *node = find(ticket->store, ticket->ino);
  g_autoptr(GError) gone = NULL;
  if (ticket->done != NULL) {
    if (error == NULL) node->listing = STORE_FRESH;
    ticket->done(error, ticket->data);
  } else {
    if (error == NULL && node->body == NULL)
      error = gone = g_error_new(NET_ERROR, NET_ERROR_GONE, "no such message");
    bool resized = error == NULL && arrive(node);
    ticket->fetched(error == NULL ? store_body(ticket->store, ticket->ino) : -1, node->inode.size,
                    resized, error, ticket->data);
  }
}

static gboolean on_idle(gpointer data) {
  StoreTicket *ticket = data;
  g_autoptr(GError) error = NULL;
  if (ticket->store->outcome >= 0)
    error = g_error_new(NET_ERROR, ticket->store->outcome, "as the test says");
  end_ticket(ticket, error);
  ticket_free(ticket);
  return G_SOURCE_CONTINUE;
}

void fake_go_on(Store *store) {
  GTreeNode *at = g_tree_node_first(store->nodes);
  store->outcome = FAKE_SUCCEED;
  for (unsigned i = 0; i < store->tickets->len; i++)
    g_source_attach(((StoreTicket *)store->tickets->pdata[i])->idle, store->context);
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
      .done = done,
      .fetched = fetched,
      .data = data,
      .idle = g_idle_source_new(),
  };
  g_source_set_callback(ticket->idle, on_idle, ticket, NULL);
  if (store->outcome != FAKE_WAIT) g_source_attach(ticket->idle, store->context);
  g_ptr_array_add(store->tickets, ticket);
  pthread_mutex_lock(&store->mutex);
  store->asked++;
  pthread_cond_broadcast(&store->asked_more);
  pthread_mutex_unlock(&store->mutex);
  return ticket;
}

StoreTicket *store_sync(Store *store, uint64_t folder, StoreDone done, gpointer data) {
  return ask(store, folder, done, NULL, data);
}

StoreTicket *store_fetch(Store *store, uint64_t ino, StoreFetched done, gpointer data) {
  return ask(store, ino, NULL, done, data);
}
