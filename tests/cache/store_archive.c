// With keep=forever all mail of a POP3 account comes by itself and is kept: when it left the
// server, without a server, with a new cache, and however small the cache is.
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define MESSAGES 40
#define LARGE_BYTES (3 << 20)

static uint32_t uids[MESSAGES];

static char *body_of(unsigned i) {
  if (i != 7) return g_strdup_printf("Subject: x\r\n\r\nbody %u\r\n", i);
  g_autofree char *filler = g_strnfill(LARGE_BYTES, 'x');
  return g_strdup_printf("Subject: x\r\n\r\n%s\r\n", filler);
}

static char *name_of(unsigned i) {
  return g_strdup_printf("INBOX/0000-00-00_0000_unknown_x,%016x.eml", i + 0x100);
}

static void add(unsigned i) {
  g_autofree char *body = body_of(i);
  g_autofree char *uidl = g_strdup_printf("%016x", i + 0x100);
  uids[i] = fake_add_message("INBOX", "x", body, -1);
  fake_set_uidl("INBOX", uids[i], uidl);
}

static void set_up(StoreFixture *fixture, gconstpointer data) {
  store_fixture_set_up(fixture, data);
  store_fixture_survive(fixture);
  fixture->is_pop3 = fixture->keeps_forever = true;
  fixture->refresh_s = 3600;
  fake_remove_message("INBOX", 1);
  fake_remove_message("INBOX", 2);
  for (unsigned i = 0; i < MESSAGES - 1; i++)
    add(i);
}

static unsigned count_archived(StoreFixture *fixture) {
  return store_fixture_count(fixture, "kept");
}

static bool has_all_but_one(StoreFixture *fixture) {
  return count_archived(fixture) == MESSAGES - 1;
}

static bool has_all(StoreFixture *fixture) {
  return count_archived(fixture) == MESSAGES;
}

static void assert_all(StoreFixture *fixture, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    g_autofree char *expected = body_of(i), *path = name_of(i);
    g_autofree char *found = g_malloc(strlen(expected) + 1);
    uint64_t ino = store_fixture_find(fixture, path);
    StoreBody *body = store_body(fixture->store, ino);
    g_assert_nonnull(body);
    g_assert_cmpuint(store_body_size(body), ==, strlen(expected));
    g_assert_cmpint(pread(store_body_fd(body), found, strlen(expected), 0), ==,
                    (ssize_t)strlen(expected));
    g_assert_cmpmem(found, strlen(expected), expected, strlen(expected));
    store_close_body(fixture->store, body);
  }
}

static void remove_all_there(void) {
  for (unsigned i = 0; i < MESSAGES; i++)
    if (uids[i] != 0 && fake_has_message("INBOX", uids[i])) fake_remove_message("INBOX", uids[i]);
}

static unsigned count_shown(StoreFixture *fixture) {
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "INBOX");
  return inos->len;
}

// On a new connection, which sees what is there now.
static void list_anew(StoreFixture *fixture) {
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
}

// Nobody lists and nobody reads: all of it comes, once; then the server loses it.
static void test_all(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_wait_until(fixture, has_all_but_one);
  uint64_t bytes = fake_bytes();
  g_assert_cmpuint(bytes, <, 2 * LARGE_BYTES);
  add(MESSAGES - 1);
  list_anew(fixture);
  store_fixture_wait_until(fixture, has_all);
  g_autofree char *last = name_of(MESSAGES - 1);
  uint64_t ino = store_fixture_find(fixture, last);
  remove_all_there();
  list_anew(fixture);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  g_assert_cmpuint(store_fixture_find(fixture, last), ==, ino);
  assert_all(fixture, MESSAGES);
  g_clear_pointer(&fixture->store, store_free);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  g_auto(Answer) again = store_fixture_start(fixture, 1);
  g_assert_nonnull(again.error);
  g_assert_cmpuint(store_fixture_find(fixture, last), ==, ino);
  assert_all(fixture, MESSAGES);
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_wipe(fixture);
  g_auto(Answer) wiped = store_fixture_start(fixture, 1);
  g_assert_nonnull(wiped.error);
  g_assert_true(store_has_tree(fixture->store));
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  assert_all(fixture, MESSAGES);
  g_clear_pointer(&fixture->store, store_free);
  fake_fail(FAKE_OPEN, 0, 0);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  assert_all(fixture, MESSAGES);
}

// With a new cache what the server has still is the same mail, not told again and not fetched
// again.
static void test_same(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_wait_until(fixture, has_all_but_one);
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_wipe(fixture);
  uint64_t bytes = fake_bytes();
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  add(MESSAGES - 1);
  list_anew(fixture);
  store_fixture_wait_until(fixture, has_all);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  g_assert_cmpuint(fake_bytes() - bytes, <, 1000);
}

// A cache that has no room for one message has none to evict before it is archived.
static void test_small_cache(StoreFixture *fixture, gconstpointer data) {
  fixture->cache_bytes = 1000;
  store_fixture_start_online(fixture, 1);
  store_fixture_wait_until(fixture, has_all_but_one);
  assert_all(fixture, MESSAGES - 1);
}

// A server that breaks off in the middle is asked for the rest; what came stays.
static void test_broken(StoreFixture *fixture, gconstpointer data) {
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
  fake_withhold("INBOX", uids[3]);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  g_autofree char *withheld = name_of(3);
  while (count_archived(fixture) < MESSAGES - 2)
    g_main_context_iteration(fixture->context, TRUE);
  g_assert_cmpuint(store_fixture_find(fixture, withheld), !=, 0);
  g_assert_null(store_body(fixture->store, store_fixture_find(fixture, withheld)));
}

// Without keep=forever nothing is archived, but what was stays.
static void test_later_not(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_wait_until(fixture, has_all_but_one);
  g_clear_pointer(&fixture->store, store_free);
  fixture->keeps_forever = false;
  add(MESSAGES - 1);
  list_anew(fixture);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  remove_all_there();
  list_anew(fixture);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES - 1);
  assert_all(fixture, MESSAGES - 1);
}

static gboolean set_done(gpointer done) {
  *(bool *)done = true;
  return G_SOURCE_REMOVE;
}

static void pause_for(StoreFixture *fixture, unsigned ms) {
  bool done = false;
  g_autoptr(GSource) source = g_timeout_source_new(ms);
  g_source_set_callback(source, set_done, &done, NULL);
  g_source_attach(source, fixture->context);
  store_fixture_wait(fixture, &done);
}

// What the server does not give is not asked for again at once, however often the folder is listed.
static void test_withheld(StoreFixture *fixture, gconstpointer data) {
  fake_withhold("INBOX", uids[3]);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  while (count_archived(fixture) < MESSAGES - 2)
    g_main_context_iteration(fixture->context, TRUE);
  pause_for(fixture, 300);
  unsigned calls = fake_calls(FAKE_FETCH);
  for (unsigned i = 0; i < 3; i++) {
    store_fixture_sync(fixture, "INBOX", -1);
    pause_for(fixture, 100);
  }
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, calls);
}

// With a new cache and without keep=forever the archive is not the folder: nothing is listed until
// the server has told.
static void test_half(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_wait_until(fixture, has_all_but_one);
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_wipe(fixture);
  fixture->keeps_forever = false;
  fake_remove_message("INBOX", uids[0]);
  add(MESSAGES - 1);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  g_auto(Answer) offline = store_fixture_start(fixture, 1);
  g_assert_nonnull(offline.error);
  uint64_t inbox = store_fixture_find(fixture, "INBOX");
  g_assert_cmpint(store_listing(fixture->store, inbox), ==, STORE_UNLISTED);
  g_clear_pointer(&fixture->store, store_free);
  fake_fail(FAKE_OPEN, 0, 0);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpint(store_listing(fixture->store, inbox), ==, STORE_FRESH);
  g_assert_cmpuint(count_shown(fixture), ==, MESSAGES);
  assert_all(fixture, MESSAGES - 1);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(StoreFixture *fixture, gconstpointer data);
  } rows[] = {
      {"/store/archive/all", test_all},
      {"/store/archive/same", test_same},
      {"/store/archive/small cache", test_small_cache},
      {"/store/archive/broken", test_broken},
      {"/store/archive/later not", test_later_not},
      {"/store/archive/withheld", test_withheld},
      {"/store/archive/half", test_half},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, StoreFixture, NULL, set_up, rows[i].run, store_fixture_tear_down);
  return g_test_run();
}
