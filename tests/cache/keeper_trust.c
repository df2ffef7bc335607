// What the keeper makes of a state directory that is not as it left it: of a ledger that is lost,
// another account's or older than the archive, and of bodies that are not there. Nothing that was
// archived is ever deleted for that, and no message is taken for another.
#include <errno.h>
#include <glib/gstdio.h>
#include <semaphore.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/cache/keeper_fixture.h"

static const char *const three[] = {"aa", "bb", "cc", NULL};

static char *path_in_state(const KeeperFixture *fixture, const char *name) {
  return g_build_filename(fixture->directory, "state", name, NULL);
}

static void assert_will_not_start(KeeperFixture *fixture, const char *words) {
  g_autoptr(GError) error = NULL;
  g_assert_null(keeper_try(fixture, &error));
  g_assert_error(error, LEDGER_ERROR, EIO);
  if (strstr(error->message, words) == NULL) g_error("%s", error->message);
}

// All three are archived, and no keeper runs.
static void archive_three(KeeperFixture *fixture) {
  keeper_list(fixture, three);
  for (unsigned i = 0; three[i] != NULL; i++)
    keeper_bring_body(fixture, three[i]);
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  keeper_stop(fixture);
}

static void remove_ledger(const KeeperFixture *fixture) {
  static const char *const names[] = {"mail.db", "mail.db-wal", "mail.db-shm"};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = path_in_state(fixture, names[i]);
    g_unlink(path);
  }
}

// A ledger that is lost, or of no bytes, is not made anew beside the mail it knew, however often it
// is tried.
static void test_lost(KeeperFixture *fixture, gconstpointer data) {
  archive_three(fixture);
  g_autofree char *body = path_in_state(fixture, "archive/aa");
  g_autofree char *ledger = path_in_state(fixture, "mail.db");
  g_autofree char *log = path_in_state(fixture, "mail.db-wal");
  remove_ledger(fixture);
  g_assert_true(g_file_set_contents(log, "x", 1, NULL));
  for (unsigned i = 0; i < 3; i++)
    assert_will_not_start(fixture, "is lost");
  g_assert_true(g_file_test(body, G_FILE_TEST_EXISTS) && g_file_test(log, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_set_contents(ledger, "", 0, NULL));
  for (unsigned i = 0; i < 3; i++)
    assert_will_not_start(fixture, "is lost");
  g_assert_true(g_file_test(body, G_FILE_TEST_EXISTS));
}

// Its names mean nothing to another account's server: its mail is neither shown nor removed there.
static void test_foreign(KeeperFixture *fixture, gconstpointer data) {
  fixture->owner = "bob@example.net";
  keeper_start(fixture);
  keeper_stop(fixture);
  fixture->owner = "alice@example.org";
  archive_three(fixture);
  fixture->owner = "bob@example.net";
  assert_will_not_start(fixture, "of alice@example.org, not of bob@example.net");
  fixture->owner = "alice@example.org";
  keeper_start(fixture);
  g_assert_true(keeper_has(fixture, "aa"));
  g_assert_cmpint(keeper_remove_one(fixture, "aa"), ==, 0);
}

static void assert_shown(KeeperFixture *fixture, const char *expected) {
  g_autofree char *shown = keeper_shown(fixture);
  g_assert_cmpstr(shown, ==, expected);
}

static void find_listed(KeeperFixture *fixture, const char *id, IndexListed *listed) {
  g_autoptr(Index) index = index_open(fixture->index_path, INDEX_WRITE, NULL);
  g_auto(IndexFolder) folder = {0};
  g_assert_cmpint(index_folder_named(index, LEDGER_FOLDER, &folder), ==, INDEX_FOUND);
  g_assert_true(index_listed(index, folder.ino, folder.generation, id, listed, NULL));
}

// With a new cache, what has the name of a removed message is hidden, and may be removed from the
// server, only if it has its Message-ID and size.
static void test_other_removed(KeeperFixture *fixture, gconstpointer data) {
  IndexListed listed;
  fixture->message_id = "<1@example.org>";
  keeper_list(fixture, three);
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  for (unsigned i = 0; i < 2; i++) {
    keeper_stop(fixture);
    keeper_wipe_cache(fixture);
    keeper_start(fixture);
    fixture->message_id = i == 0 ? "<1@example.org>" : "<2@example.org>";
    keeper_list(fixture, three);
    assert_shown(fixture, i == 0 ? "aa cc " : "aa bb cc ");
    find_listed(fixture, "bb", &listed);
    g_assert_true(listed.uid != 0 && listed.is_hidden == (i == 0));
  }
}

// With keep=forever what is here stays when the server lists it no more, until the archive has it;
// without, it goes.
static void test_unarchived(KeeperFixture *fixture, gconstpointer data) {
  static const char *const none[] = {NULL};
  for (int keeps = 1; keeps >= 0; keeps--) {
    fixture->keeps_forever = keeps;
    keeper_start(fixture);
    keeper_list(fixture, three);
    keeper_bring_body(fixture, keeps ? "aa" : "bb");
    keeper_list(fixture, none);
    keeper_list(fixture, none);
    assert_shown(fixture, "aa ");
    if (keeps) {
      g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
      g_assert_cmpuint(round->n_kept, ==, 1);
      g_assert_cmpuint(round->missing->len, ==, 0);
    }
    keeper_list(fixture, none);
    assert_shown(fixture, "aa ");
    g_assert_true(keeper_has(fixture, "aa"));
    keeper_stop(fixture);
  }
}

static void assert_listed(KeeperFixture *fixture, bool listed) {
  g_autoptr(Index) index = index_open(fixture->index_path, INDEX_WRITE, NULL);
  g_auto(IndexFolder) folder = {0};
  g_assert_cmpint(index_folder_named(index, LEDGER_FOLDER, &folder), ==, INDEX_FOUND);
  g_assert_true(folder.listed == listed);
}

// With a new cache the archive is no listing of the folder, unless it is meant to be: the server
// may have more.
static void test_unlisted(KeeperFixture *fixture, gconstpointer data) {
  archive_three(fixture);
  keeper_wipe_cache(fixture);
  for (unsigned i = 0; i < 4; i++) {
    fixture->keeps_forever = i % 2 == 1;
    keeper_start(fixture);
    assert_listed(fixture, fixture->keeps_forever);
    keeper_stop(fixture);
  }
  keeper_list(fixture, three);
  fixture->keeps_forever = false;
  keeper_start(fixture);
  assert_listed(fixture, true);
}

// Of two messages that the server calls the same one is gone, and the other has another name there
// by that: it is the one that the archive has, and not there twice, however often it is listed.
static void test_renamed(KeeperFixture *fixture, gconstpointer data) {
  static const char *const twins[] = {"bb", "bb-2", NULL}, *const one[] = {"bb", NULL};
  keeper_list(fixture, twins);
  keeper_bring_body(fixture, "bb");
  keeper_bring_body(fixture, "bb-2");
  uint64_t second = keeper_find(fixture, "bb-2");
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  for (unsigned i = 0; i < 3; i++) {
    fixture->lists_anew = i != 1;
    keeper_list(fixture, one);
    if (i != 1) {
      g_assert_cmpuint(keeper_find(fixture, "bb"), !=, second);
      keeper_bring_as(fixture, "bb", "bb-2");
    }
    g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
    g_assert_no_error(round->error);
    g_assert_cmpuint(round->recognised->len, ==, i == 1 ? 0 : 1);
    assert_shown(fixture, "bb bb-2 ");
    g_assert_true(keeper_has(fixture, "bb") && keeper_has(fixture, "bb-2"));
    g_assert_cmpuint(keeper_find(fixture, "bb"), ==, second);
    g_assert_cmpuint(keeper_find(fixture, "bb-2"), ==, 0);
  }
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  assert_shown(fixture, "bb ");
  g_assert_true(keeper_has(fixture, "bb"));
}

// Another message that the server calls as it did an archived one is archived beside it, under a
// name of its own, which it has with a new cache too.
static void test_called_again(KeeperFixture *fixture, gconstpointer data) {
  static const char *const one[] = {"bb", NULL};
  keeper_list(fixture, one);
  keeper_bring_body(fixture, "bb");
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  fixture->lists_anew = true;
  keeper_list(fixture, one);
  keeper_bring_as(fixture, "bb", "zz");
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  g_assert_cmpuint(round->n_kept, ==, 1);
  g_autofree char *other = path_in_state(fixture, "archive/bb.2");
  g_autofree char *expected = keeper_body_of("zz"), *found = NULL;
  for (unsigned i = 0; i < 2; i++) {
    g_assert_true(keeper_has(fixture, "bb"));
    g_clear_pointer(&found, g_free);
    g_assert_true(g_file_get_contents(other, &found, NULL, NULL));
    g_assert_cmpstr(found, ==, expected);
    assert_shown(fixture, "bb bb ");
    keeper_stop(fixture);
    keeper_wipe_cache(fixture);
    keeper_start(fixture);
  }
}

static void expect(GLogLevelFlags level, const char *pattern) {
  g_test_expect_message("mailfs-cache", level, pattern);
}

// What the ledger does not know is not deleted: an older one may have been put back.
static void test_older(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *ledger = path_in_state(fixture, "mail.db"), *older = NULL;
  g_autofree char *aside = path_in_state(fixture, "archive/" ARCHIVE_ASIDE "/aa");
  size_t size;
  keeper_start(fixture);
  keeper_stop(fixture);
  g_assert_true(g_file_get_contents(ledger, &older, &size, NULL));
  archive_three(fixture);
  remove_ledger(fixture);
  g_assert_true(g_file_set_contents(ledger, older, (gssize)size, NULL));
  keeper_wipe_cache(fixture);
  expect(G_LOG_LEVEL_MESSAGE,
         "*3 files in */archive are of no message in mail.db*" ARCHIVE_ASIDE "*");
  keeper_start(fixture);
  g_test_assert_expected_messages();
  g_autofree char *found = NULL, *expected = keeper_body_of("aa");
  g_assert_true(g_file_get_contents(aside, &found, NULL, NULL));
  g_assert_cmpstr(found, ==, expected);
  keeper_stop(fixture);
  keeper_start(fixture);
}

// Bodies that are gone from the archive, or cut short, are told, and archived again if the server
// has them; the rest is back when they are.
static void test_bodies_lost(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *aa = path_in_state(fixture, "archive/aa"), *bb = path_in_state(fixture, "bb");
  g_autofree char *bb_here = path_in_state(fixture, "archive/bb");
  archive_three(fixture);
  g_assert_cmpint(truncate(aa, 3), ==, 0);
  g_assert_cmpint(rename(bb_here, bb), ==, 0);
  expect(G_LOG_LEVEL_WARNING, "*2 archived messages are not in */archive*");
  expect(G_LOG_LEVEL_MESSAGE, "*1 files in */archive are of no message*");
  keeper_start(fixture);
  g_test_assert_expected_messages();
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  g_assert_cmpuint(round->missing->len, ==, 2);
  keeper_bring_body(fixture, "aa");
  keeper_job_free(keeper_archive_all(fixture));
  g_assert_true(keeper_has(fixture, "aa") && !keeper_has(fixture, "bb"));
  keeper_stop(fixture);
  g_assert_cmpint(rename(bb, bb_here), ==, 0);
  keeper_wipe_cache(fixture);
  keeper_start(fixture);
  assert_shown(fixture, "bb cc aa ");
  g_assert_true(keeper_has(fixture, "aa") && keeper_has(fixture, "bb"));
}

typedef struct {
  const char *index_path;
  sem_t has_begun;
} Writer;

static gpointer write_index(gpointer data) {
  Writer *writer = data;
  g_autoptr(Index) index = index_open(writer->index_path, INDEX_WRITE, NULL);
  g_assert_true(index_begin(index, NULL));
  sem_post(&writer->has_begun);
  g_usleep(G_USEC_PER_SEC);  // as long as a large commit takes
  g_assert_true(index_commit(index, NULL));
  return NULL;
}

// Who writes the index meanwhile is waited for.
static void test_busy_index(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  Writer writer = {.index_path = fixture->index_path};
  g_assert_cmpint(sem_init(&writer.has_begun, 0, 0), ==, 0);
  GThread *thread = g_thread_new("writer", write_index, &writer);
  g_assert_cmpint(sem_wait(&writer.has_begun), ==, 0);
  keeper_end_one(fixture, KEEPER_SETTLE, "bb");
  g_thread_join(thread);
  sem_destroy(&writer.has_begun);
}

// A round takes so much that a removal behind it need not wait for long.
static void test_large_round(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *bytes = g_strnfill(10 << 20, 'x');
  keeper_list(fixture, three);
  for (unsigned i = 0; three[i] != NULL; i++)
    keeper_bring_bytes(fixture, three[i], bytes, true);
  keeper_start(fixture);
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  g_assert_cmpuint(round->n_kept, ==, 2);
  g_assert_false(round->is_end);
}

// A body that is on no disk, since the cache's is full, is taken from who holds it.
static void test_held(KeeperFixture *fixture, gconstpointer data) {
  g_autofree char *body = keeper_body_of("bb");
  int fd = memfd_create("body", MFD_CLOEXEC);
  g_assert_cmpint(write(fd, body, strlen(body)), ==, (ssize_t)strlen(body));
  keeper_list(fixture, three);
  keeper_bring_bytes(fixture, "bb", body, false);
  keeper_start(fixture);
  KeeperJob *job = keeper_job_new(KEEPER_ARCHIVE);
  uint64_t ino = keeper_find(fixture, "bb");
  job->most_bytes = 1 << 20;
  job->held = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_hash_table_insert(job->held, g_memdup2(&ino, sizeof ino), GINT_TO_POINTER(fd + 1));
  g_autoptr(KeeperJob) round = keeper_do(fixture, job);
  g_assert_no_error(round->error);
  g_assert_cmpuint(round->n_kept, ==, 1);
  g_assert_true(keeper_has(fixture, "bb"));
  close(fd);
}

// A listing that comes while a removal is on its way may find another message under its id: that
// one is neither hidden nor removed.
static void test_replaced(KeeperFixture *fixture, gconstpointer data) {
  bool is_new;
  keeper_list(fixture, three);
  uint64_t ino = keeper_find(fixture, "bb");
  keeper_start(fixture);
  keeper_stop(fixture);
  keeper_list(fixture, (const char *const[]){"aa", "cc", NULL});
  keeper_list(fixture, three);
  g_assert_cmpuint(keeper_find(fixture, "bb"), !=, ino);
  g_autofree char *path = path_in_state(fixture, "mail.db");
  const LedgerOptions options = {
      .path = path, .index_path = fixture->index_path, .owner = fixture->owner};
  Ledger *ledger = ledger_open(&options, &is_new, NULL);
  g_assert_true(ledger_begin(ledger, NULL) && ledger_hide(ledger, ino, 9, NULL) &&
                ledger_commit(ledger, NULL));
  g_assert_true(ledger_begin(ledger, NULL) && ledger_note(ledger, "bb", 9, NULL) &&
                ledger_commit(ledger, NULL));
  ledger_free(ledger);
  keeper_start(fixture);
  g_autofree char *removals = keeper_removals(fixture), *shown = keeper_shown(fixture);
  g_assert_cmpstr(removals, ==, "");
  g_assert_cmpstr(shown, ==, "aa cc bb ");
  keeper_stop(fixture);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(KeeperFixture *fixture, gconstpointer data);
  } rows[] = {
      {"/keeper/trust/lost", test_lost},
      {"/keeper/trust/foreign", test_foreign},
      {"/keeper/trust/other removed", test_other_removed},
      {"/keeper/trust/unarchived", test_unarchived},
      {"/keeper/trust/unlisted", test_unlisted},
      {"/keeper/trust/renamed", test_renamed},
      {"/keeper/trust/called again", test_called_again},
      {"/keeper/trust/older", test_older},
      {"/keeper/trust/bodies lost", test_bodies_lost},
      {"/keeper/trust/busy index", test_busy_index},
      {"/keeper/trust/large round", test_large_round},
      {"/keeper/trust/held", test_held},
      {"/keeper/trust/replaced", test_replaced},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, KeeperFixture, NULL, keeper_set_up, rows[i].run, keeper_tear_down);
  return g_test_run();
}
