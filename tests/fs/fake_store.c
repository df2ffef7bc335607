#include "tests/fs/fake_node.h"

#include <stdio.h>
#include <string.h>

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
  node->arrived = UINT64_MAX;
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
  store->bodies = g_ptr_array_new();
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
  while (store->bodies->len > 0)
    store_close_body(store, store->bodies->pdata[0]);
  g_ptr_array_unref(store->tickets);
  g_ptr_array_unref(store->bodies);
  g_hash_table_unref(store->names);
  g_tree_unref(store->nodes);
  pthread_mutex_destroy(&store->mutex);
  pthread_cond_destroy(&store->asked_more);
  g_free(store);
}

Node *fake_find(Store *store, uint64_t ino) {
  return g_tree_lookup(store->nodes, &ino);
}

uint64_t fake_add_folder(Store *store, uint64_t parent, const char *name) {
  fake_find(store, parent)->inode.subfolders++;
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
  Node *node = fake_find(store, ino);
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
  fake_find(store, folder)->inode.mtime_ns++;
  if (store->listener.changed != NULL) store->listener.changed(folder, false, store->listener_data);
}

void fake_tell_added(Store *store, uint64_t ino) {
  const Inode *inode = &fake_find(store, ino)->inode;
  if (store->listener.added == NULL) return;
  store->listener.added(inode->parent, ino, inode->name, store->listener_data);
}

void fake_take_out(Store *store, Node *node) {
  g_autofree char *key = key_of(node->inode.parent, node->name);
  node->inode.gone = true;
  g_hash_table_remove(store->names, key);
}

void fake_tell_removed(Store *store, uint64_t ino, bool forget) {
  Node *node = fake_find(store, ino);
  uint64_t parent = node->inode.parent;
  g_autofree char *name = g_strdup(node->name);
  fake_take_out(store, node);
  if (forget) g_tree_remove(store->nodes, &ino);
  if (store->listener.removed == NULL) return;
  store->listener.removed(parent, ino, name, store->listener_data);
}

void fake_remove(Store *store, uint64_t ino) {
  uint64_t parent = fake_find(store, ino)->inode.parent;
  fake_tell_removed(store, ino, false);
  fake_tell_changed(store, parent);
}

void fake_set_listing(Store *store, uint64_t folder, StoreListing listing) {
  fake_find(store, folder)->listing = listing;
}

void fake_set_outcome(Store *store, int outcome) {
  store->outcome = outcome;
}

void fake_be_busy(Store *store, unsigned count) {
  store->busy = count;
}

void fake_set_removal(Store *store, StoreRemoval removal) {
  store->removal = removal;
}

StoreRemoval store_removal(Store *store) {
  return store->removal;
}

void fake_set_usage(Store *store, uint64_t used, uint64_t limit) {
  store->used = used;
  store->limit = limit;
}

unsigned fake_count_cancelled(Store *store) {
  return store->cancelled;
}

unsigned fake_count_lookups(Store *store) {
  return store->lookups;
}

unsigned fake_count_open(Store *store) {
  return store->bodies->len;
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
  Node *node = fake_find(store, ino);
  if (node == NULL) return STORE_ABSENT;
  *inode = node->inode;
  return STORE_FOUND;
}

StoreAnswer store_lookup(Store *store, uint64_t parent, const char *name, Inode *inode) {
  store->lookups++;
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
  return fake_find(store, folder)->listing;
}

void store_usage(Store *store, uint64_t *used, uint64_t *limit, uint64_t *messages) {
  *used = store->used;
  *limit = store->limit;
  *messages = g_hash_table_size(store->names);
}
