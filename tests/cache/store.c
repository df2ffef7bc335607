// A store shows the server's tree from disk at once and asks the server for the rest: each message
// is asked for once however many wait, what is gone is ENOENT's business and not an error of the
// account, names and inodes stay over a restart, and a server that cannot be reached is an answer
// at once and never an empty folder.

#include <glib/gstdio.h>
#include <string.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

static void restart(StoreFixture *fixture) {
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_start_online(fixture, 2);
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static char *list(StoreFixture *fixture, uint64_t folder) {
  GString *names = g_string_new(NULL);
  g_assert_cmpint(store_children(fixture->store, folder, 0, append_name, names), ==, STORE_FOUND);
  return g_string_free(names, FALSE);
}

static void test_tree(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  g_autofree char *root = list(fixture, INODE_ROOT);
  g_assert_cmpstr(root, ==, "INBOX Work ");
  Inode inode;
  g_assert_cmpint(store_get(fixture->store, INODE_ROOT, &inode), ==, STORE_FOUND);
  g_assert_cmpuint(inode.subfolders, ==, 2);
  g_assert_cmpint(store_listing(fixture->store, store_fixture_find(fixture, "INBOX")), ==,
                  STORE_UNLISTED);
  g_assert_cmpint(store_listing(fixture->store, store_fixture_find(fixture, "Work")), !=,
                  STORE_UNLISTED);
  store_fixture_sync(fixture, "INBOX", -1);
  g_autofree char *inbox = list(fixture, store_fixture_find(fixture, "INBOX"));
  g_assert_cmpstr(inbox, ==,
                  "2023-11-14_2213_alice@example.org_one,1.eml "
                  "2023-11-14_2213_alice@example.org_two,2.eml ");
  uint64_t used, limit, messages;
  store_usage(fixture->store, &used, &limit, &messages);
  g_assert_cmpuint(messages, ==, 2);
  g_assert_cmpuint(limit, ==, 1 << 30);
}

// A size told too small is corrected before anyone reads, and kept.
static void test_fetch(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t ino = store_fixture_find(fixture, TWO);
  Inode inode;
  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, 5);
  g_assert_false(inode.size_exact);
  g_assert_null(store_body(fixture->store, ino));

  fake_hold(FAKE_FETCH);
  g_auto(Answer) first = {0}, second = {0}, third = {0};
  store_fetch(fixture->store, ino, take_body, &first);
  StoreTicket *cancelled = store_fetch(fixture->store, ino, take_body, &second);
  store_fetch(fixture->store, ino, take_body, &third);
  store_cancel(cancelled);
  fake_release(FAKE_FETCH);
  store_fixture_wait(fixture, &third.done);
  g_assert_true(first.done && !second.done);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 1);
  assert_body(fixture, &first, BODY_TWO);
  assert_body(fixture, &third, BODY_TWO);

  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, strlen(BODY_TWO));
  g_assert_true(inode.size_exact);
  restart(fixture);
  g_assert_cmpuint(store_fixture_find(fixture, TWO), ==, ino);
  StoreBody *body = store_body(fixture->store, ino);
  g_assert_nonnull(body);
  store_close_body(fixture->store, body);
}

static void test_changes(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t one = store_fixture_find(fixture, ONE), two = store_fixture_find(fixture, TWO);
  Inode before, after;
  store_get(fixture->store, store_fixture_find(fixture, "INBOX"), &before);
  g_string_truncate(fixture->told, 0);

  fake_remove_message("INBOX", 1);
  fake_add_message("INBOX", "three", "x", -1);
  fake_set_flags("INBOX", 2, "\\Seen");
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpstr(fixture->told->str, ==,
                  "-2023-11-14_2213_alice@example.org_one,1.eml "
                  "+2023-11-14_2213_alice@example.org_three,3.eml * ");
  g_assert_cmpuint(store_fixture_find(fixture, ONE), ==, 0);
  g_assert_cmpuint(store_fixture_find(fixture, TWO), ==, two);
  g_assert_cmpuint(
      store_fixture_find(fixture, "INBOX/2023-11-14_2213_alice@example.org_three,3.eml"), >, two);
  store_get(fixture->store, store_fixture_find(fixture, "INBOX"), &after);
  g_assert_cmpint(after.mtime_ns, >, before.mtime_ns);
  Inode gone;
  g_assert_cmpint(store_get(fixture->store, one, &gone), ==, STORE_FOUND);
  g_assert_true(gone.gone);
  g_autofree char *flags = NULL;
  store_detail(fixture->store, two, STORE_FLAGS, &flags);
  g_assert_cmpstr(flags, ==, "\\Seen");

  // Nothing new: nothing is told and no date moves.
  g_string_truncate(fixture->told, 0);
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpstr(fixture->told->str, ==, "");
  store_get(fixture->store, store_fixture_find(fixture, "INBOX"), &before);
  g_assert_cmpint(after.mtime_ns, ==, before.mtime_ns);
}

// The first listing is no change: a folder that a backup looked at before it read it has the same
// date after that.
static void test_first_listing_date(StoreFixture *fixture, gconstpointer unused) {
  Inode before, after;
  store_fixture_start_online(fixture, 1);
  uint64_t inbox = store_fixture_find(fixture, "INBOX");
  store_get(fixture->store, inbox, &before);
  g_assert_false(before.listed);
  store_fixture_sync(fixture, "INBOX", -1);
  store_get(fixture->store, inbox, &after);
  g_assert_true(after.listed);
  g_assert_cmpint(after.mtime_ns, ==, before.mtime_ns);
}

// A renumbered folder is listed anew as a whole, or not at all; its messages are known again, and a
// reader who had the old number gets the right bytes.
static void test_renumbered(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t two = store_fixture_find(fixture, TWO);
  fake_renumber("INBOX", 99);
  fake_fail(FAKE_UPDATE, NET_ERROR_REFUSED, 1);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_REFUSED);
  g_assert_cmpuint(store_fixture_find(fixture, TWO), ==, two);

  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, two, take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  assert_body(fixture, &answer, BODY_TWO);
  g_assert_cmpuint(store_fixture_find(fixture, TWO), ==, two);
}

static void test_missing(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t one = store_fixture_find(fixture, ONE), two = store_fixture_find(fixture, TWO);
  fake_remove_message("INBOX", 1);
  fake_withhold("INBOX", 2);
  g_auto(Answer) gone = {0}, withheld = {0}, again = {0};
  store_fetch(fixture->store, one, take_body, &gone);
  store_fixture_wait(fixture, &gone.done);
  g_assert_error(gone.error, NET_ERROR, NET_ERROR_GONE);
  store_fetch(fixture->store, two, take_body, &withheld);
  store_fixture_wait(fixture, &withheld.done);
  g_assert_error(withheld.error, NET_ERROR, NET_ERROR_REFUSED);
  // Remembered: not asked for again at once.
  unsigned calls = fake_calls(FAKE_FETCH);
  store_fetch(fixture->store, two, take_body, &again);
  store_fixture_wait(fixture, &again.done);
  g_assert_error(again.error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, calls);
}

static void test_folder_gone(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_remove_folder("INBOX");
  fake_add_folder("Archive", '/', 0, 3);
  g_string_truncate(fixture->told, 0);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_GONE);
  store_fixture_sync(fixture, "Work", -1);
  g_assert_cmpstr(fixture->told->str, ==, "-INBOX * ");
  g_assert_cmpuint(store_fixture_find(fixture, "INBOX"), ==, 0);
  g_assert_cmpuint(store_fixture_find(fixture, "Archive"), !=, 0);
}

// A dead connection is replaced unnoticed; a server that cannot be reached is known at once.
static void test_offline(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_fail(FAKE_UPDATE, NET_ERROR_OFFLINE, 1);
  store_fixture_sync(fixture, "INBOX", -1);

  fake_fail(FAKE_UPDATE, NET_ERROR_OFFLINE, 1);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1000);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_OFFLINE);
  unsigned calls = fake_calls(FAKE_OPEN);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_OFFLINE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, calls);
  g_assert_cmpuint(store_fixture_find(fixture, ONE), !=, 0);

  // From the cache alone.
  fake_fail(FAKE_OPEN, NET_ERROR_HOST, 100);
  g_clear_pointer(&fixture->store, store_free);
  g_auto(Answer) offline = store_fixture_start(fixture, 1);
  g_assert_error(offline.error, NET_ERROR, NET_ERROR_HOST);
  g_assert_true(store_has_tree(fixture->store));
  g_assert_cmpuint(store_fixture_find(fixture, ONE), !=, 0);
}

static void test_denied(StoreFixture *fixture, gconstpointer data) {
  fake_fail(FAKE_OPEN, NET_ERROR_DENIED, 100);
  g_auto(Answer) ready = store_fixture_start(fixture, 1);
  g_assert_error(ready.error, NET_ERROR, NET_ERROR_DENIED);
  g_assert_false(store_has_tree(fixture->store));
}

// An index that is no database, or of another account, is rebuilt; its old bodies are not served.
static void test_rebuild(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t ino = store_fixture_find(fixture, TWO);
  g_auto(Answer) body = {0};
  store_fetch(fixture->store, ino, take_body, &body);
  store_fixture_wait(fixture, &body.done);
  assert_body(fixture, &body, BODY_TWO);
  g_clear_pointer(&fixture->store, store_free);

  fixture->account.user = (char *)"bob";
  g_auto(Answer) other = store_fixture_start(fixture, 1);
  g_assert_no_error(other.error);
  g_assert_cmpuint(store_fixture_find(fixture, TWO), ==, 0);
  g_clear_pointer(&fixture->store, store_free);

  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_assert_true(g_file_set_contents(path, "no database at all, but long enough", -1, NULL));
  g_auto(Answer) broken = store_fixture_start(fixture, 1);
  g_assert_no_error(broken.error);
}

// A listing may not be believed when the server tells of no folder.
static void test_no_folders(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  fake_remove_folder("INBOX");
  fake_remove_folder("Work/2026");
  g_auto(Answer) answer = {0};
  store_sync(fixture->store, INODE_ROOT, take_done, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_REFUSED);
  g_autofree char *root = list(fixture, INODE_ROOT);
  g_assert_cmpstr(root, ==, "INBOX Work ");
}

// A long listing holds up no reader when there are two connections.
static void test_fetch_beside_listing(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "INBOX", -1);
  fake_hold(FAKE_UPDATE);
  g_auto(Answer) listing = {0}, beside = {0};
  store_sync(fixture->store, store_fixture_find(fixture, "INBOX"), take_done, &listing);
  fake_await_held(FAKE_UPDATE);
  store_fetch(fixture->store, store_fixture_find(fixture, TWO), take_body, &beside);
  store_fixture_wait(fixture, &beside.done);
  assert_body(fixture, &beside, BODY_TWO);
  g_assert_false(listing.done);
  fake_release(FAKE_UPDATE);
  store_fixture_wait(fixture, &listing.done);
}

// What was fetched once and is fetched again is compared with what it was: other bytes are a new
// edition, for which nobody may use those he kept.
static void test_editions(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t two = store_fixture_find(fixture, TWO);
  store_fixture_read(fixture, two, BODY_TWO);
  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_drop_body(fixture, two);
  store_fixture_read(fixture, two, BODY_TWO);
  g_assert_cmpuint(store_edition(fixture->store, two), ==, 0);

  store_fixture_sync(fixture, "INBOX", -1);
  store_fixture_drop_body(fixture, two);
  fake_change_body("INBOX", 2, "Subject: two\r\n\r\nanother\r\n");
  store_fixture_read(fixture, two, "Subject: two\r\n\r\nanother\r\n");
  g_assert_cmpuint(store_edition(fixture->store, two), ==, 1);
  Inode inode;
  store_get(fixture->store, two, &inode);
  g_assert_cmpuint(inode.size, ==, strlen("Subject: two\r\n\r\nanother\r\n"));

  // Also where it was fetched before the last start.
  restart(fixture);
  store_fixture_drop_body(fixture, two);
  fake_change_body("INBOX", 2, BODY_TWO);
  store_fixture_read(fixture, two, BODY_TWO);
  g_assert_cmpuint(store_edition(fixture->store, two), ==, 1);
}

// Also where it came so lately that the index does not know of it.
static void test_editions_at_once(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 1);
  store_fixture_sync(fixture, "INBOX", -1);
  uint64_t two = store_fixture_find(fixture, TWO);
  store_fixture_read(fixture, two, BODY_TWO);
  for (unsigned round = 1; round <= 20; round++) {
    const char *body = round % 2 == 0 ? BODY_TWO : "Subject: two\r\n\r\nanother\r\n";
    store_fixture_drop_body(fixture, two);
    fake_change_body("INBOX", 2, body);
    store_fixture_read(fixture, two, body);
    g_assert_cmpuint(store_edition(fixture->store, two), ==, round);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store/tree", test_tree},
      {"/store/fetch", test_fetch},
      {"/store/changes", test_changes},
      {"/store/first-listing-date", test_first_listing_date},
      {"/store/renumbered", test_renumbered},
      {"/store/missing", test_missing},
      {"/store/folder-gone", test_folder_gone},
      {"/store/offline", test_offline},
      {"/store/denied", test_denied},
      {"/store/editions", test_editions},
      {"/store/editions-at-once", test_editions_at_once},
      {"/store/rebuild", test_rebuild},
      {"/store/no-folders", test_no_folders},
      {"/store/fetch-beside-listing", test_fetch_beside_listing},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, NULL, store_fixture_set_up, tests[i].test,
               store_fixture_tear_down);
  return g_test_run();
}
