// A store's life, and reading the tree.

#include "cache/store.h"

#include <glib/gstdio.h>

#include "cache/store_private.h"

static void free_job(gpointer job) {
  job_free(job);
}

static bool rebuild(Store *store, const char *owner, const GError *reason, GError **error) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  g_message("%s: %s; the cache is built anew", store->index_path, reason->message);
  for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
    g_autofree char *path = g_strconcat(store->index_path, suffixes[i], NULL);
    g_unlink(path);
  }
  return body_store_clear(store->bodies, error) && index_create(store->index_path, owner, error);
}

static bool create_index(Store *store, const char *owner, GError **error) {
  g_autoptr(GError) reason = NULL;
  if (index_create(store->index_path, owner, &reason)) return true;
  if (g_error_matches(reason, INDEX_ERROR, INDEX_ERROR_CORRUPT))
    return rebuild(store, owner, reason, error);
  g_propagate_error(error, g_steal_pointer(&reason));
  return false;
}

static void forget_body(uint64_t ino, gpointer bodies) {
  body_remove(bodies, ino);
}

static bool purge(Store *store, GError **error) {
  g_autoptr(Index) index = index_open(store->index_path, INDEX_WRITE, error);
  if (index == NULL) return false;
  g_autoptr(GError) full = NULL;
  bool purged = index_begin(index, &full) &&
                index_purge(index, forget_body, store->bodies, &full) && index_commit(index, &full);
  if (!purged) g_message("%s; the cache is used as it is", full->message);
  return true;
}

static bool open_cache(Store *store, const StoreOptions *options, GError **error) {
  const Account *account = options->account;
  g_autofree char *owner =
      g_strdup_printf("%s@%s", account->user != NULL ? account->user : "", account->host);
  if ((store->bodies = body_store_new(store->directory, error)) == NULL ||
      !create_index(store, owner, error) || !purge(store, error)) {
    return false;
  }
  store->index = index_open(store->index_path, INDEX_READ, error);
  if (store->index != NULL && options->uid_names) index_use_uid_names(store->index);
  return store->index != NULL;
}

static guint hash_ino(gconstpointer ino) {
  return g_int64_hash(ino);
}

static GHashTable *table_by_ino(GDestroyNotify free_value) {
  return g_hash_table_new_full(hash_ino, g_int64_equal, g_free, free_value);
}

Store *store_open(const StoreOptions *options, GMainContext *context, GError **error) {
  g_autoptr(Store) store = g_new0(Store, 1);
  store->directory = g_strdup(options->directory);
  store->index_path = g_build_filename(options->directory, "index.db", NULL);
  store->reserved = g_strdup(options->reserved);
  store->folders = g_strdupv((char **)options->folders);
  store->refresh_s = options->refresh_s;
  store->n_sessions = MAX(options->connections, 1);
  store->syncs = table_by_ino(store_free_work);
  store->fetches = table_by_ino(store_free_work);
  store->sizes = table_by_ino(g_free);
  store->unfetchable = table_by_ino(g_free);
  if (!open_cache(store, options, error)) return NULL;
  store->board = job_board_new(store->n_sessions);
  store->results = post_new(context, store_take_result, store, free_job);
  store->context = (SessionContext){
      .account = options->account,
      .open_mailbox = options->open_mailbox != NULL ? options->open_mailbox : mailbox_open,
      .index_path = store->index_path,
      .uid_names = options->uid_names,
      .sync = {.folders = (const char *const *)store->folders, .reserved = store->reserved},
      .bodies = store->bodies,
      .board = store->board,
      .results = store->results,
  };
  return g_steal_pointer(&store);
}

void store_start(Store *store, StoreDone ready, gpointer data) {
  store->sessions = g_new0(Session *, store->n_sessions);
  for (unsigned i = 0; i < store->n_sessions; i++)
    store->sessions[i] = session_new(&store->context, i);
  store_sync(store, INODE_ROOT, ready, data);
}

static void end_sessions(Store *store) {
  // In this order: a session that waits for jobs is told to end after the cancel, so that it can
  // still say goodbye.
  for (unsigned i = 0; store->sessions != NULL && i < store->n_sessions; i++)
    session_cancel(store->sessions[i]);
  if (store->board != NULL) job_board_close(store->board);
  for (unsigned i = 0; store->sessions != NULL && i < store->n_sessions; i++)
    session_free(store->sessions[i]);
  g_free(store->sessions);
}

void store_free(Store *store) {
  if (store == NULL) return;
  end_sessions(store);
  g_clear_pointer(&store->results, post_free);
  job_board_free(store->board);
  index_free(store->index);
  body_store_free(store->bodies);
  g_hash_table_destroy(store->syncs);
  g_hash_table_destroy(store->fetches);
  g_hash_table_destroy(store->sizes);
  g_hash_table_destroy(store->unfetchable);
  g_clear_error(&store->problem);
  g_strfreev(store->folders);
  g_free(store->reserved);
  g_free(store->index_path);
  g_free(store->directory);
  g_free(store);
}

void store_set_listener(Store *store, const StoreListener *listener, gpointer data) {
  store->listener = *listener;
  store->listener_data = data;
}

bool store_has_tree(Store *store) {
  Inode root;
  return index_get(store->index, INODE_ROOT, &root) == INDEX_FOUND && root.listed;
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
  if (g_hash_table_size(store->sizes) == 0) return;
  const uint64_t *size = g_hash_table_lookup(store->sizes, &inode->ino);
  if (size == NULL) return;
  inode->size = *size;
  inode->size_exact = true;
}

StoreAnswer store_get(Store *store, uint64_t ino, Inode *inode) {
  IndexAnswer answer = index_get(store->index, ino, inode);
  if (answer == INDEX_FOUND) correct_size(store, inode);
  return answer_of(answer);
}

StoreAnswer store_lookup(Store *store, uint64_t parent, const char *name, Inode *inode) {
  IndexAnswer answer = index_lookup(store->index, parent, name, inode);
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
  return answer_of(index_children(store->index, folder, after, tell_child, &children));
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
  return answer_of(index_detail(store->index, ino, details[detail], text));
}

void store_usage(Store *store, uint64_t *used, uint64_t *limit, uint64_t *messages) {
  IndexUsage usage;
  index_usage(store->index, &usage);
  *used = usage.used_bytes;
  *limit = usage.limit_bytes;
  *messages = usage.messages;
}

static bool is_fresh(const Store *store, const IndexFolder *folder) {
  int64_t age_us = g_get_real_time() - folder->synced_ns / 1000;
  return age_us >= 0 && age_us < (int64_t)store->refresh_s * G_USEC_PER_SEC;
}

StoreListing store_listing(Store *store, uint64_t ino) {
  g_auto(IndexFolder) folder = {0};
  IndexAnswer answer = index_folder(store->index, ino, &folder);
  if (answer == INDEX_BUSY) return STORE_STALE;
  if (answer != INDEX_FOUND || !folder.listed) return STORE_UNLISTED;
  return is_fresh(store, &folder) ? STORE_FRESH : STORE_STALE;
}
