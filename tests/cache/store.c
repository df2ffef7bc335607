// A store shows the server's tree from disk at once and asks the server for the rest: each message
// is asked for once however many wait, what is gone is ENOENT's business and not an error of the
// account, names and inodes stay over a restart, and a server that cannot be reached is an answer
// at once and never an empty folder.

#include "cache/store.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/fake_mailbox.h"

#define WAIT_S 20

typedef struct {
  char *directory;
  GMainContext *context;
  Account account;
  Store *store;
  GString *told;  // what the listener heard
} Fixture;

typedef struct {
  Fixture *fixture;
  bool done, resized;
  int fd;
  uint64_t size;
  GError *error;
} Answer;

static gboolean give_up(gpointer data) {
  g_error("no answer within %d s", WAIT_S);
  return G_SOURCE_REMOVE;
}

static void wait_for(Fixture *fixture, const bool *done) {
  g_autoptr(GSource) watchdog = g_timeout_source_new_seconds(WAIT_S);
  g_source_set_callback(watchdog, give_up, NULL, NULL);
  g_source_attach(watchdog, fixture->context);
  while (!*done)
    g_main_context_iteration(fixture->context, TRUE);
  g_source_destroy(watchdog);
}

static void take_done(const GError *error, gpointer data) {
  Answer *answer = data;
  answer->done = true;
  answer->error = error != NULL ? g_error_copy(error) : NULL;
}

static void take_body(int fd, uint64_t size, bool resized, const GError *error, gpointer data) {
  Answer *answer = data;
  answer->fd = fd;
  answer->size = size;
  answer->resized = resized;
  take_done(error, data);
}

static void clear_answer(Answer *answer) {
  g_clear_error(&answer->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Answer, clear_answer)

static void hear_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  g_string_append_printf(((Fixture *)data)->told, "-%s ", name);
}

static void hear_changed(uint64_t folder, gpointer data) {
  g_string_append(((Fixture *)data)->told, "* ");
}

static Answer start(Fixture *fixture, unsigned connections) {
  const char *const folders[] = {"!Secret*", NULL};
  StoreOptions options = {
      .account = &fixture->account,
      .directory = fixture->directory,
      .folders = folders,
      .reserved = "outbox",
      .refresh_s = 0,
      .connections = connections,
      .open_mailbox = fake_mailbox_open,
  };
  static const StoreListener listener = {hear_removed, hear_changed};
  g_autoptr(GError) error = NULL;
  fixture->store = store_open(&options, fixture->context, &error);
  g_assert_no_error(error);
  store_set_listener(fixture->store, &listener, fixture);
  Answer answer = {.fixture = fixture};
  store_start(fixture->store, take_done, &answer);
  wait_for(fixture, &answer.done);
  return answer;
}

static void start_online(Fixture *fixture, unsigned connections) {
  g_auto(Answer) ready = start(fixture, connections);
  g_assert_no_error(ready.error);
}

static void restart(Fixture *fixture) {
  g_clear_pointer(&fixture->store, store_free);
  start_online(fixture, 2);
}

static void set_up(Fixture *fixture, gconstpointer data) {
  fixture->directory = g_dir_make_tmp("mailfs-store-XXXXXX", NULL);
  fixture->context = g_main_context_new();
  fixture->account = (Account){.host = (char *)"mail.example.org", .user = (char *)"alice"};
  fixture->told = g_string_new(NULL);
  fake_reset();
  fake_add_folder("INBOX", '/', 0, 7);
  fake_add_folder("Work/2026", '/', 0, 8);
  fake_add_folder("Secret", '/', 0, 9);
  fake_add_message("INBOX", "one", "Subject: one\r\n\r\nfirst\r\n", -1);
  fake_add_message("INBOX", "two", "Subject: two\r\n\r\nsecond\r\n", 5);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
  g_clear_pointer(&fixture->store, store_free);
  g_main_context_unref(fixture->context);
  g_string_free(fixture->told, TRUE);
  g_autofree char *command = g_strdup_printf("rm -rf '%s'", fixture->directory);
  g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
  g_free(fixture->directory);
}

static uint64_t find(Fixture *fixture, const char *path) {
  g_auto(GStrv) names = g_strsplit(path, "/", -1);
  Inode inode = {.ino = INODE_ROOT};
  for (char **name = names; *name != NULL; name++) {
    if (store_lookup(fixture->store, inode.ino, *name, &inode) != STORE_FOUND) return 0;
  }
  return inode.ino;
}

static void sync_now(Fixture *fixture, const char *path, int expected_code) {
  g_auto(Answer) answer = {0};
  store_sync(fixture->store, find(fixture, path), take_done, &answer);
  wait_for(fixture, &answer.done);
  if (expected_code < 0) {
    g_assert_no_error(answer.error);
  } else {
    g_assert_error(answer.error, NET_ERROR, expected_code);
  }
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static char *list(Fixture *fixture, uint64_t folder) {
  GString *names = g_string_new(NULL);
  g_assert_cmpint(store_children(fixture->store, folder, 0, append_name, names), ==, STORE_FOUND);
  return g_string_free(names, FALSE);
}

static void assert_body(Fixture *fixture, Answer *answer, const char *expected) {
  char buffer[256];
  g_assert_no_error(answer->error);
  ssize_t n = pread(answer->fd, buffer, sizeof buffer, 0);
  store_close_body(fixture->store, answer->fd);
  g_assert_cmpint(n, ==, answer->size);
  g_assert_cmpmem(buffer, (size_t)n, expected, strlen(expected));
}

static const char BODY_ONE[] = "Subject: one\r\n\r\nfirst\r\n";
static const char BODY_TWO[] = "Subject: two\r\n\r\nsecond\r\n";
static const char ONE[] = "INBOX/2023-11-14_2213_alice@example.org_one,1.eml";
static const char TWO[] = "INBOX/2023-11-14_2213_alice@example.org_two,2.eml";

static void test_tree(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  g_autofree char *root = list(fixture, INODE_ROOT);
  g_assert_cmpstr(root, ==, "INBOX Work ");
  Inode inode;
  g_assert_cmpint(store_get(fixture->store, INODE_ROOT, &inode), ==, STORE_FOUND);
  g_assert_cmpuint(inode.subfolders, ==, 2);
  g_assert_cmpint(store_listing(fixture->store, find(fixture, "INBOX")), ==, STORE_UNLISTED);
  g_assert_cmpint(store_listing(fixture->store, find(fixture, "Work")), !=, STORE_UNLISTED);
  sync_now(fixture, "INBOX", -1);
  g_autofree char *inbox = list(fixture, find(fixture, "INBOX"));
  g_assert_cmpstr(inbox, ==,
                  "2023-11-14_2213_alice@example.org_one,1.eml "
                  "2023-11-14_2213_alice@example.org_two,2.eml ");
  uint64_t used, limit, messages;
  store_usage(fixture->store, &used, &limit, &messages);
  g_assert_cmpuint(messages, ==, 2);
  g_assert_cmpuint(limit, ==, 1 << 30);
}

// A size told too small is corrected before anyone reads, and kept.
static void test_fetch(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  sync_now(fixture, "INBOX", -1);
  uint64_t ino = find(fixture, TWO);
  Inode inode;
  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, 5);
  g_assert_false(inode.size_exact);
  g_assert_cmpint(store_body(fixture->store, ino), ==, -1);

  fake_hold(FAKE_FETCH);
  g_auto(Answer) first = {0}, second = {0}, third = {0};
  store_fetch(fixture->store, ino, take_body, &first);
  StoreTicket *cancelled = store_fetch(fixture->store, ino, take_body, &second);
  store_fetch(fixture->store, ino, take_body, &third);
  store_cancel(cancelled);
  fake_release(FAKE_FETCH);
  wait_for(fixture, &third.done);
  g_assert_true(first.done && !second.done);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 1);
  g_assert_true(first.resized);
  assert_body(fixture, &first, BODY_TWO);
  assert_body(fixture, &third, BODY_TWO);

  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, strlen(BODY_TWO));
  g_assert_true(inode.size_exact);
  restart(fixture);
  g_assert_cmpuint(find(fixture, TWO), ==, ino);
  int fd = store_body(fixture->store, ino);
  g_assert_cmpint(fd, >=, 0);
  store_close_body(fixture->store, fd);
}

static void test_changes(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 1);
  sync_now(fixture, "INBOX", -1);
  uint64_t one = find(fixture, ONE), two = find(fixture, TWO);
  Inode before, after;
  store_get(fixture->store, find(fixture, "INBOX"), &before);
  g_string_truncate(fixture->told, 0);

  fake_remove_message("INBOX", 1);
  fake_add_message("INBOX", "three", "x", -1);
  fake_set_flags("INBOX", 2, "\\Seen");
  sync_now(fixture, "INBOX", -1);
  g_assert_cmpstr(fixture->told->str, ==, "-2023-11-14_2213_alice@example.org_one,1.eml * ");
  g_assert_cmpuint(find(fixture, ONE), ==, 0);
  g_assert_cmpuint(find(fixture, TWO), ==, two);
  g_assert_cmpuint(find(fixture, "INBOX/2023-11-14_2213_alice@example.org_three,3.eml"), >, two);
  store_get(fixture->store, find(fixture, "INBOX"), &after);
  g_assert_cmpint(after.mtime_ns, >, before.mtime_ns);
  Inode gone;
  g_assert_cmpint(store_get(fixture->store, one, &gone), ==, STORE_FOUND);
  g_assert_true(gone.gone);
  g_autofree char *flags = NULL;
  store_detail(fixture->store, two, STORE_FLAGS, &flags);
  g_assert_cmpstr(flags, ==, "\\Seen");

  // Nothing new: nothing is told and no date moves.
  g_string_truncate(fixture->told, 0);
  sync_now(fixture, "INBOX", -1);
  g_assert_cmpstr(fixture->told->str, ==, "");
  store_get(fixture->store, find(fixture, "INBOX"), &before);
  g_assert_cmpint(after.mtime_ns, ==, before.mtime_ns);
}

// A renumbered folder is another mailbox: its listing is replaced as a whole, or not at all.
static void test_renumbered(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  sync_now(fixture, "INBOX", -1);
  uint64_t two = find(fixture, TWO);
  fake_renumber("INBOX", 99);
  fake_fail(FAKE_SCAN, NET_ERROR_REFUSED, 1);
  sync_now(fixture, "INBOX", NET_ERROR_REFUSED);
  g_assert_cmpuint(find(fixture, TWO), ==, two);

  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, two, take_body, &answer);
  wait_for(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_GONE);
  g_assert_cmpuint(find(fixture, TWO), !=, two);
  g_assert_cmpuint(find(fixture, TWO), !=, 0);
}

static void test_missing(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  sync_now(fixture, "INBOX", -1);
  uint64_t one = find(fixture, ONE), two = find(fixture, TWO);
  fake_remove_message("INBOX", 1);
  fake_withhold("INBOX", 2);
  g_auto(Answer) gone = {0}, withheld = {0}, again = {0};
  store_fetch(fixture->store, one, take_body, &gone);
  wait_for(fixture, &gone.done);
  g_assert_error(gone.error, NET_ERROR, NET_ERROR_GONE);
  store_fetch(fixture->store, two, take_body, &withheld);
  wait_for(fixture, &withheld.done);
  g_assert_error(withheld.error, NET_ERROR, NET_ERROR_REFUSED);
  // Remembered: not asked for again at once.
  unsigned calls = fake_calls(FAKE_FETCH);
  store_fetch(fixture->store, two, take_body, &again);
  wait_for(fixture, &again.done);
  g_assert_error(again.error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, calls);
}

static void test_folder_gone(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  sync_now(fixture, "INBOX", -1);
  fake_remove_folder("INBOX");
  fake_add_folder("Archive", '/', 0, 3);
  g_string_truncate(fixture->told, 0);
  sync_now(fixture, "INBOX", NET_ERROR_GONE);
  sync_now(fixture, "Work", -1);
  g_assert_cmpstr(fixture->told->str, ==, "-INBOX * ");
  g_assert_cmpuint(find(fixture, "INBOX"), ==, 0);
  g_assert_cmpuint(find(fixture, "Archive"), !=, 0);
}

// A dead connection is replaced unnoticed; a server that cannot be reached is known at once.
static void test_offline(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 1);
  sync_now(fixture, "INBOX", -1);
  fake_fail(FAKE_EXAMINE, NET_ERROR_OFFLINE, 1);
  sync_now(fixture, "INBOX", -1);

  fake_fail(FAKE_EXAMINE, NET_ERROR_OFFLINE, 1);
  fake_fail(FAKE_OPEN, NET_ERROR_OFFLINE, 1);
  sync_now(fixture, "INBOX", NET_ERROR_OFFLINE);
  unsigned calls = fake_calls(FAKE_OPEN);
  sync_now(fixture, "INBOX", NET_ERROR_OFFLINE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, calls);
  g_assert_cmpuint(find(fixture, ONE), !=, 0);

  // From the cache alone.
  fake_fail(FAKE_OPEN, NET_ERROR_HOST, 100);
  g_clear_pointer(&fixture->store, store_free);
  g_auto(Answer) offline = start(fixture, 1);
  g_assert_error(offline.error, NET_ERROR, NET_ERROR_HOST);
  g_assert_true(store_has_tree(fixture->store));
  g_assert_cmpuint(find(fixture, ONE), !=, 0);
}

static void test_denied(Fixture *fixture, gconstpointer data) {
  fake_fail(FAKE_OPEN, NET_ERROR_DENIED, 100);
  g_auto(Answer) ready = start(fixture, 1);
  g_assert_error(ready.error, NET_ERROR, NET_ERROR_DENIED);
  g_assert_false(store_has_tree(fixture->store));
}

// An index that is no database, or of another account, is rebuilt; its old bodies are not served.
static void test_rebuild(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 1);
  sync_now(fixture, "INBOX", -1);
  uint64_t ino = find(fixture, TWO);
  g_auto(Answer) body = {0};
  store_fetch(fixture->store, ino, take_body, &body);
  wait_for(fixture, &body.done);
  assert_body(fixture, &body, BODY_TWO);
  g_clear_pointer(&fixture->store, store_free);

  fixture->account.user = (char *)"bob";
  g_auto(Answer) other = start(fixture, 1);
  g_assert_no_error(other.error);
  g_assert_cmpuint(find(fixture, TWO), ==, 0);
  g_clear_pointer(&fixture->store, store_free);

  g_autofree char *path = g_build_filename(fixture->directory, "index.db", NULL);
  g_assert_true(g_file_set_contents(path, "no database at all, but long enough", -1, NULL));
  g_auto(Answer) broken = start(fixture, 1);
  g_assert_no_error(broken.error);
}

// A listing may not be believed when the server tells of no folder.
static void test_no_folders(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 1);
  fake_remove_folder("INBOX");
  fake_remove_folder("Work/2026");
  g_auto(Answer) answer = {0};
  store_sync(fixture->store, INODE_ROOT, take_done, &answer);
  wait_for(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_REFUSED);
  g_autofree char *root = list(fixture, INODE_ROOT);
  g_assert_cmpstr(root, ==, "INBOX Work ");
}

// A long listing holds up no reader when there are two connections.
static void test_fetch_beside_listing(Fixture *fixture, gconstpointer data) {
  start_online(fixture, 2);
  sync_now(fixture, "INBOX", -1);
  fake_hold(FAKE_EXAMINE);
  g_auto(Answer) listing = {0}, body = {0};
  store_fetch(fixture->store, find(fixture, ONE), take_body, &body);
  fake_await_held(FAKE_EXAMINE);
  fake_release(FAKE_EXAMINE);
  wait_for(fixture, &body.done);
  assert_body(fixture, &body, BODY_ONE);
  fake_hold(FAKE_SCAN);
  store_sync(fixture->store, find(fixture, "INBOX"), take_done, &listing);
  fake_await_held(FAKE_SCAN);
  g_auto(Answer) beside = {0};
  store_fetch(fixture->store, find(fixture, TWO), take_body, &beside);
  wait_for(fixture, &beside.done);
  assert_body(fixture, &beside, BODY_TWO);
  g_assert_false(listing.done);
  fake_release(FAKE_SCAN);
  wait_for(fixture, &listing.done);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(Fixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store/tree", test_tree},
      {"/store/fetch", test_fetch},
      {"/store/changes", test_changes},
      {"/store/renumbered", test_renumbered},
      {"/store/missing", test_missing},
      {"/store/folder-gone", test_folder_gone},
      {"/store/offline", test_offline},
      {"/store/denied", test_denied},
      {"/store/rebuild", test_rebuild},
      {"/store/no-folders", test_no_folders},
      {"/store/fetch-beside-listing", test_fetch_beside_listing},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run();
}
