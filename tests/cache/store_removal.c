// What a user removes from a POP3 account is gone at once and stays gone; the server is asked for
// just that, as often as it takes, in as few sessions as can be, and never for anything else.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/ledger.h"
#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define BODY "Subject: x\r\n\r\n"
#define NAME(N) "INBOX/0000-00-00_0000_unknown_x," N ".eml"
#define AA NAME("00000000000000aa")
#define BB NAME("00000000000000bb")
#define CC NAME("00000000000000cc")

static uint32_t add(const char *uidl) {
  uint32_t uid = fake_add_message("INBOX", "x", BODY, -1);
  fake_set_uidl("INBOX", uid, uidl);
  return uid;
}

static void set_up(StoreFixture *fixture, gconstpointer data) {
  store_fixture_set_up(fixture, data);
  store_fixture_survive(fixture);
  fixture->is_pop3 = true;
  fixture->removal = STORE_EXPUNGES;
  fixture->refresh_s = 3600;
  fake_remove_message("INBOX", 1);
  fake_remove_message("INBOX", 2);
  add("00000000000000aa");
  add("00000000000000bb");
  add("00000000000000cc");
}

static void start(StoreFixture *fixture) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
}

static bool append_id(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%.2s ", strrchr(inode->name, ',') + 15);
  return true;
}

static void assert_shown(StoreFixture *fixture, const char *expected) {
  g_autoptr(GString) names = g_string_new(NULL);
  store_children(fixture->store, store_fixture_find(fixture, "INBOX"), 0, append_id, names);
  g_assert_cmpstr(names->str, ==, expected);
}

static void remove_message(StoreFixture *fixture, const char *path) {
  g_auto(Answer) answer = {0};
  store_remove(fixture->store, store_fixture_find(fixture, path), take_done, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_no_error(answer.error);
}

static bool is_settled(StoreFixture *fixture) {
  return store_fixture_count(fixture, "removal") == 0;
}

// Both removals are one session; each name is gone when it is answered, and nothing else goes.
static void test_at_once(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_string_truncate(fixture->told, 0);
  remove_message(fixture, AA);
  assert_shown(fixture, "bb cc ");
  g_assert_cmpstr(fixture->told->str, ==, "* ");
  remove_message(fixture, CC);
  assert_shown(fixture, "bb ");
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, 1);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_shown(fixture, "bb ");
  g_assert_null(strchr(fixture->told->str, '-'));
}

// Who has it open reads on; who held its number finds it gone.
static void test_open(StoreFixture *fixture, gconstpointer data) {
  g_auto(Answer) answer = {0};
  Inode inode;
  start(fixture);
  uint64_t ino = store_fixture_find(fixture, AA);
  store_fetch(fixture->store, ino, take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  remove_message(fixture, AA);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpint(store_get(fixture->store, ino, &inode), ==, STORE_FOUND);
  g_assert_true(inode.gone);
  assert_body(fixture, &answer, BODY);
}

// Noted without a server, kept over an end and a deleted cache, done when there is one again.
static void test_offline(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_OFFLINE, 1);
  fake_fail(FAKE_UPDATE, NET_ERROR_OFFLINE, 1);
  remove_message(fixture, BB);
  g_clear_pointer(&fixture->store, store_free);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 3);
  g_auto(Answer) offline = store_fixture_start(fixture, 1);
  g_assert_nonnull(offline.error);
  assert_shown(fixture, "aa cc ");
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_wipe(fixture);
  fake_fail(FAKE_OPEN, 0, 0);
  fake_fail(FAKE_EXPUNGE, 0, 0);
  fake_fail(FAKE_UPDATE, 0, 0);
  fixture->removal = STORE_REFUSES_REMOVAL;
  start(fixture);
  assert_shown(fixture, "aa cc ");
  store_fixture_wait_until(fixture, is_settled);
  assert_shown(fixture, "aa cc ");
  g_assert_cmpuint(fake_messages("INBOX"), ==, 2);
  g_assert_false(fake_has_uidl("INBOX", "00000000000000bb"));
}

// Whoever ends before the answer has come loses nothing but the answer.
static void test_end(StoreFixture *fixture, gconstpointer data) {
  g_auto(Answer) answer = {0};
  start(fixture);
  store_remove(fixture->store, store_fixture_find(fixture, BB), take_done, &answer);
  g_clear_pointer(&fixture->store, store_free);
  g_assert_false(answer.done);
  start(fixture);
  assert_shown(fixture, "aa cc ");
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 2);
}

// A mount that is for reading leaves it to the next one that is not.
static void test_read_only(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_REFUSED, 1000);
  remove_message(fixture, BB);
  g_clear_pointer(&fixture->store, store_free);
  fake_fail(FAKE_EXPUNGE, 0, 0);
  fixture->removal = STORE_REMOVES_NOTHING;
  unsigned asked = fake_calls(FAKE_EXPUNGE);
  start(fixture);
  g_usleep(500 * 1000);  // time in which it would be asked
  store_fixture_sync(fixture, "INBOX", -1);
  assert_shown(fixture, "aa cc ");
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, asked);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 3);
}

// The connection breaks behind QUIT: the next listing tells that it was done.
static void test_answer_lost(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  fake_lose_answers(true);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_OFFLINE, 1);
  remove_message(fixture, BB);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, 1);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 2);
  assert_shown(fixture, "aa cc ");
}

// The connection breaks before it: it is asked for again.
static void test_broken_before(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_OFFLINE, 1);
  remove_message(fixture, BB);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, 2);
  g_assert_false(fake_has_uidl("INBOX", "00000000000000bb"));
}

// Another client was faster: nothing is asked for.
static void test_gone_already(StoreFixture *fixture, gconstpointer data) {
  uint32_t uid = add("00000000000000dd");
  start(fixture);
  fake_remove_message("INBOX", uid);
  remove_message(fixture, NAME("00000000000000dd"));
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, 0);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 3);
  assert_shown(fixture, "aa bb cc ");
}

// The server calls another message the same by now: which one the user saw is not certain any more.
static void test_doubtful(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_clear_pointer(&fixture->store, store_free);
  add("00000000000000bb");
  store_fixture_start_online(fixture, 1);
  remove_message(fixture, BB);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_cmpuint(fake_calls(FAKE_EXPUNGE), ==, 0);
  g_assert_cmpuint(fake_messages("INBOX"), ==, 4);
  assert_shown(fixture, "aa bb cc bb ");
}

// A message of several that are called the same is not removed.
static void test_twin(StoreFixture *fixture, gconstpointer data) {
  g_auto(Answer) answer = {0};
  add("00000000000000bb");
  start(fixture);
  store_remove(fixture->store, store_fixture_find(fixture, NAME("00000000000000bb-2")), take_done,
               &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, LEDGER_ERROR, ENOTSUP);
  assert_shown(fixture, "aa bb cc bb ");
}

static void count_told(const char *domain, GLogLevelFlags level, const char *text, gpointer n) {
  if (strstr(text, "refuses to remove") != NULL) g_atomic_int_inc((int *)n);
}

static bool was_asked_twice(StoreFixture *fixture) {
  return fake_calls(FAKE_EXPUNGE) >= 2;
}

// What the server refuses stays hidden and is asked for again; its user is told, once.
static void test_refused(StoreFixture *fixture, gconstpointer data) {
  int n_told = 0;
  GLogLevelFlags fatal = g_log_set_always_fatal(G_LOG_FATAL_MASK);
  guint handler = g_log_set_handler("mailfs-cache", G_LOG_LEVEL_WARNING, count_told, &n_told);
  start(fixture);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_REFUSED, 2);
  remove_message(fixture, BB);
  store_fixture_wait_until(fixture, was_asked_twice);
  store_fixture_sync(fixture, "INBOX", -1);
  assert_shown(fixture, "aa cc ");
  g_assert_cmpuint(store_fixture_count(fixture, "removal"), ==, 1);
  g_assert_cmpint(g_atomic_int_get(&n_told), ==, 1);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_false(fake_has_uidl("INBOX", "00000000000000bb"));
  g_log_remove_handler("mailfs-cache", handler);
  g_log_set_always_fatal(fatal);
}

// What the server calls so by now is another message than the user removed: it stays, and is shown.
static void reuse(StoreFixture *fixture, const char *text) {
  start(fixture);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  fake_fail(FAKE_EXPUNGE, NET_ERROR_OFFLINE, 1);
  fake_fail(FAKE_UPDATE, NET_ERROR_OFFLINE, 1);
  remove_message(fixture, BB);
  g_clear_pointer(&fixture->store, store_free);
  fake_remove_message("INBOX", 4);
  fake_set_uidl("INBOX", fake_add_message("INBOX", "x", text, -1), "00000000000000bb");
  fake_fail(FAKE_OPEN, 0, 0);
  fake_fail(FAKE_EXPUNGE, 0, 0);
  fake_fail(FAKE_UPDATE, 0, 0);
  start(fixture);
  store_fixture_wait_until(fixture, is_settled);
  g_assert_true(fake_has_uidl("INBOX", "00000000000000bb"));
  g_assert_cmpuint(fake_messages("INBOX"), ==, 3);
  assert_shown(fixture, "aa cc bb ");
}

static void test_reused(StoreFixture *fixture, gconstpointer data) {
  reuse(fixture, "Subject: other\r\n\r\nnew\r\n");
}

// The size alone says nothing.
static void test_reused_size(StoreFixture *fixture, gconstpointer data) {
  reuse(fixture, "Subject: y\r\n\r\n");
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(StoreFixture *fixture, gconstpointer data);
  } rows[] = {
      {"/store/removal/at once", test_at_once},
      {"/store/removal/open", test_open},
      {"/store/removal/offline", test_offline},
      {"/store/removal/end", test_end},
      {"/store/removal/read-only", test_read_only},
      {"/store/removal/answer lost", test_answer_lost},
      {"/store/removal/broken before", test_broken_before},
      {"/store/removal/gone already", test_gone_already},
      {"/store/removal/doubtful", test_doubtful},
      {"/store/removal/twin", test_twin},
      {"/store/removal/refused", test_refused},
      {"/store/removal/reused", test_reused},
      {"/store/removal/reused size", test_reused_size},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, StoreFixture, NULL, set_up, rows[i].run, store_fixture_tear_down);
  return g_test_run();
}
