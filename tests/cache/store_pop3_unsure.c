// What a POP3 server does not say of its mail for a moment is waited for: a name is given for good,
// so not before the header it comes from was had; and no message is taken for gone that may only
// have lost its UIDL. But nothing is waited for for ever.

#include <string.h>

#include <sqlite3.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define FIRST "Subject: first\r\n\r\n1\r\n"
#define SECOND "Subject: second\r\n\r\n2\r\n"
#define FIRST_NAME "0000-00-00_0000_unknown_first,a000000000000001.eml "
#define SECOND_NAME "0000-00-00_0000_unknown_second,b000000000000002.eml "
#define BARE_NAME_OF(ID) "0000-00-00_0000_unknown_no-subject," ID ".eml"
#define BARE_SECOND_NAME BARE_NAME_OF("b000000000000002") " "

static uint32_t add(const char *body, const char *uidl) {
  uint32_t uid = fake_add_message("INBOX", "x", body, -1);
  fake_set_uidl("INBOX", uid, uidl);
  return uid;
}

static void set_up(StoreFixture *fixture, gconstpointer data) {
  store_fixture_set_up(fixture, data);
  fixture->is_pop3 = true;
  fake_remove_message("INBOX", 1);
  fake_remove_message("INBOX", 2);
  add(FIRST, "a000000000000001");
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static void assert_listing(StoreFixture *fixture, const char *expected) {
  g_autoptr(GString) names = g_string_new(NULL);
  uint64_t inbox = store_fixture_find(fixture, "INBOX");
  store_children(fixture->store, inbox, 0, append_name, names);
  g_assert_cmpstr(names->str, ==, expected);
}

// So much time goes by for what is waited for.
static void let_pass(StoreFixture *fixture, int64_t seconds) {
  sqlite3 *db;
  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_autofree char *sql =
      g_strdup_printf("UPDATE refusal SET since = since - %" G_GINT64_FORMAT, seconds * 1000000000);
  g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
  sqlite3_busy_timeout(db, 10000);
  g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_changes(db), >, 0);
  sqlite3_close(db);
}

static unsigned count_refusals(StoreFixture *fixture) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_prepare_v2(db, "SELECT count(*) FROM refusal", -1, &statement, NULL), ==,
                  SQLITE_OK);
  g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
  unsigned n = (unsigned)sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return n;
}

// A new message is not there before its header is; then it has its right name.
static void test_waits(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint32_t second = add(SECOND, "b000000000000002");
  fake_refuse_header("INBOX", second, true);
  store_fixture_sync(fixture, "INBOX", -1);
  let_pass(fixture, 3000);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME);
  fake_refuse_header("INBOX", second, false);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME SECOND_NAME);
  g_assert_cmpuint(count_refusals(fixture), ==, 0);
}

// One whose header never comes is there after an hour all the same, also over a remount, and stays.
static void test_not_for_ever(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint32_t second = add(SECOND, "b000000000000002");
  fake_refuse_header("INBOX", second, true);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME);
  g_clear_pointer(&fixture->store, store_free);
  let_pass(fixture, 3601);
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME BARE_SECOND_NAME);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME BARE_SECOND_NAME);
  g_assert_cmpuint(count_refusals(fixture), ==, 0);
}

// What leaves the server while it is waited for is not waited for any more.
static void test_left(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint32_t second = add(SECOND, "b000000000000002");
  fake_refuse_header("INBOX", second, true);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(count_refusals(fixture), ==, 1);
  fake_remove_message("INBOX", second);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(count_refusals(fixture), ==, 0);
  assert_listing(fixture, FIRST_NAME);
}

static void count_told(const char *domain, GLogLevelFlags level, const char *text, gpointer n) {
  if (strstr(text, "INBOX cannot be listed: the server refuses the headers") != NULL)
    g_atomic_int_inc((int *)n);
}

// A first listing is never half of one: it fails, but not for longer than a reader may wait. Why it
// does is told once.
static void test_first_listing(StoreFixture *fixture, gconstpointer data) {
  int n_told = 0;
  guint handler = g_log_set_handler("mailfs-cache", G_LOG_LEVEL_MESSAGE, count_told, &n_told);
  uint32_t second = add(SECOND, "b000000000000002");
  fake_refuse_header("INBOX", second, true);
  fixture->account.timeout_ms = 500;
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  g_assert_cmpint(g_atomic_int_get(&n_told), ==, 1);
  g_log_remove_handler("mailfs-cache", handler);
  uint64_t inbox = store_fixture_find(fixture, "INBOX");
  g_assert_cmpint(store_listing(fixture->store, inbox), ==, STORE_UNLISTED);
  let_pass(fixture, 31);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME BARE_SECOND_NAME);
}

// Where the server does not say of all messages which they are, those that seem to be gone stay.
static void test_lost_name(StoreFixture *fixture, gconstpointer data) {
  uint32_t second = add(SECOND, "b000000000000002");
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t ino = store_fixture_find(fixture,
                                    "INBOX/0000-00-00_0000_unknown_first,"
                                    "a000000000000001.eml");
  fake_be(FAKE_LOSES_NAME);
  store_fixture_sync(fixture, "INBOX", -1);
  let_pass(fixture, 3000);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME SECOND_NAME);
  fake_be(0);
  fake_remove_message("INBOX", second);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, FIRST_NAME);
  g_assert_cmpuint(count_refusals(fixture), ==, 0);
  g_assert_cmpuint(ino, ==,
                   store_fixture_find(fixture,
                                      "INBOX/0000-00-00_0000_unknown_first,"
                                      "a000000000000001.eml"));
}

// But not for ever: a server whose names change each time would fill the folder.
static void test_lost_for_good(StoreFixture *fixture, gconstpointer data) {
  add(SECOND, "b000000000000002");
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_be(FAKE_LOSES_NAME);
  store_fixture_sync(fixture, "INBOX", -1);
  let_pass(fixture, 3601);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, SECOND_NAME);
}

static bool is_settled(StoreFixture *fixture) {
  return store_fixture_count(fixture, "removal") == 0;
}

// What nobody gets to see can be removed all the same: of a message that has that UIDL and size and
// whose header is refused no less is known than the user knew. One that is shown by now is another.
static void test_remove_bare(StoreFixture *fixture, gconstpointer data) {
  g_auto(Answer) answer = {0}, other = {0};
  store_fixture_survive(fixture);
  fixture->removal = STORE_EXPUNGES;
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint32_t second = add(SECOND, "b000000000000002");
  uint32_t third = add(SECOND, "c000000000000003");
  fake_refuse_header("INBOX", second, true);
  fake_refuse_header("INBOX", third, true);
  store_fixture_sync(fixture, "INBOX", -1);
  let_pass(fixture, 3601);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t bare = store_fixture_find(fixture, "INBOX/" BARE_NAME_OF("b000000000000002"));
  uint64_t shown = store_fixture_find(fixture, "INBOX/" BARE_NAME_OF("c000000000000003"));
  fake_refuse_header("INBOX", third, false);
  store_remove(fixture->store, bare, take_done, &answer);
  store_remove(fixture->store, shown, take_done, &other);
  store_fixture_wait(fixture, &answer.done);
  store_fixture_wait(fixture, &other.done);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_false(fake_has_message("INBOX", second));
  g_assert_true(fake_has_message("INBOX", third));
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store-pop3/unsure/waits", test_waits},
      {"/store-pop3/unsure/not for ever", test_not_for_ever},
      {"/store-pop3/unsure/left", test_left},
      {"/store-pop3/unsure/first listing", test_first_listing},
      {"/store-pop3/unsure/lost name", test_lost_name},
      {"/store-pop3/unsure/lost for good", test_lost_for_good},
      {"/store-pop3/unsure/remove bare", test_remove_bare},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, NULL, set_up, tests[i].test, store_fixture_tear_down);
  return g_test_run();
}
