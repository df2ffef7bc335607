#include "tests/cache/store_fixture.h"

#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/scratch.h"

#define WAIT_S 20

static gboolean give_up(gpointer data) {
  g_error("no answer within %d s", WAIT_S);
  return G_SOURCE_REMOVE;
}

static gboolean go_on(gpointer data) {
  return G_SOURCE_CONTINUE;
}

void store_fixture_wait(StoreFixture *fixture, const bool *done) {
  g_autoptr(GSource) watchdog = g_timeout_source_new_seconds(WAIT_S);
  g_source_set_callback(watchdog, give_up, NULL, NULL);
  g_source_attach(watchdog, fixture->context);
  while (!*done)
    g_main_context_iteration(fixture->context, TRUE);
  g_source_destroy(watchdog);
}

void store_fixture_wait_until(StoreFixture *fixture, bool (*holds)(StoreFixture *fixture)) {
  g_autoptr(GSource) tick = g_timeout_source_new(5);
  g_autoptr(GSource) watchdog = g_timeout_source_new_seconds(WAIT_S);
  g_source_set_callback(watchdog, give_up, NULL, NULL);
  g_source_attach(watchdog, fixture->context);
  g_source_set_callback(tick, go_on, NULL, NULL);
  g_source_attach(tick, fixture->context);
  while (!holds(fixture))
    g_main_context_iteration(fixture->context, TRUE);
  g_source_destroy(tick);
  g_source_destroy(watchdog);
}

void take_done(const GError *error, gpointer data) {
  Answer *answer = data;
  answer->done = true;
  answer->error = error != NULL ? g_error_copy(error) : NULL;
}

void take_body(StoreBody *body, const GError *error, gpointer data) {
  Answer *answer = data;
  answer->body = body;
  take_done(error, data);
}

void answer_clear(Answer *answer) {
  g_clear_error(&answer->error);
}

static void hear_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  g_string_append_printf(((StoreFixture *)data)->told, "-%s ", name);
}

static void hear_added(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  g_string_append_printf(((StoreFixture *)data)->told, "+%s ", name);
}

static void hear_changed(uint64_t folder, bool is_first, gpointer data) {
  g_string_append(((StoreFixture *)data)->told, "* ");
}

void store_fixture_survive(StoreFixture *fixture) {
  fixture->state_directory = g_build_filename(fixture->directory, "state", NULL);
  g_mkdir_with_parents(fixture->state_directory, 0700);
}

unsigned store_fixture_count(StoreFixture *fixture, const char *table) {
  g_autofree char *path = g_build_filename(fixture->state_directory, "mail.db", NULL);
  g_autofree char *query = g_strdup_printf("SELECT count(*) FROM %s", table);
  sqlite3 *database;
  sqlite3_stmt *statement;
  g_assert_cmpint(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_prepare_v2(database, query, -1, &statement, NULL), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
  unsigned count = (unsigned)sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return count;
}

void store_fixture_wipe(StoreFixture *fixture) {
  g_autofree char *command = g_strdup_printf("sh -c \"rm -rf '%s'/index.db* '%s/bodies'\"",
                                             fixture->directory, fixture->directory);
  g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
}

Answer store_fixture_start(StoreFixture *fixture, unsigned connections) {
  const char *const folders[] = {"!Secret*", NULL};
  StoreOptions options = {
      .account = &fixture->account,
      .directory = fixture->directory,
      .folders = folders,
      .reserved = "outbox",
      .uid_names = fixture->uid_names,
      .refresh_s = fixture->refresh_s,
      .connections = connections,
      .prefetch_bytes = fixture->prefetch_bytes,
      .cache_bytes = fixture->cache_bytes,
      .open_mailbox = fixture->is_pop3 ? fake_pop3_open : fake_mailbox_open,
      .traits = fixture->traits,
      .state_directory = fixture->state_directory,
      .keeps_forever = fixture->keeps_forever,
      .removal = fixture->removal,
  };
  fixture->account.protocol = fixture->is_pop3 ? ACCOUNT_POP3 : ACCOUNT_IMAP;
  static const StoreListener listener = {hear_removed, hear_added, hear_changed};
  g_autoptr(GError) error = NULL;
  fixture->store = store_open(&options, fixture->context, &error);
  g_assert_no_error(error);
  store_set_listener(fixture->store, &listener, fixture);
  Answer answer = {0};
  store_start(fixture->store, take_done, &answer);
  store_fixture_wait(fixture, &answer.done);
  return answer;
}

void store_fixture_start_online(StoreFixture *fixture, unsigned connections) {
  g_auto(Answer) ready = store_fixture_start(fixture, connections);
  g_assert_no_error(ready.error);
}

void store_fixture_set_up(StoreFixture *fixture, gconstpointer data) {
  fixture->directory = g_dir_make_tmp("mailfs-store-XXXXXX", NULL);
  fixture->context = g_main_context_new();
  fixture->account =
      (Account){.host = (char *)"mail.example.org", .user = (char *)"alice", .timeout_ms = 20000};
  fixture->told = g_string_new(NULL);
  fake_reset();
  fake_add_folder("INBOX", '/', 0, 7);
  fake_add_folder("Work/2026", '/', 0, 8);
  fake_add_folder("Secret", '/', 0, 9);
  fake_add_message("INBOX", "one", "Subject: one\r\n\r\nfirst\r\n", -1);
  fake_add_message("INBOX", "two", "Subject: two\r\n\r\nsecond\r\n", 5);
}

void store_fixture_tear_down(StoreFixture *fixture, gconstpointer data) {
  g_clear_pointer(&fixture->store, store_free);
  g_main_context_unref(fixture->context);
  g_string_free(fixture->told, TRUE);
  scratch_remove(fixture->directory);
  g_free(fixture->directory);
  g_free(fixture->state_directory);
}

uint64_t store_fixture_find(StoreFixture *fixture, const char *path) {
  g_auto(GStrv) names = g_strsplit(path, "/", -1);
  Inode inode = {.ino = INODE_ROOT};
  for (char **name = names; *name != NULL; name++) {
    if (store_lookup(fixture->store, inode.ino, *name, &inode) != STORE_FOUND) return 0;
  }
  return inode.ino;
}

static bool collect_ino(const Inode *inode, gpointer inos) {
  g_array_append_val((GArray *)inos, inode->ino);
  return true;
}

GArray *store_fixture_inos(StoreFixture *fixture, const char *path) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  store_children(fixture->store, store_fixture_find(fixture, path), 0, collect_ino, inos);
  return inos;
}

void store_fixture_sync(StoreFixture *fixture, const char *path, int expected_code) {
  g_auto(Answer) answer = {0};
  store_sync(fixture->store, store_fixture_find(fixture, path), take_done, &answer);
  store_fixture_wait(fixture, &answer.done);
  if (expected_code < 0) {
    g_assert_no_error(answer.error);
  } else {
    g_assert_error(answer.error, NET_ERROR, expected_code);
  }
}

void assert_body(StoreFixture *fixture, Answer *answer, const char *expected) {
  char buffer[1024];
  g_assert_no_error(answer->error);
  ssize_t n = pread(store_body_fd(answer->body), buffer, sizeof buffer, 0);
  g_assert_cmpint(n, ==, store_body_size(answer->body));
  store_close_body(fixture->store, answer->body);
  g_assert_cmpmem(buffer, (size_t)n, expected, strlen(expected));
}

void store_fixture_drop_body(StoreFixture *fixture, uint64_t ino) {
  g_autofree char *path = g_strdup_printf("%s/bodies/%02x/%" G_GINT64_MODIFIER "x",
                                          fixture->directory, (unsigned)(ino & 0xff), ino);
  g_assert_cmpint(unlink(path), ==, 0);
}

void store_fixture_read(StoreFixture *fixture, uint64_t ino, const char *expected) {
  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, ino, take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  assert_body(fixture, &answer, expected);
}
