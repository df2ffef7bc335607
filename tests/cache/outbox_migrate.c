// Claim: a journal of an earlier version is brought up to this version with all that it says, in
// one step: if the program is killed at any statement of it, what is left is the old journal, or
// the new one.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/outbox.h"
#include "cache/outbox_journal.h"

// The tables as version 1 made them, with a letter in each of its forms.
static const char version_1[] =
    "PRAGMA journal_mode = WAL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE letter (id INTEGER PRIMARY KEY, ino INTEGER NOT NULL,"
    " directory INTEGER NOT NULL, name TEXT NOT NULL, phase INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, atime_ns INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
    " ctime_ns INTEGER NOT NULL, queued_at INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " next_try INTEGER NOT NULL, message_id TEXT, sender TEXT, date INTEGER NOT NULL, error TEXT,"
    " broken INTEGER NOT NULL, perhaps_sent INTEGER NOT NULL);"
    "CREATE TABLE recipient (letter INTEGER NOT NULL, address TEXT NOT NULL,"
    " verdict INTEGER NOT NULL, reply TEXT, PRIMARY KEY (letter, address)) WITHOUT ROWID;"
    "CREATE TABLE numbers (next INTEGER NOT NULL);"
    "INSERT INTO numbers VALUES (70000);"
    "PRAGMA application_id = 0x4d466f62;"
    "PRAGMA user_version = 1;"
    "INSERT INTO letter VALUES (7, 4503599627370510, 4503599627370498, 'mail', 4, 384, 1, 2, 3, 4,"
    " 5, 6, 'id@example.org', 'me@example.org', 8, 'later', 0, 1);"
    "INSERT INTO letter VALUES (9, 4503599627370514, 4503599627370499, 'no', 8, 384, 1, 2, 3, 4,"
    " 5, 0, NULL, NULL, 0, 'a note', 28, 0);"
    "INSERT INTO recipient VALUES (7, 'bob@example.org', 0, '250 ok');"
    "COMMIT;";

// What version 2 added, with what a letter may have by it.
static const char version_2[] =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE letter ADD COLUMN envelope_from TEXT;"
    "ALTER TABLE letter ADD COLUMN notify TEXT;"
    "ALTER TABLE letter ADD COLUMN ret TEXT;"
    "ALTER TABLE letter ADD COLUMN envid TEXT;"
    "ALTER TABLE letter ADD COLUMN origin TEXT;"
    "ALTER TABLE letter ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE addressee (letter INTEGER NOT NULL, position INTEGER NOT NULL,"
    " address TEXT NOT NULL, PRIMARY KEY (letter, position)) WITHOUT ROWID;"
    "PRAGMA user_version = 2;"
    "UPDATE letter SET envid = 'x1', copied = 1 WHERE id = 7;"
    "INSERT INTO addressee VALUES (7, 0, 'bob@example.org');"
    "COMMIT;";

// What version 3 added.
static const char version_3[] =
    "BEGIN IMMEDIATE;"
    "ALTER TABLE letter ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 3;"
    "UPDATE letter SET accepted_at = 11 WHERE id = 7;"
    "COMMIT;";

typedef struct {
  char *directory, *path;
  int64_t version;  // that it begins with
} Fixture;

static void run_sql(const char *path, const char *sql) {
  sqlite3 *database;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_exec(database, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close(database);
}

static void make_old(const Fixture *fixture) {
  run_sql(fixture->path, version_1);
  if (fixture->version >= 2) run_sql(fixture->path, version_2);
  if (fixture->version >= 3) run_sql(fixture->path, version_3);
}

static void set_up(Fixture *fixture, gconstpointer version) {
  g_autoptr(GError) error = NULL;
  fixture->directory = g_dir_make_tmp("mailfs-migrate-XXXXXX", &error);
  g_assert_no_error(error);
  fixture->path = g_build_filename(fixture->directory, "outbox.db", NULL);
  fixture->version = GPOINTER_TO_INT(version);
  make_old(fixture);
}

static void remove_files(Fixture *fixture) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
  for (size_t i = 0; i < G_N_ELEMENTS(suffixes); i++) {
    g_autofree char *path = g_strconcat(fixture->path, suffixes[i], NULL);
    unlink(path);
  }
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
  remove_files(fixture);
  g_assert_cmpint(remove(fixture->directory), ==, 0);
  g_free(fixture->path);
  g_free(fixture->directory);
}

typedef struct {
  unsigned rows;
  int64_t version;  // that it was of
} Check;

static void check_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Check *check = data;
  bool first = check->rows++ == 0, has_envelope = first && check->version >= 2;
  g_assert_cmpuint(row->id, ==, first ? 7 : 9);
  g_assert_cmpstr(row->name, ==, first ? "mail" : "no");
  g_assert_cmpint(row->phase, ==, first ? OUTBOX_QUEUED : OUTBOX_FAILED);
  g_assert_cmpstr(row->message_id, ==, first ? "id@example.org" : NULL);
  g_assert_cmpstr(row->from, ==, first ? "me@example.org" : NULL);
  g_assert_cmpstr(row->error, ==, first ? "later" : "a note");
  g_assert_cmpint(row->broken, ==, first ? 0 : ENOSPC);
  g_assert_true(row->perhaps_sent == first);
  g_assert_cmpuint(recipients->len, ==, first ? 1 : 0);
  g_assert_null(row->envelope.from);
  g_assert_true((row->envelope.recipients != NULL) == has_envelope);
  g_assert_cmpstr(row->envelope.envid, ==, has_envelope ? "x1" : NULL);
  g_assert_true(row->copied == has_envelope);
  g_assert_cmpint(row->accepted_at, ==, first && check->version >= 3 ? 11 : 0);
  g_assert_null(row->envelope.notify);
  g_assert_null(row->envelope.ret);
  g_assert_null(row->origin);
}

static void check_migrated(Fixture *fixture) {
  g_autoptr(GError) error = NULL;
  g_autoptr(OutboxJournal) journal = outbox_journal_open(fixture->path, &error);
  g_assert_no_error(error);
  Check check = {.version = fixture->version};
  g_assert_true(outbox_journal_load(journal, check_row, &check, &error));
  g_assert_cmpuint(check.rows, ==, 2);
  uint64_t next;
  g_assert_true(outbox_journal_numbers(journal, &next, &error));
  g_assert_cmpuint(next, ==, 70000);
}

static void test_migrate(Fixture *fixture, gconstpointer unused) {
  check_migrated(fixture);
  check_migrated(fixture);
}

// Those who only read bring nothing up.
static void test_read(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_assert_null(outbox_journal_open_to_read(fixture->path, &error));
  g_assert_error(error, OUTBOX_ERROR, EIO);
  g_assert_cmpuint(outbox_journal_count(fixture->path), ==, 1);
  check_migrated(fixture);
  g_clear_error(&error);
  g_autoptr(OutboxJournal) journal = outbox_journal_open_to_read(fixture->path, &error);
  g_assert_no_error(error);
  Check check = {.version = fixture->version};
  g_assert_true(outbox_journal_load(journal, check_row, &check, &error));
  g_assert_cmpuint(check.rows, ==, 2);
}

// In a child: every connection is killed when it is about to run its n-th statement.
static int statements_left;

static int count_statement(unsigned kind, void *unused, void *statement, void *text) {
  if (statements_left-- == 0) raise(SIGKILL);
  return 0;
}

static int trace(sqlite3 *database, char **unused_error, const void *unused_api) {
  sqlite3_trace_v2(database, SQLITE_TRACE_STMT, count_statement, NULL);
  return SQLITE_OK;
}

// True if the child was killed before it was through.
static bool open_and_die(Fixture *fixture, int after) {
  pid_t child = fork();
  g_assert_cmpint(child, >=, 0);
  if (child == 0) {
    statements_left = after;
    sqlite3_auto_extension((void (*)(void))trace);
    g_autoptr(OutboxJournal) journal = outbox_journal_open(fixture->path, NULL);
    _exit(journal != NULL ? 0 : 1);
  }
  int status;
  g_assert_cmpint(waitpid(child, &status, 0), ==, child);
  if (WIFSIGNALED(status)) return true;
  g_assert_cmpint(WEXITSTATUS(status), ==, 0);
  return false;
}

static int64_t version_of(const char *path) {
  sqlite3 *database;
  sqlite3_stmt *statement;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL), ==,
                  SQLITE_OK);
  g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
  int64_t version = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return version;
}

static void test_killed(Fixture *fixture, gconstpointer unused) {
  unsigned old = 0, new = 0;
  int after = 0;
  while (open_and_die(fixture, after++)) {
    int64_t version = version_of(fixture->path);
    g_assert_true(version == fixture->version || version == 4);
    (*(version == fixture->version ? &old : &new))++;
    check_migrated(fixture);
    remove_files(fixture);
    make_old(fixture);
  }
  // At its BEGIN, at nine changes of the tables, two or one, at the version and at the COMMIT.
  static const unsigned statements[] = {[1] = 12, [2] = 5, [3] = 4};
  g_assert_cmpuint(old, >=, statements[fixture->version]);
  g_test_message("killed %u times before and %u times after the change", old, new);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  static const struct {
    const char *path;
    int version;
    void (*test)(Fixture *fixture, gconstpointer version);
  } tests[] = {
      {"/outbox/migrate/whole/1", 1, test_migrate}, {"/outbox/migrate/whole/2", 2, test_migrate},
      {"/outbox/migrate/whole/3", 3, test_migrate}, {"/outbox/migrate/read/1", 1, test_read},
      {"/outbox/migrate/read/2", 2, test_read},     {"/outbox/migrate/read/3", 3, test_read},
      {"/outbox/migrate/killed/1", 1, test_killed}, {"/outbox/migrate/killed/2", 2, test_killed},
      {"/outbox/migrate/killed/3", 3, test_killed},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, GINT_TO_POINTER(tests[i].version), set_up, tests[i].test,
               tear_down);
  return g_test_run();
}
