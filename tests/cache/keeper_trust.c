// What the keeper makes of a state directory that is not as it left it: of a ledger that is lost,
// another account's or older than the archive, and of bodies that are not there. Nothing that was
// archived is ever deleted for that, and no message is taken for another.
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
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
  remove_ledger(fixture);
  for (unsigned i = 0; i < 3; i++)
    assert_will_not_start(fixture, "is lost");
  g_assert_true(g_file_test(body, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_set_contents(ledger, "", 0, NULL));
  for (unsigned i = 0; i < 3; i++)
    assert_will_not_start(fixture, "is lost");
  g_assert_true(g_file_test(body, G_FILE_TEST_EXISTS));
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(KeeperFixture *fixture, gconstpointer data);
  } rows[] = {
      {"/keeper/trust/lost", test_lost},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, KeeperFixture, NULL, keeper_set_up, rows[i].run, keeper_tear_down);
  return g_test_run();
}
