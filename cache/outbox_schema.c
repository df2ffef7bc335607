#include "cache/outbox_schema.h"

#include <errno.h>

#include "cache/outbox.h"

#define VERSION 4
// "MFob": tells this database from any other.
#define APPLICATION_ID 0x4d466f62

// What version 2 has beside version 1.
#define NEW_IN_2                                                                \
  "ALTER TABLE letter ADD COLUMN envelope_from TEXT;"                           \
  "ALTER TABLE letter ADD COLUMN notify TEXT;"                                  \
  "ALTER TABLE letter ADD COLUMN ret TEXT;"                                     \
  "ALTER TABLE letter ADD COLUMN envid TEXT;"                                   \
  "ALTER TABLE letter ADD COLUMN origin TEXT;"                                  \
  "ALTER TABLE letter ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;"            \
  "CREATE TABLE addressee (letter INTEGER NOT NULL, position INTEGER NOT NULL," \
  " address TEXT NOT NULL, PRIMARY KEY (letter, position)) WITHOUT ROWID;"
// What version 3 has beside version 2; its letters may be OUTBOX_KEPT.
#define NEW_IN_3 "ALTER TABLE letter ADD COLUMN accepted_at INTEGER NOT NULL DEFAULT 0;"
// What version 4 has beside version 3.
#define NEW_IN_4 "CREATE TABLE content (letter INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"

static const char make_sql[] =
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
    "INSERT INTO numbers VALUES (0);" NEW_IN_2 NEW_IN_3 NEW_IN_4
    "PRAGMA application_id = %d;"
    "PRAGMA user_version = %d;"
    "COMMIT;";

// By the version that is there.
static const char *const migrate_sql[VERSION] = {
    [1] = "BEGIN IMMEDIATE;" NEW_IN_2 NEW_IN_3 NEW_IN_4 "PRAGMA user_version = %d; COMMIT;",
    [2] = "BEGIN IMMEDIATE;" NEW_IN_3 NEW_IN_4 "PRAGMA user_version = %d; COMMIT;",
    [3] = "BEGIN IMMEDIATE;" NEW_IN_4 "PRAGMA user_version = %d; COMMIT;",
};

bool outbox_sql_fail(sqlite3 *database, const char *doing, GError **error) {
  bool full = sqlite3_errcode(database) == SQLITE_FULL;
  g_set_error(error, OUTBOX_ERROR, full ? ENOSPC : EIO, "outbox journal: cannot %s: %s", doing,
              sqlite3_errmsg(database));
  return false;
}

bool outbox_sql_execute(sqlite3 *database, const char *sql, const char *doing, GError **error) {
  return sqlite3_exec(database, sql, NULL, NULL, NULL) == SQLITE_OK ||
         outbox_sql_fail(database, doing, error);
}

bool outbox_sql_number(sqlite3 *database, const char *sql, int64_t *number, GError **error) {
  sqlite3_stmt *statement = NULL;
  bool ok = sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK &&
            sqlite3_step(statement) == SQLITE_ROW;
  if (ok)
    *number = sqlite3_column_int64(statement, 0);
  else
    outbox_sql_fail(database, "read it", error);
  sqlite3_finalize(statement);
  return ok;
}

typedef struct {
  int64_t tables, application, version;
} Kind;

static bool look(sqlite3 *database, Kind *kind, GError **error) {
  return outbox_sql_number(database, "SELECT count(*) FROM sqlite_schema", &kind->tables, error) &&
         outbox_sql_number(database, "PRAGMA application_id", &kind->application, error) &&
         outbox_sql_number(database, "PRAGMA user_version", &kind->version, error);
}

static bool refuse(GError **error) {
  g_set_error(error, OUTBOX_ERROR, EIO, "outbox journal: not a journal of this version");
  return false;
}

// A transaction that failed half-way must not stay open.
static bool execute_whole(sqlite3 *database, const char *sql, const char *doing, GError **error) {
  if (outbox_sql_execute(database, sql, doing, error)) return true;
  if (!sqlite3_get_autocommit(database)) sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
  return false;
}

static bool make(sqlite3 *database, GError **error) {
  g_autofree char *sql = g_strdup_printf(make_sql, APPLICATION_ID, VERSION);
  return execute_whole(database, sql, "make its tables", error);
}

// On disk before anything is built on it.
static bool migrate(sqlite3 *database, const char *format, GError **error) {
  g_autofree char *sql = g_strdup_printf(format, VERSION);
  return outbox_sql_execute(database, "PRAGMA synchronous = FULL", "set it up", error) &&
         execute_whole(database, sql, "bring it up to this version", error);
}

// A database without tables is one whose making was interrupted, or new.
bool outbox_schema_bring_up(sqlite3 *database, GError **error) {
  Kind kind;
  if (!look(database, &kind, error)) return false;
  if (kind.tables == 0 && kind.application == 0) return make(database, error);
  if (kind.application != APPLICATION_ID) return refuse(error);
  if (kind.version == VERSION) return true;
  bool is_old = kind.version >= 1 && kind.version < VERSION;
  return is_old ? migrate(database, migrate_sql[kind.version], error) : refuse(error);
}

bool outbox_schema_check(sqlite3 *database, GError **error) {
  Kind kind;
  if (!look(database, &kind, error)) return false;
  return (kind.application == APPLICATION_ID && kind.version == VERSION) || refuse(error);
}
