// Whether the server can be reached, and when it is tried again.

#include "cache/store_private.h"
#include "net/error.h"

// How soon after a failed try a server that cannot be reached is tried again, and one that refused
// the login: that must not look like an attack.
#define RETRY_OFFLINE_S 1
#define RETRY_OFFLINE_MAX_S 8
#define RETRY_REFUSED_S 60
#define RETRY_REFUSED_MAX_S 600
// How much longer than that nobody in particular waits before he tries, who only wants the news.
#define PROBE_MAX_S 60
// A server that restarts is back within so many tries.
#define EAGER_PROBES 4
// After that long, that the server was silent says nothing of now.
#define OLD_NEWS_S 60
// A connection that nobody used lives that long at least.
#define CONNECTED_S INT64_C(200)
// How long a server that asks for patience gets it.
#define BUSY_MS 1000
#define BUSY_MAX_MS 30000
// How soon one that let nobody in is tried again.
#define SHUT_MS 200
#define SHUT_MAX_MS 5000

// Nobody waited for this answer, so it is no time-out.
static GError *copy_problem(const Store *store) {
  GError *error = g_error_copy(store->problem);
  if (error->code == NET_ERROR_TIMEOUT) error->code = NET_ERROR_OFFLINE;
  return error;
}

void store_probe(Store *store) {
  const uint64_t root = INODE_ROOT;
  if (!g_hash_table_contains(store->syncs, &root)) store_sync(store, INODE_ROOT, NULL, NULL);
}

// A server that refused to talk is asked again by the next request that is due; one that was
// silent, behind the back of the requests, or each of them would pay for it with a whole time-out.
GError *store_known_problem(Store *store, bool patient) {
  if (store_is_shut(store)) return g_error_copy(store->shut);
  if (store->problem == NULL) return NULL;
  int64_t late_us = g_get_monotonic_time() - store->retry_at_us;
  if (late_us < 0) return copy_problem(store);
  bool silent = store->problem->code == NET_ERROR_TIMEOUT;
  if (!silent || patient || late_us > OLD_NEWS_S * G_USEC_PER_SEC) return NULL;
  GError *error = copy_problem(store);
  store_probe(store);
  return error;
}

static gboolean probe(gpointer data) {
  Store *store = data;
  g_clear_pointer(&store->probe_timer, g_source_unref);
  store_probe(store);
  return G_SOURCE_REMOVE;
}

static void stop_probe_timer(Store *store) {
  if (store->probe_timer == NULL) return;
  g_source_destroy(store->probe_timer);
  g_clear_pointer(&store->probe_timer, g_source_unref);
}

// News come only over a connection, so it is built anew by itself, with more and more patience.
static void probe_after(Store *store, int64_t time_us) {
  stop_probe_timer(store);
  if (!store->was_online) return;
  int64_t wait_us = time_us - g_get_monotonic_time();
  store->n_probes = MIN(store->n_probes + 1, 16);
  unsigned doublings = store->n_probes > EAGER_PROBES ? store->n_probes - EAGER_PROBES : 0;
  int64_t extra_ms = MIN((int64_t)PROBE_MAX_S * 1000, 250LL << doublings);
  store->probe_timer = store_call_in(store, MAX(wait_us, 0) / 1000 + extra_ms, probe, store);
}

// Those who wait in line behind a try that failed need not fail one after the other.
static void send_back_waiting(Store *store, const GError *error) {
  Job *job;
  while ((job = job_board_withdraw_any(store->board)) != NULL)
    store_send_back(store, job, g_error_copy(error));
}

// Several sessions may fail at once; that is one failed try.
static void delay_next_try(Store *store) {
  int64_t now_us = g_get_monotonic_time();
  bool refused = g_error_matches(store->problem, NET_ERROR, NET_ERROR_DENIED);
  unsigned least = refused ? RETRY_REFUSED_S : RETRY_OFFLINE_S;
  unsigned most = refused ? RETRY_REFUSED_MAX_S : RETRY_OFFLINE_MAX_S;
  if (now_us < store->retry_at_us) return;
  store->retry_s = CLAMP(store->retry_s * 2, least, most);
  store->retry_at_us = now_us + (int64_t)store->retry_s * G_USEC_PER_SEC;
}

void store_connect_ahead(Store *store) {
  int64_t now_us = g_get_monotonic_time();
  bool done = store->connected_ahead_us != 0 &&
              now_us - store->connected_ahead_us < CONNECTED_S * G_USEC_PER_SEC;
  if (done || store->problem != NULL) return;
  store->connected_ahead_us = now_us;
  for (unsigned i = 1; i < store->n_sessions; i++)
    job_board_push(store->board, job_new(JOB_CONNECT, JOB_AHEAD, i));
}

bool store_is_shut(const Store *store) {
  return store->shut != NULL && g_get_monotonic_time() < store->shut_until_us;
}

// That is no failure of the network: who waits goes on waiting, and all try again together, since
// one of them will do. A server without UIDs tells no news (POP3), and is not asked for nobody.
static void note_shut(Store *store, const Job *job) {
  const GError *error = job->error;
  if (store_is_shut(store)) return;
  unsigned wait_ms = MIN(SHUT_MAX_MS, SHUT_MS << MIN(store->n_shut, 8));
  wait_ms = MAX(wait_ms, MAX(job->pause_ms, net_error_backoff_ms(error)));
  store->shut_until_us = g_get_monotonic_time() + (int64_t)wait_ms * 1000;
  store->n_shut++;
  g_info("%s; it is tried again in %u ms", error->message, wait_ms);
  g_clear_error(&store->shut);
  store->shut = g_error_copy(error);
  send_back_waiting(store, error);
  if (store->traits->has_uids) probe_after(store, store->shut_until_us);
}

static void note_reached(Store *store) {
  if (store->problem != NULL) {
    g_message("the server can be reached again");
    job_board_unbar(store->board);
  }
  store->was_online = true;
  store->retry_s = store->n_probes = 0;
  store->retry_at_us = 0;
  store->n_shut = 0;
  g_clear_error(&store->shut);
  stop_probe_timer(store);
  g_clear_error(&store->problem);
  if (store->connected_ahead_us == 0) store_connect_ahead(store);
}

static void note_problem(Store *store, const GError *error) {
  // What keeps us out at the start is told by whoever waits for `ready`.
  bool is_news = store->problem == NULL || store->problem->code != error->code;
  if (is_news && store->was_online) g_message("%s", error->message);
  g_clear_error(&store->problem);
  store->problem = g_error_copy(error);
  delay_next_try(store);
  g_autoptr(GError) known = copy_problem(store);
  send_back_waiting(store, known);
  probe_after(store, store->retry_at_us);
}

void store_note_connection(Store *store, const Job *job) {
  bool silent = g_error_matches(job->error, NET_ERROR, NET_ERROR_TIMEOUT);
  if (job->could_not_connect && g_error_matches(job->error, NET_ERROR, NET_ERROR_BUSY))
    note_shut(store, job);
  else if (job->could_not_connect || (job->connected && silent))
    note_problem(store, job->error);
  else if (job->connected)
    note_reached(store);
}

// A server that lets us in only to close the connection again is not asked without end.
void store_note_lost(Store *store, const GError *error) {
  int64_t now_us = g_get_monotonic_time();
  bool again = store->lost_at_us != 0 && now_us - store->lost_at_us < OLD_NEWS_S * G_USEC_PER_SEC;
  store->lost_at_us = now_us;
  store->n_lost = again ? store->n_lost + 1 : 0;
  if (g_error_matches(error, NET_ERROR, NET_ERROR_TIMEOUT)) {
    note_problem(store, error);
    return;
  }
  stop_probe_timer(store);
  int64_t wait_ms = again ? MIN((int64_t)PROBE_MAX_S * 1000, 250LL << MIN(store->n_lost, 16)) : 0;
  store->probe_timer = store_call_in(store, wait_ms, probe, store);
}

unsigned store_note_busy(Store *store, const GError *error, unsigned attempt) {
  if (store_is_shut(store))
    return (unsigned)((store->shut_until_us - g_get_monotonic_time()) / 1000 + 1);
  unsigned wanted_ms = net_error_backoff_ms(error);
  unsigned wait_ms = MIN(BUSY_MAX_MS, BUSY_MS << MIN(attempt, 8));
  if (wanted_ms > wait_ms) wait_ms = wanted_ms;
  int64_t until_us = g_get_monotonic_time() + (int64_t)wait_ms * 1000;
  store->slow_until_us = MAX(store->slow_until_us, until_us);
  return wait_ms;
}
