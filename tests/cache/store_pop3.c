// A POP3 account's mail looks like any other: its messages have names and dates from their headers,
// which are the same after a remount and a wiped cache, and inodes and numbers that stay; what
// comes again is a new message, and no number is given twice.

#include <string.h>
#include <time.h>

#include "cache/index.h"
#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define ALICE                                                                          \
  "Date: Mon, 23 Nov 2020 03:43:00 +0000\r\nFrom: Alice Smith <alice@example.org>\r\n" \
  "Subject: Quarterly report\r\nMessage-ID: <1@example.org>\r\n\r\nfirst\r\n"
#define FUTURE "Date: Fri, 1 Jan 2100 00:00:00 +0000\r\nFrom: bob@example.org\r\n\r\nsecond\r\n"
#define RECEIVED \
  "Received: by x; Mon, 23 Nov 2020 04:00:00 +0000\r\nSubject: three\r\n\r\nthird\r\n"
#define BARE "no header at all\r\n"

#define ALICE_NAME "2020-11-23_0343_Alice-Smith_Quarterly-report,a000000000000001.eml"
#define FUTURE_NAME "2100-01-01_0000_bob@example.org_no-subject,0000000000000002.eml"
#define RECEIVED_NAME "2020-11-23_0400_unknown_three,b000000000000003.eml"
#define BARE_NAME "0000-00-00_0000_unknown_no-subject,1000000000000004.eml"

static void add(const char *body, const char *uidl) {
  fake_set_uidl("INBOX", fake_add_message("INBOX", "x", body, -1), uidl);
}

static void set_up(StoreFixture *fixture, gconstpointer data) {
  store_fixture_set_up(fixture, data);
  fixture->is_pop3 = true;
  fake_remove_message("INBOX", 1);
  fake_remove_message("INBOX", 2);
  add(ALICE, "a000000000000001");
  add(FUTURE, "0000000000000002");
  add(RECEIVED, "b000000000000003");
  add(BARE, "1000000000000004");
}

static void start(StoreFixture *fixture) {
  store_fixture_start_online(fixture, 4);
  store_fixture_sync(fixture, "INBOX", -1);
}

static void restart(StoreFixture *fixture) {
  g_clear_pointer(&fixture->store, store_free);
  start(fixture);
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static void assert_listing(StoreFixture *fixture, const char *expected) {
  g_autoptr(GString) names = g_string_new(NULL);
  g_assert_cmpint(
      store_children(fixture->store, store_fixture_find(fixture, "INBOX"), 0, append_name, names),
      ==, STORE_FOUND);
  g_assert_cmpstr(names->str, ==, expected);
}

static Inode get(StoreFixture *fixture, const char *name) {
  Inode inode = {0};
  g_autofree char *path = g_strconcat("INBOX/", name, NULL);
  uint64_t ino = store_fixture_find(fixture, path);
  g_assert_cmpuint(ino, !=, 0);
  g_assert_cmpint(store_get(fixture->store, ino, &inode), ==, STORE_FOUND);
  return inode;
}

// The number by which the message is known, that a server without UIDs never sees.
static uint32_t uid_of(StoreFixture *fixture, const char *name) {
  IndexMessage message;
  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_autoptr(Index) index = index_open(path, INDEX_READ, NULL);
  g_assert_cmpint(index_message(index, get(fixture, name).ino, &message), ==, INDEX_FOUND);
  return message.uid;
}

static void assert_detail(StoreFixture *fixture, const char *name, StoreDetail detail,
                          const char *expected) {
  g_autofree char *text = NULL;
  g_assert_cmpint(store_detail(fixture->store, get(fixture, name).ino, detail, &text), ==,
                  STORE_FOUND);
  g_assert_cmpstr(text, ==, expected);
}

static void test_listing(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  assert_listing(fixture, ALICE_NAME " " FUTURE_NAME " " RECEIVED_NAME " " BARE_NAME " ");
  assert_detail(fixture, ALICE_NAME, STORE_UID, "a000000000000001");
  assert_detail(fixture, ALICE_NAME, STORE_FROM, "Alice Smith <alice@example.org>");
  assert_detail(fixture, ALICE_NAME, STORE_SUBJECT, "Quarterly report");
  assert_detail(fixture, ALICE_NAME, STORE_DATE, "Mon, 23 Nov 2020 03:43:00 +0000");
  assert_detail(fixture, ALICE_NAME, STORE_MESSAGE_ID, "<1@example.org>");
  g_assert_cmpuint(get(fixture, ALICE_NAME).size, ==, strlen(ALICE));
  store_fixture_read(fixture, get(fixture, ALICE_NAME).ino, ALICE);
  store_fixture_read(fixture, get(fixture, BARE_NAME).ino, BARE);
}

// A message is as old as its Date says, if that can be; else it is as old as we know it.
static void test_ages(StoreFixture *fixture, gconstpointer data) {
  int64_t before_s = time(NULL);
  start(fixture);
  g_assert_cmpint(get(fixture, ALICE_NAME).mtime_ns, ==, INT64_C(1606102980) * 1000000000);
  const char *const others[] = {FUTURE_NAME, RECEIVED_NAME, BARE_NAME};
  for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
    int64_t mtime_s = get(fixture, others[i]).mtime_ns / 1000000000;
    g_assert_cmpint(mtime_s, >=, before_s);
    g_assert_cmpint(mtime_s, <=, time(NULL));
  }
  int64_t mtime_ns = get(fixture, FUTURE_NAME).mtime_ns;
  restart(fixture);
  g_assert_cmpint(get(fixture, FUTURE_NAME).mtime_ns, ==, mtime_ns);
}

static void test_remount(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t ino = get(fixture, RECEIVED_NAME).ino;
  uint32_t uid = uid_of(fixture, RECEIVED_NAME);
  add(ALICE, "c000000000000005");
  restart(fixture);
  g_assert_cmpuint(get(fixture, RECEIVED_NAME).ino, ==, ino);
  g_assert_cmpuint(uid_of(fixture, RECEIVED_NAME), ==, uid);
  g_assert_cmpuint(uid_of(fixture,
                          "2020-11-23_0343_Alice-Smith_Quarterly-report,"
                          "c000000000000005.eml"),
                   ==, 5);
}

static void test_wiped(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_clear_pointer(&fixture->store, store_free);
  g_autofree char *command = g_strdup_printf("sh -c 'rm -rf %s/*'", fixture->directory);
  g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
  start(fixture);
  assert_listing(fixture, ALICE_NAME " " FUTURE_NAME " " RECEIVED_NAME " " BARE_NAME " ");
}

// names=uid: the id is the name, whatever it begins with.
static void test_uid_names(StoreFixture *fixture, gconstpointer data) {
  fixture->uid_names = true;
  start(fixture);
  assert_listing(fixture,
                 "a000000000000001.eml 0000000000000002.eml b000000000000003.eml "
                 "1000000000000004.eml ");
  store_fixture_read(fixture, get(fixture, "0000000000000002.eml").ino, FUTURE);
  store_fixture_read(fixture, get(fixture, "1000000000000004.eml").ino, BARE);
  g_assert_cmpuint(store_fixture_find(fixture, "INBOX/2.eml"), ==, 0);
  g_assert_cmpuint(store_fixture_find(fixture, "INBOX/" FUTURE_NAME), ==, 0);
}

// What is gone for a listing and comes again is another message with the same name; the numbers of
// those that were removed, the highest one too, are not given again.
static void test_returns(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t ino = get(fixture, BARE_NAME).ino;
  g_assert_cmpuint(uid_of(fixture, BARE_NAME), ==, 4);
  store_fixture_read(fixture, ino, BARE);
  g_string_truncate(fixture->told, 0);
  fake_remove_message("INBOX", 6);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpstr(fixture->told->str, ==, "-" BARE_NAME " * ");
  g_assert_cmpuint(store_fixture_find(fixture, "INBOX/" BARE_NAME), ==, 0);

  restart(fixture);
  add(BARE, "1000000000000004");
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(get(fixture, BARE_NAME).ino, >, ino);
  g_assert_cmpuint(uid_of(fixture, BARE_NAME), ==, 5);
  store_fixture_read(fixture, get(fixture, BARE_NAME).ino, BARE);
}

// The server lists all of them, or none: with none the folder is empty, and nothing is numbered
// anew.
static void test_emptied(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  for (uint32_t uid = 3; uid <= 6; uid++)
    fake_remove_message("INBOX", uid);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_listing(fixture, "");
  add(ALICE, "a000000000000001");
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(uid_of(fixture, ALICE_NAME), ==, 5);
}

// Messages that share a UIDL are told apart.
static void test_repeated(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t ino = get(fixture, ALICE_NAME).ino;
  add(FUTURE, "a000000000000001");
  store_fixture_sync(fixture, "INBOX", -1);
  const char *second = "2100-01-01_0000_bob@example.org_no-subject,a000000000000001-2.eml";
  g_assert_cmpuint(get(fixture, ALICE_NAME).ino, ==, ino);
  store_fixture_read(fixture, get(fixture, second).ino, FUTURE);
  store_fixture_read(fixture, ino, ALICE);
}

// A listing that breaks off changes nothing, and the next one is whole.
static void test_broken_off(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  add(ALICE, "c000000000000005");
  fake_fail(FAKE_UPDATE, NET_ERROR_REFUSED, 1);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_REFUSED);
  assert_listing(fixture, ALICE_NAME " " FUTURE_NAME " " RECEIVED_NAME " " BARE_NAME " ");
  store_fixture_sync(fixture, "INBOX", -1);
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "INBOX");
  g_assert_cmpuint(inos->len, ==, 5);
}

// Numbers of a first listing that broke off half-way are not given again either.
static void test_first_broken_off(StoreFixture *fixture, gconstpointer data) {
  for (unsigned i = 0; i < 600; i++)
    fake_add_message("INBOX", "m", "Subject: m\r\n\r\n", -1);
  store_fixture_start_online(fixture, 1);
  fake_be(FAKE_BREAKS_OFF);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_REFUSED);
  assert_listing(fixture, "");
  store_fixture_sync(fixture, "INBOX", -1);
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "INBOX");
  g_assert_cmpuint(inos->len, ==, 604);
  g_assert_cmpuint(uid_of(fixture, ALICE_NAME), >=, 500);
}

// The body is in the cache already, and nothing is asked for it.
static void assert_here(StoreFixture *fixture, const char *name, const char *expected) {
  g_auto(Answer) answer = {.done = true};
  answer.body = store_body(fixture->store, get(fixture, name).ino);
  g_assert_nonnull(answer.body);
  assert_body(fixture, &answer, expected);
}

// What a server without TOP gave whole for its header is not fetched again.
static void test_no_top(StoreFixture *fixture, gconstpointer data) {
  fake_be(FAKE_NO_TOP);
  start(fixture);
  uint64_t bytes = fake_bytes();
  g_assert_cmpuint(bytes, ==, strlen(ALICE FUTURE RECEIVED BARE));
  assert_here(fixture, ALICE_NAME, ALICE);
  assert_here(fixture, BARE_NAME, BARE);
  add(ALICE, "c000000000000005");
  restart(fixture);
  assert_here(fixture, FUTURE_NAME, FUTURE);
  g_assert_cmpuint(fake_bytes(), ==, bytes + strlen(ALICE));
}

// But not more of it than the cache may hold, about.
static void test_no_top_small(StoreFixture *fixture, gconstpointer data) {
  fake_be(FAKE_NO_TOP);
  fixture->cache_bytes = 1;
  start(fixture);
  g_assert_null(store_body(fixture->store, get(fixture, FUTURE_NAME).ino));
  store_fixture_read(fixture, get(fixture, FUTURE_NAME).ino, FUTURE);
}

// A UIDL that was given again, to a message of another size and header, is a new message's: it is
// never shown with the old one's bytes. One of which only the announced size differs stays.
static void test_reused(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t alice = get(fixture, ALICE_NAME).ino, received = get(fixture, RECEIVED_NAME).ino;
  store_fixture_read(fixture, alice, ALICE);
  store_fixture_read(fixture, received, RECEIVED);
  fake_remove_message("INBOX", 3);
  fake_remove_message("INBOX", 5);
  add(FUTURE, "a000000000000001");
  fake_set_uidl("INBOX", fake_add_message("INBOX", "x", RECEIVED, 9999), "b000000000000003");
  restart(fixture);
  assert_listing(fixture,
                 FUTURE_NAME " " RECEIVED_NAME " " BARE_NAME
                             " 2100-01-01_0000_bob@example.org_no-subject,a000000000000001.eml ");
  uint64_t other =
      get(fixture, "2100-01-01_0000_bob@example.org_no-subject,a000000000000001.eml").ino;
  g_assert_cmpuint(other, !=, alice);
  store_fixture_read(fixture, other, FUTURE);
  g_assert_cmpuint(get(fixture, RECEIVED_NAME).ino, ==, received);
  assert_here(fixture, RECEIVED_NAME, RECEIVED);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store-pop3/listing", test_listing},
      {"/store-pop3/ages", test_ages},
      {"/store-pop3/remount", test_remount},
      {"/store-pop3/wiped", test_wiped},
      {"/store-pop3/uid-names", test_uid_names},
      {"/store-pop3/returns", test_returns},
      {"/store-pop3/emptied", test_emptied},
      {"/store-pop3/repeated", test_repeated},
      {"/store-pop3/broken-off", test_broken_off},
      {"/store-pop3/first-broken-off", test_first_broken_off},
      {"/store-pop3/no-top", test_no_top},
      {"/store-pop3/no-top-small", test_no_top_small},
      {"/store-pop3/reused", test_reused},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, NULL, set_up, tests[i].test, store_fixture_tear_down);
  return g_test_run();
}
