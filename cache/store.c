// A store's life.

#include "cache/store.h"

#include <glib/gstdio.h>

#include "cache/mime.h"
#include "cache/store_private.h"

// The most that is fetched ahead in one command, and so what a reader on the same connection may
// have to wait for: where one is kept free for readers, and where there are too few for that.
#define BATCH_BYTES ((uint64_t)2 << 20)
#define BATCH_ONLY_BYTES ((uint64_t)1 << 20)
#define BATCH_FEW_BYTES ((uint64_t)256 << 10)

// For how long reads may share one look at the index.
#define SNAPSHOT_US 5000

static void free_report(gpointer data) {
  report_free(data);
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

static bool purge(Store *store, bool uid_names, GError **error) {
  g_autoptr(Index) index = index_open(store->index_path, INDEX_WRITE, error);
  if (index == NULL) return false;
  g_autoptr(GError) full = NULL;
  bool purged =
      index_begin(index, &full) && index_purge(index, forget_body, store->bodies, &full) &&
      (!uid_names || index_order_by_uid_names(index, &full)) && index_commit(index, &full);
  if (!purged) g_message("%s; the cache is used as it is", full->message);
  return true;
}

static char *owner_of(const Account *account) {
  return g_strdup_printf("%s@%s", account->user != NULL ? account->user : "", account->host);
}

static bool open_cache(Store *store, const StoreOptions *options, GError **error) {
  g_autofree char *owner = owner_of(options->account);
  if ((store->bodies = body_store_new(store->directory, error)) == NULL) return false;
  if (create_index(store, owner, error) && purge(store, options->uid_names, error))
    store->index = index_open(store->index_path, INDEX_READ, error);
  if (store->index == NULL) g_prefix_error(error, "%s: ", store->directory);
  if (store->index != NULL && options->uid_names) index_use_uid_names(store->index);
  return store->index != NULL;
}

// Before anything is read: what users removed is hidden then, and what the archive has is there.
static bool open_keeper(Store *store, const StoreOptions *options, GError **error) {
  if (options->state_directory == NULL) return true;
  g_autofree char *owner = owner_of(options->account);
  const KeeperOptions wanted = {
      .directory = options->state_directory,
      .owner = owner,
      .keeps_forever = options->keeps_forever,
      .index_path = store->index_path,
      .reserved = options->reserved,
      .bodies = store->bodies,
      .context = store->main_context,
      .data = store,
  };
  store->keeper = keeper_new(&wanted, error);
  index_refresh(store->index);
  return store->keeper != NULL;
}

static guint hash_ino(gconstpointer ino) {
  return g_int64_hash(ino);
}

static GHashTable *table_by_ino(GDestroyNotify free_value) {
  return g_hash_table_new_full(hash_ino, g_int64_equal, g_free, free_value);
}

static void take_job(Store *store, Job *job) {
  store_note_connection(store, job);
  switch (job->kind) {
    case JOB_TREE:
    case JOB_SYNC:
      store_end_listing(store, job);
      break;
    case JOB_BODIES:
    case JOB_LARGE:
      store_end_bodies(store, job);
      break;
    case JOB_PART:
      store_end_part(store, job);
      break;
    case JOB_SEAL:
      store_end_seal(store, job);
      break;
    case JOB_CONNECT:
      break;
    case JOB_EXPUNGE:
      store_end_expunge(store, job);
      break;
    case JOB_COPY:
      store_end_copy(store, job);
      break;
  }
}

static gboolean refresh_index(gpointer data) {
  Store *store = data;
  g_source_set_ready_time(store->refresh, -1);
  index_refresh(store->index);
  return G_SOURCE_CONTINUE;
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data) {
  return callback(data);
}

static void make_refresh(Store *store) {
  static GSourceFuncs functions = {.dispatch = dispatch};
  store->refresh = g_source_new(&functions, sizeof(GSource));
  g_source_set_callback(store->refresh, refresh_index, store, NULL);
  g_source_attach(store->refresh, store->main_context);
}

Index *store_index(Store *store) {
  if (index_is_fresh(store->index))
    g_source_set_ready_time(store->refresh, g_get_monotonic_time() + SNAPSHOT_US);
  return store->index;
}

static void take_report(gpointer data, gpointer user_data) {
  g_autoptr(Report) report = data;
  Store *store = user_data;
  index_refresh(store->index);
  switch (report->kind) {
    case REPORT_JOB:
      take_job(store, report->job);
      break;
    case REPORT_BODY:
      store_note_body(store, report);
      break;
    case REPORT_PART:
      store_note_part(store, report);
      break;
    case REPORT_FOLDER:
    case REPORT_TREE:
      store_note_news(store, report);
      break;
    case REPORT_WATCH:
      store_note_watch(store, report);
      break;
    case REPORT_LOST:
      store_note_lost(store, report->error);
      break;
  }
}

void store_send_back(Store *store, Job *job, GError *error) {
  job->error = error;
  post_send(store->reports, report_new_job(job));
}

GSource *store_call_in(Store *store, int64_t delay_ms, GSourceFunc call, gpointer data) {
  GSource *source = g_timeout_source_new((guint)CLAMP(delay_ms, 0, G_MAXINT));
  g_source_set_callback(source, call, data, NULL);
  g_source_attach(source, store->main_context);
  return source;
}

StoreTicket *store_ticket_new(Store *store, TicketKind kind, gpointer owner, GPtrArray *tickets) {
  StoreTicket *ticket = g_new0(StoreTicket, 1);
  ticket->store = store;
  ticket->kind = kind;
  ticket->owner = owner;
  g_ptr_array_add(tickets, ticket);
  return ticket;
}

StoreTicket *store_ticket_next(GPtrArray *tickets) {
  return tickets->len > 0 ? g_ptr_array_steal_index(tickets, 0) : NULL;
}

void store_cancel(StoreTicket *ticket) {
  static void (*const cancel[])(StoreTicket *) = {
      [TICKET_SYNC] = store_cancel_sync,
      [TICKET_FETCH] = store_cancel_fetch,
      [TICKET_WANT] = store_cancel_want,
      [TICKET_REMOVE] = store_cancel_removal,
  };
  cancel[ticket->kind](ticket);
}

// Half of what may lie in the cache, at most, is fetched before anybody reads it.
static uint64_t ahead_max(const StoreOptions *options) {
  uint64_t most = options->cache_bytes > 0 ? options->cache_bytes / 2 : UINT64_MAX;
  return MIN(options->prefetch_bytes, most);
}

static unsigned count_sessions(const MailboxTraits *traits, unsigned connections) {
  unsigned most = traits->connections_max > 0 ? traits->connections_max : UINT_MAX;
  return CLAMP(connections, 1, most);
}

// Of the only connection the session sees to it that readers wait not too long.
static uint64_t batch_bytes(const Store *store) {
  if (store->traits->connections_max == 1) return BATCH_ONLY_BYTES;
  return store->n_sessions >= 3 ? BATCH_BYTES : BATCH_FEW_BYTES;
}

Store *store_open(const StoreOptions *options, GMainContext *context, GError **error) {
  mime_init();
  g_autoptr(Store) store = g_new0(Store, 1);
  store->directory = g_strdup(options->directory);
  store->index_path = g_build_filename(options->directory, "index.db", NULL);
  store->reserved = g_strdup(options->reserved);
  store->folders = g_strdupv((char **)options->folders);
  store->refresh_s = options->refresh_s;
  store->traits = options->traits != NULL ? options->traits : mailbox_traits(options->account);
  store->n_sessions = count_sessions(store->traits, options->connections);
  store->main_context = context;
  store->timeout_ms = options->account->timeout_ms;
  store->syncs = table_by_ino(store_free_sync);
  store->dirty = table_by_ino(NULL);
  store->lamented = table_by_ino(NULL);
  store->watched = g_new0(Watched, store->n_sessions);
  store->fetches = table_by_ino(store_free_fetch);
  store->larges = table_by_ino(store_free_large);
  store->arrived = table_by_ino(g_free);
  store->editions = table_by_ino(g_free);
  store->unfetchable = table_by_ino(g_free);
  store->removal = options->removal;
  store->keeps_forever = options->keeps_forever;
  if (!open_cache(store, options, error) || !open_keeper(store, options, error)) return NULL;
  store->batch_bytes = batch_bytes(store);
  make_refresh(store);
  store->ahead_bytes = ahead_max(options);
  store_make_readahead(store, store->ahead_bytes);
  store->board = job_board_new(store->n_sessions);
  store->reports = post_new(context, take_report, store, free_report);
  store->context = (SessionContext){
      .account = options->account,
      .open_mailbox = options->open_mailbox != NULL ? options->open_mailbox : mailbox_open,
      .traits = store->traits,
      .index_path = store->index_path,
      .uid_names = options->uid_names,
      .sync = {.folders = (const char *const *)store->folders, .reserved = store->reserved},
      .cache_bytes = options->cache_bytes,
      .bodies = store->bodies,
      .board = store->board,
      .reports = store->reports,
  };
  return g_steal_pointer(&store);
}

// The machine slept, or is somewhere else by now: its connections may be dead without knowing it.
static void renew_sessions(gpointer data) {
  Store *store = data;
  g_info("the clock jumped: connecting anew");
  for (unsigned i = 0; store->sessions != NULL && i < store->n_sessions; i++)
    session_renew(store->sessions[i]);
}

void store_start(Store *store, StoreDone ready, gpointer data) {
  store->sessions = g_new0(Session *, store->n_sessions);
  for (unsigned i = 0; i < store->n_sessions; i++)
    store->sessions[i] = session_new(&store->context, i);
  store->clock = clock_watch_new(store->main_context, renew_sessions, store);
  store_start_removals(store);
  store_start_archive(store);
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
  g_clear_pointer(&store->clock, clock_watch_free);
  if (store->refresh != NULL) g_source_destroy(store->refresh);
  g_clear_pointer(&store->refresh, g_source_unref);
  end_sessions(store);
  g_clear_pointer(&store->keeper, keeper_free);
  store_clear_removals(store);
  store_clear_archive(store);
  g_clear_pointer(&store->reports, post_free);
  if (store->probe_timer != NULL) g_source_destroy(store->probe_timer);
  g_clear_pointer(&store->probe_timer, g_source_unref);
  if (store->confirmation != NULL) g_source_destroy(store->confirmation);
  g_clear_pointer(&store->confirmation, g_source_unref);
  store_drop_kept(store);
  job_board_free(store->board);
  readahead_free(store->readahead);
  g_hash_table_unref(store->syncs);
  g_hash_table_unref(store->fetches);
  g_hash_table_unref(store->larges);
  g_hash_table_unref(store->dirty);
  g_hash_table_unref(store->lamented);
  g_hash_table_unref(store->arrived);
  g_hash_table_unref(store->editions);
  g_hash_table_unref(store->unfetchable);
  for (unsigned i = 0; i < store->n_sessions; i++)
    g_free(store->watched[i].folder);
  g_free(store->watched);
  index_free(store->index);
  body_store_free(store->bodies);
  g_clear_error(&store->shut);
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
