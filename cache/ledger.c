// The ledger's file: made, told from others, opened with the index beside it.

#include "cache/ledger.h"

#include <errno.h>
#include <sys/stat.h>

#include "cache/ledger_private.h"

#define VERSION 1
// "MFlg": tells this database from any other.
#define APPLICATION_ID 0x4d466c67
// For session threads that write the index meanwhile, and a backup that reads the ledger.
#define BUSY_MS 20000

static const char make_sql[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE main.owner (name TEXT NOT NULL);"
    "CREATE TABLE main.removal (id TEXT PRIMARY KEY, called TEXT NOT NULL, announced INTEGER,"
    " message_id TEXT, asked_ns INTEGER NOT NULL) WITHOUT ROWID;"
    // number: in which order they were archived. lost: the body was not there at the last start.
    "CREATE TABLE main.kept (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " called TEXT NOT NULL, lost INTEGER NOT NULL DEFAULT 0,"
    " name TEXT NOT NULL, size INTEGER NOT NULL, sha256 BLOB NOT NULL, announced INTEGER,"
    " internaldate INTEGER, first_seen INTEGER NOT NULL, flags TEXT, sender TEXT, subject TEXT,"
    " date TEXT, message_id TEXT);"
    "PRAGMA main.application_id = %d;"
    "PRAGMA main.user_version = %d;"
    "COMMIT;";

struct Ledger {
  sqlite3 *database;
  GHashTable *statements;  // text of a statement, by address -> sqlite3_stmt
};

G_DEFINE_QUARK(mailfs_ledger_error, ledger_error)

sqlite3 *ledger_database(Ledger *ledger) {
  return ledger->database;
}

bool ledger_fail(Ledger *ledger, const char *doing, GError **error) {
  int code = sqlite3_errcode(ledger->database) & 0xff;
  int cause = sqlite3_system_errno(ledger->database);
  bool full = code == SQLITE_FULL || (code == SQLITE_IOERR && (cause == ENOSPC || cause == EDQUOT));
  int number = full ? ENOSPC : code == SQLITE_BUSY ? EBUSY : EIO;
  g_set_error(error, LEDGER_ERROR, number, "ledger: cannot %s: %s", doing,
              sqlite3_errmsg(ledger->database));
  return false;
}

bool ledger_execute(Ledger *ledger, const char *sql, const char *doing, GError **error) {
  return sqlite3_exec(ledger->database, sql, NULL, NULL, NULL) == SQLITE_OK ||
         ledger_fail(ledger, doing, error);
}

sqlite3_stmt *ledger_statement(Ledger *ledger, const char *sql, GError **error) {
  sqlite3_stmt *statement = g_hash_table_lookup(ledger->statements, sql);
  if (statement != NULL) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
  }
  if (sqlite3_prepare_v3(ledger->database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
      SQLITE_OK) {
    ledger_fail(ledger, "prepare a statement", error);
    return NULL;
  }
  g_hash_table_insert(ledger->statements, (gpointer)sql, statement);
  return statement;
}

bool ledger_run(Ledger *ledger, sqlite3_stmt *statement, const char *doing, GError **error) {
  int code = sqlite3_step(statement);
  bool done = code == SQLITE_DONE || code == SQLITE_ROW || ledger_fail(ledger, doing, error);
  sqlite3_reset(statement);
  return done;
}

static bool query(Ledger *ledger, const char *sql, int64_t *number, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  if (statement == NULL) return false;
  bool found = sqlite3_step(statement) == SQLITE_ROW || ledger_fail(ledger, "read it", error);
  if (found) *number = sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return found;
}

static bool make(Ledger *ledger, GError **error) {
  g_autofree char *sql = g_strdup_printf(make_sql, APPLICATION_ID, VERSION);
  if (ledger_execute(ledger, sql, "make its tables", error)) return true;
  ledger_rollback(ledger);
  return false;
}

static bool fail_lost(GError **error) {
  g_set_error_literal(error, LEDGER_ERROR, EIO,
                      "the ledger that belongs to the archive beside it is lost; put it back, or "
                      "move the archive away");
  return false;
}

// Asked before SQLite opens it, which would delete the log of one that is not there.
static bool is_lost(const LedgerOptions *options) {
  struct stat status;
  bool has_bytes = stat(options->path, &status) == 0 && status.st_size > 0;
  return !has_bytes && !options->may_make;
}

// A database without tables is one whose making was interrupted, new, or what is left of one.
static bool make_or_check(Ledger *ledger, bool may_make, bool *is_new, GError **error) {
  int64_t tables, application, version;
  if (!query(ledger, "SELECT count(*) FROM main.sqlite_schema", &tables, error) ||
      !query(ledger, "PRAGMA main.application_id", &application, error) ||
      !query(ledger, "PRAGMA main.user_version", &version, error))
    return false;
  *is_new = tables == 0 && application == 0;
  if (*is_new) return may_make ? make(ledger, error) : fail_lost(error);
  if (application == APPLICATION_ID && version == VERSION) return true;
  g_set_error_literal(error, LEDGER_ERROR, EIO, "ledger: not a ledger of this version");
  return false;
}

static bool set_owner(Ledger *ledger, const char *owner, GError **error) {
  sqlite3_stmt *statement =
      ledger_statement(ledger, "INSERT INTO main.owner(rowid, name) VALUES(1, ?1)", error);
  if (statement == NULL || !ledger_execute(ledger, "DELETE FROM main.owner", "set it up", error))
    return false;
  sqlite3_bind_text(statement, 1, owner, -1, SQLITE_STATIC);
  return ledger_run(ledger, statement, "set it up", error);
}

// Newly allocated; NULL without error: nobody's yet.
static bool read_owner(Ledger *ledger, char **owner, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, "SELECT name FROM main.owner", error);
  if (statement == NULL) return false;
  int code = sqlite3_step(statement);
  *owner = code == SQLITE_ROW ? g_strdup((const char *)sqlite3_column_text(statement, 0)) : NULL;
  if (code != SQLITE_ROW && code != SQLITE_DONE) ledger_fail(ledger, "read it", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

// The names of one server's messages mean nothing to another.
static bool check_owner(Ledger *ledger, const char *owner, GError **error) {
  g_autofree char *known = NULL;
  int64_t rows;
  if (!read_owner(ledger, &known, error)) return false;
  if (g_strcmp0(known, owner) == 0) return true;
  if (!query(ledger,
             "SELECT (SELECT count(*) FROM main.kept) + (SELECT count(*) FROM main.removal)", &rows,
             error))
    return false;
  if (rows == 0) return set_owner(ledger, owner, error);
  g_set_error(error, LEDGER_ERROR, EIO,
              "the ledger is of the mail of %s, not of %s; name another account or state_dir for "
              "this one, or move the ledger and the archive beside it away",
              known, owner);
  return false;
}

static bool attach_index(Ledger *ledger, const char *path, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, "ATTACH ?1 AS seen", error);
  if (statement == NULL) return false;
  sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
  return ledger_run(ledger, statement, "open the index", error) &&
         ledger_execute(ledger, "PRAGMA seen.synchronous = NORMAL", "set it up", error);
}

// is_alone: what SQLite shares with other programs that read the ledger lies in memory, since the
// disk has no room for it.
static bool set_up(Ledger *ledger, const LedgerOptions *options, bool is_alone, bool *is_new,
                   GError **error) {
  sqlite3_busy_timeout(ledger->database, BUSY_MS);
  if (is_alone &&
      !ledger_execute(ledger, "PRAGMA main.locking_mode = EXCLUSIVE", "set it up", error))
    return false;
  return make_or_check(ledger, options->may_make, is_new, error) &&
         ledger_execute(ledger, "PRAGMA main.journal_mode = WAL; PRAGMA main.synchronous = FULL",
                        "set it up", error) &&
         check_owner(ledger, options->owner, error) &&
         attach_index(ledger, options->index_path, error);
}

static void finalize(gpointer statement) {
  sqlite3_finalize(statement);
}

static Ledger *try_open(const LedgerOptions *options, bool is_alone, bool *is_new, GError **error) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  g_autoptr(Ledger) ledger = g_new0(Ledger, 1);
  ledger->statements = g_hash_table_new_full(NULL, NULL, NULL, finalize);
  if (is_lost(options))
    fail_lost(error);
  else if (sqlite3_open_v2(options->path, &ledger->database, flags, NULL) != SQLITE_OK)
    ledger_fail(ledger, "open it", error);
  else if (set_up(ledger, options, is_alone, is_new, error))
    return g_steal_pointer(&ledger);
  g_prefix_error(error, "%s: ", options->path);
  return NULL;
}

Ledger *ledger_open(const LedgerOptions *options, bool *is_new, GError **error) {
  g_autoptr(GError) failure = NULL;
  *is_new = false;
  Ledger *ledger = try_open(options, false, is_new, &failure);
  if (ledger != NULL) return ledger;
  if (!*is_new && g_error_matches(failure, LEDGER_ERROR, ENOSPC))
    return try_open(options, true, is_new, error);
  g_propagate_error(error, g_steal_pointer(&failure));
  return NULL;
}

void ledger_free(Ledger *ledger) {
  if (ledger == NULL) return;
  g_hash_table_destroy(ledger->statements);
  sqlite3_close(ledger->database);
  g_free(ledger);
}

// Locks nothing yet: the first change of either side does, and waits for that. So a change comes
// before all reading: what was read already SQLite does not wait to change.
bool ledger_begin(Ledger *ledger, GError **error) {
  return ledger_execute(ledger, "BEGIN", "begin a change", error);
}

bool ledger_commit(Ledger *ledger, GError **error) {
  return ledger_execute(ledger, "COMMIT", "commit a change", error);
}

void ledger_rollback(Ledger *ledger) {
  // A full disk may have rolled back already.
  if (!sqlite3_get_autocommit(ledger->database))
    sqlite3_exec(ledger->database, "ROLLBACK", NULL, NULL, NULL);
}

bool ledger_count_kept(Ledger *ledger, uint64_t *count, GError **error) {
  int64_t number = 0;
  bool counted = query(ledger, "SELECT count(*) FROM main.kept WHERE lost = 0", &number, error);
  *count = (uint64_t)number;
  return counted;
}
