// What changes on the server is in the store without anybody asking for it; a listing that is
// watched is fresh, and one that changed is not until it was brought up to date; a watch that
// breaks is built anew and misses nothing. A server that asks for patience slows things down and
// fails nothing. The same mail in two folders is fetched once, and the cache keeps its size.

#include <string.h>

#include "cache/clock.h"
#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define THREE "INBOX/2023-11-14_2213_alice@example.org_three,3.eml"
#define FOUR "INBOX/2023-11-14_2213_alice@example.org_four,4.eml"

static bool has_three(StoreFixture *fixture) {
  return store_fixture_find(fixture, THREE) != 0;
}

static bool has_four(StoreFixture *fixture) {
  return store_fixture_find(fixture, FOUR) != 0;
}

static bool inbox_is_fresh(StoreFixture *fixture) {
  return store_listing(fixture->store, store_fixture_find(fixture, "INBOX")) == STORE_FRESH;
}

static bool has_lost_one(StoreFixture *fixture) {
  return store_fixture_find(fixture, ONE) == 0;
}

static bool two_is_seen(StoreFixture *fixture) {
  g_autofree char *flags = NULL;
  store_detail(fixture->store, store_fixture_find(fixture, TWO), STORE_FLAGS, &flags);
  return g_strcmp0(flags, "\\Seen") == 0;
}

static bool has_archive(StoreFixture *fixture) {
  return store_fixture_find(fixture, "Archive") != 0;
}

typedef struct {
  MailboxWatch watch;
  unsigned connections;
} Push;

static void test_push(StoreFixture *fixture, gconstpointer data) {
  const Push *push = data;
  fake_allow_watch(push->watch, push->watch == MAILBOX_WATCHES_ALL);
  store_fixture_start_online(fixture, push->connections);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  g_string_truncate(fixture->told, 0);
  fake_add_message("INBOX", "three", "x", -1);
  store_fixture_wait_until(fixture, has_three);
  fake_remove_message("INBOX", 1);
  store_fixture_wait_until(fixture, has_lost_one);
  fake_set_flags("INBOX", 2, "\\Seen");
  store_fixture_wait_until(fixture, two_is_seen);
  g_assert_nonnull(strstr(fixture->told->str, "+2023-11-14_2213_alice@example.org_three,3.eml * "));
  g_assert_nonnull(strstr(fixture->told->str, "-2023-11-14_2213_alice@example.org_one,1.eml * "));
  store_fixture_wait_until(fixture, inbox_is_fresh);
  if (push->watch != MAILBOX_WATCHES_ALL) return;
  fake_add_folder("Archive", '/', 0, 12);
  store_fixture_wait_until(fixture, has_archive);
}

static bool archive_has_one(StoreFixture *fixture) {
  return store_fixture_find(fixture, "Archive/2023-11-14_2213_alice@example.org_a,1.eml") != 0;
}

static bool archive_has_two(StoreFixture *fixture) {
  return store_fixture_find(fixture, "Archive/2023-11-14_2213_alice@example.org_b,2.eml") != 0;
}

static StoreListing listing_of(StoreFixture *fixture, const char *folder) {
  return store_listing(fixture->store, store_fixture_find(fixture, folder));
}

// Where the server tells of all folders, only what it tells of the open one is believed to be all:
// another is as old as when it was last compared.
static void test_unsure(StoreFixture *fixture, gconstpointer data) {
  fixture->refresh_s = 0;
  fake_allow_watch(MAILBOX_WATCHES_ALL, true);
  fake_add_folder("Archive", '/', 0, 12);
  fake_add_message("Archive", "a", "x", -1);
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "Archive", -1);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  g_assert_cmpint(listing_of(fixture, "Archive"), ==, STORE_STALE);
}

static unsigned lists_before;

static bool has_compared(StoreFixture *fixture) {
  return fake_calls(FAKE_LIST) > lists_before;
}

// Soon after any news all folders are compared: of much that happens at once some is not told.
static void test_confirmed(StoreFixture *fixture, gconstpointer data) {
  fixture->refresh_s = 3600;
  fake_allow_watch(MAILBOX_WATCHES_ALL, true);
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  lists_before = fake_calls(FAKE_LIST);
  fake_add_message("INBOX", "three", "x", -1);
  store_fixture_wait_until(fixture, has_three);
  store_fixture_wait_until(fixture, has_compared);
}

// Where a connection watches one folder, one watches the inbox and another the folder in use.
static void test_two_folders(StoreFixture *fixture, gconstpointer data) {
  fake_allow_watch(MAILBOX_WATCHES_FOLDER, false);
  fake_add_folder("Archive", '/', 0, 12);
  fake_add_message("Archive", "a", "x", -1);
  store_fixture_start_online(fixture, 4);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  store_fixture_sync(fixture, "Archive", -1);
  g_assert_true(archive_has_one(fixture));
  fake_add_message("INBOX", "three", "x", -1);
  fake_add_message("Archive", "b", "x", -1);
  store_fixture_wait_until(fixture, has_three);
  store_fixture_wait_until(fixture, archive_has_two);
}

// What happens between two connections is not lost, and nobody has to ask.
static void test_break(StoreFixture *fixture, gconstpointer data) {
  fake_allow_watch(MAILBOX_WATCHES_ALL, true);
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1);
  fake_break_watches();
  fake_add_message("INBOX", "three", "x", -1);
  store_fixture_wait_until(fixture, has_three);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  fake_add_message("INBOX", "four", "x", -1);
  store_fixture_wait_until(fixture, has_four);
}

// The same where the server lets nobody in for a moment, when the connection is built anew.
static void test_break_and_busy(StoreFixture *fixture, gconstpointer data) {
  fake_allow_watch(MAILBOX_WATCHES_ALL, true);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_wait_until(fixture, inbox_is_fresh);
  fake_fail(FAKE_OPEN, NET_ERROR_BUSY, 2);
  fake_break_watches();
  fake_add_message("INBOX", "three", "x", -1);
  store_fixture_wait_until(fixture, has_three);
}

// A new start asks for the state of all folders at once, and looks into none that did not change.
static void test_statuses(StoreFixture *fixture, gconstpointer data) {
  fake_allow_watch(MAILBOX_WATCHES_NOTHING, true);
  fixture->refresh_s = 3600;
  fake_add_folder("Archive", '/', 0, 12);
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_sync(fixture, "Archive", -1);
  g_clear_pointer(&fixture->store, store_free);
  fake_add_message("INBOX", "three", "x", -1);
  unsigned updates = fake_calls(FAKE_UPDATE);
  store_fixture_start_online(fixture, 2);
  store_fixture_wait_until(fixture, has_three);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, updates + 1);
  g_assert_cmpint(store_listing(fixture->store, store_fixture_find(fixture, "Archive")), ==,
                  STORE_FRESH);
}

static void test_patience(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  fake_fail(FAKE_UPDATE, NET_ERROR_BUSY, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_fail(FAKE_FETCH, NET_ERROR_BUSY, 1);
  store_fixture_read(fixture, store_fixture_find(fixture, TWO), BODY_TWO);
  // Only one that goes on asking for it makes us fail, and then says why.
  fixture->account.timeout_ms = 500;
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_start_online(fixture, 2);
  fake_fail(FAKE_UPDATE, NET_ERROR_BUSY, 100);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
}

// A server with room for one connection is as good as one.
static void test_one_connection(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 4);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_fail(FAKE_OPEN, NET_ERROR_BUSY, 1000);
  store_fixture_read(fixture, store_fixture_find(fixture, TWO), BODY_TWO);
  store_fixture_sync(fixture, "INBOX", -1);
}

static void test_twins(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("All", '/', 0, 4);
  fake_add_message("All", "two", BODY_TWO, -1);
  fake_set_email_id("INBOX", 2, "M2");
  fake_set_email_id("All", 1, "M2");
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_sync(fixture, "All", -1);
  uint64_t twin = store_fixture_find(fixture, "All/2023-11-14_2213_alice@example.org_two,1.eml");
  store_fixture_read(fixture, store_fixture_find(fixture, TWO), BODY_TWO);
  // Without the server, too.
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1000);
  store_fixture_read(fixture, twin, BODY_TWO);
  g_assert_cmpuint(fake_bytes(), ==, strlen(BODY_TWO));
  StoreBody *body = store_body(fixture->store, twin);
  g_assert_nonnull(body);
  store_close_body(fixture->store, body);
}

// The bodies take no more than they may: those not used for the longest time go, those that are
// open stay.
static void test_eviction(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = g_strnfill(10000, 'x');
  fake_add_folder("Many", '/', 0, 3);
  for (unsigned i = 0; i < 20; i++)
    fake_add_message("Many", "m", body, -1);
  fixture->cache_bytes = 100000;
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "Many", -1);
  uint64_t inos[20];
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *path =
        g_strdup_printf("Many/2023-11-14_2213_alice@example.org_m,%u.eml", i + 1);
    inos[i] = store_fixture_find(fixture, path);
  }
  g_auto(Answer) open = {0};
  store_fetch(fixture->store, inos[0], take_body, &open);
  store_fixture_wait(fixture, &open.done);
  for (unsigned i = 1; i < 20; i++) {
    g_auto(Answer) answer = {0};
    store_fetch(fixture->store, inos[i], take_body, &answer);
    store_fixture_wait(fixture, &answer.done);
    store_close_body(fixture->store, answer.body);
    // Used again and again.
    StoreBody *second = i >= 2 ? store_body(fixture->store, inos[2]) : NULL;
    if (second != NULL) store_close_body(fixture->store, second);
  }
  store_fixture_sync(fixture, "Many", -1);
  unsigned here = 0;
  for (unsigned i = 0; i < 20; i++) {
    StoreBody *found = store_body(fixture->store, inos[i]);
    bool stays = i == 0 || i == 2 || i == 19;
    g_assert_true(found != NULL || !stays);
    if (i == 1 || i == 3) g_assert_null(found);
    here += found != NULL;
    if (found != NULL) store_close_body(fixture->store, found);
  }
  g_assert_cmpuint(here, <=, 10);
  g_assert_cmpuint(here, >=, 5);
  store_close_body(fixture->store, open.body);
}

// A sleep or a set clock is a jump; that time goes by is none.
static void test_clock(StoreFixture *fixture, gconstpointer data) {
  const ClockReading before = {.slept_us = 1000, .real_us = 1000000};
  ClockReading now = before;
  g_assert_false(clock_has_jumped(&before, &now));
  now.slept_us += 60 * G_USEC_PER_SEC;
  g_assert_true(clock_has_jumped(&before, &now));
  now = before;
  now.real_us -= INT64_C(3600) * G_USEC_PER_SEC;
  g_assert_true(clock_has_jumped(&before, &now));
  now.real_us = before.real_us + G_USEC_PER_SEC;
  g_assert_false(clock_has_jumped(&before, &now));
  const ClockReading first = clock_read(), second = clock_read();
  g_assert_false(clock_has_jumped(&first, &second));
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store-news/unsure", test_unsure},
      {"/store-news/confirmed", test_confirmed},
      {"/store-news/two-folders", test_two_folders},
      {"/store-news/break", test_break},
      {"/store-news/break-and-busy", test_break_and_busy},
      {"/store-news/statuses", test_statuses},
      {"/store-news/patience", test_patience},
      {"/store-news/one-connection", test_one_connection},
      {"/store-news/twins", test_twins},
      {"/store-news/eviction", test_eviction},
      {"/store-news/clock", test_clock},
  };
  static const Push pushes[] = {
      {MAILBOX_WATCHES_ALL, 1},    {MAILBOX_WATCHES_ALL, 4},    {MAILBOX_WATCHES_FOLDER, 1},
      {MAILBOX_WATCHES_FOLDER, 2}, {MAILBOX_WATCHES_FOLDER, 4},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, NULL, store_fixture_set_up, tests[i].test,
               store_fixture_tear_down);
  for (size_t i = 0; i < G_N_ELEMENTS(pushes); i++) {
    g_autofree char *path = g_strdup_printf(
        "/store-news/push/%s/%u", pushes[i].watch == MAILBOX_WATCHES_ALL ? "all" : "folder",
        pushes[i].connections);
    g_test_add(path, StoreFixture, &pushes[i], store_fixture_set_up, test_push,
               store_fixture_tear_down);
  }
  return g_test_run();
}
