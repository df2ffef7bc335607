// Reading the tree, from disk.

#include "cache/store_private.h"

bool store_has_tree(Store *store) {
  Inode root;
  return index_get(store_index(store), INODE_ROOT, &root) == INDEX_FOUND && root.listed;
}

static StoreAnswer answer_of(IndexAnswer answer) {
  static const StoreAnswer answers[] = {
      [INDEX_FOUND] = STORE_FOUND,
      [INDEX_ABSENT] = STORE_ABSENT,
      [INDEX_BUSY] = STORE_LATER,
      [INDEX_FAILED] = STORE_FAILED,
  };
  return answers[answer];
}

static void correct_size(Store *store, Inode *inode) {
  if (g_hash_table_size(store->arrived) == 0) return;
  const Arrived *arrived = g_hash_table_lookup(store->arrived, &inode->ino);
  if (arrived == NULL) return;
  inode->size = arrived->size;
  inode->size_exact = true;
}

StoreAnswer store_get(Store *store, uint64_t ino, Inode *inode) {
  IndexAnswer answer = index_get(store_index(store), ino, inode);
  if (answer == INDEX_FOUND) correct_size(store, inode);
  return answer_of(answer);
}

StoreAnswer store_lookup(Store *store, uint64_t parent, const char *name, Inode *inode) {
  IndexAnswer answer = index_lookup(store_index(store), parent, name, inode);
  if (answer == INDEX_FOUND) correct_size(store, inode);
  return answer_of(answer);
}

typedef struct {
  Store *store;
  StoreEach each;
  gpointer data;
} Children;

static bool tell_child(const Inode *inode, gpointer data) {
  const Children *children = data;
  Inode corrected = *inode;
  correct_size(children->store, &corrected);
  return children->each(&corrected, children->data);
}

StoreAnswer store_children(Store *store, uint64_t folder, uint64_t after, StoreEach each,
                           gpointer data) {
  Children children = {.store = store, .each = each, .data = data};
  return answer_of(index_children(store_index(store), folder, after, tell_child, &children));
}

StoreAnswer store_detail(Store *store, uint64_t ino, StoreDetail detail, char **text) {
  static const IndexDetail details[] = {
      [STORE_UID] = INDEX_UID,
      [STORE_FLAGS] = INDEX_FLAGS,
      [STORE_FROM] = INDEX_FROM,
      [STORE_SUBJECT] = INDEX_SUBJECT,
      [STORE_DATE] = INDEX_DATE,
      [STORE_MESSAGE_ID] = INDEX_MESSAGE_ID,
      [STORE_FOLDER] = INDEX_FOLDER_NAME,
  };
  return answer_of(index_detail(store_index(store), ino, details[detail], text));
}

void store_usage(Store *store, uint64_t *used, uint64_t *limit, uint64_t *messages) {
  IndexUsage usage;
  index_usage(store_index(store), &usage);
  *used = usage.used_bytes;
  *limit = usage.limit_bytes;
  *messages = usage.messages;
}
