#include "cache/index.h"

#include <errno.h>
#include <unistd.h>

#include "cache/index_private.h"

// Raised whenever the tables below change; an index of another version is rebuilt.
#define SCHEMA_VERSION 7
#define APPLICATION_ID 0x6d6c6673  // "mlfs"
#define WRITER_PATIENCE_MS 20000
#define EPOCH_2020 G_GINT64_CONSTANT(1577836800)

#define COUNT_HEIR                                                 \
  "UPDATE inode SET shares = 0 WHERE ino = (SELECT ino FROM inode" \
  " WHERE email_id = old.email_id AND has_body = 1 AND shares = 1 AND ino <> old.ino LIMIT 1);"
static const char SCHEMA[] =
    "CREATE TABLE owner(name TEXT NOT NULL);"
    "CREATE TABLE quota(used INTEGER NOT NULL, lim INTEGER NOT NULL);"
    "INSERT INTO quota VALUES(0, 0);"
    "CREATE TABLE inode("
    "  ino INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  parent INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL,"
    "  gone INTEGER NOT NULL DEFAULT 0,"
    "  name TEXT NOT NULL,"
    "  first_seen INTEGER NOT NULL,"  // nanoseconds
    // Messages only. id: what stands for the UID in the name: always where the server has no UIDs,
    // else where it is no longer the UID. called: what a server without UIDs calls it, where that
    // is not its id (NULL): another message that stays has that.
    "  generation INTEGER, uid INTEGER, id TEXT, called TEXT,"
    "  size INTEGER, size_exact INTEGER NOT NULL DEFAULT 0, announced INTEGER,"
    // shares: its body is the file of another message with its email_id, which counts for both.
    "  has_body INTEGER NOT NULL DEFAULT 0, shares INTEGER NOT NULL DEFAULT 0,"
    "  sha256 BLOB, used INTEGER,"
    "  internaldate INTEGER, flags TEXT,"
    "  sender TEXT, subject TEXT, date TEXT, message_id TEXT, email_id TEXT,"
    // As the ledger has it (cache/ledger.h). hidden: a user removed it, the server may have it
    // still; archived: it stays, whether the server has it or not; absent: it stays, and the server
    // did not list it last.
    "  hidden INTEGER NOT NULL DEFAULT 0, archived INTEGER NOT NULL DEFAULT 0,"
    "  absent INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX inode_by_parent ON inode(parent);"
    "CREATE INDEX inode_by_name ON inode(parent, name);"
    "CREATE INDEX inode_by_uid ON inode(parent, uid) WHERE uid IS NOT NULL;"
    "CREATE INDEX inode_by_id ON inode(parent, id) WHERE id IS NOT NULL;"
    "CREATE INDEX inode_by_email ON inode(email_id) WHERE email_id IS NOT NULL;"
    "CREATE INDEX inode_by_use ON inode(used, ino, size) WHERE has_body = 1 AND absent = 0;"
    "CREATE INDEX inode_gone ON inode(ino) WHERE gone = 1;"
    "CREATE TABLE folder("
    "  ino INTEGER PRIMARY KEY REFERENCES inode(ino),"
    "  server_name TEXT NOT NULL, delimiter INTEGER NOT NULL, attributes INTEGER NOT NULL,"
    "  uidvalidity INTEGER NOT NULL DEFAULT 0, uidnext INTEGER NOT NULL DEFAULT 0,"
    "  present INTEGER NOT NULL DEFAULT 0, modseq INTEGER NOT NULL DEFAULT 0,"
    "  generation INTEGER NOT NULL DEFAULT 0, listed INTEGER NOT NULL DEFAULT 0,"
    "  synced_ns INTEGER NOT NULL DEFAULT 0, mtime INTEGER NOT NULL,"
    "  subfolders INTEGER NOT NULL DEFAULT 0, marked INTEGER NOT NULL DEFAULT 0,"
    "  touched INTEGER NOT NULL DEFAULT 0,"
    // The highest UID of ours that a message of a server without UIDs had; 0: it has its own.
    "  last_number INTEGER NOT NULL DEFAULT 0,"
    "  bytes INTEGER NOT NULL DEFAULT 0, messages INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX folder_by_server_name ON folder(server_name);"
    // Messages that are waited for, since a server without UIDs refuses what they are to be named
    // by: by what it calls them; since when, and when it did so last.
    "CREATE TABLE refusal(called TEXT PRIMARY KEY, since INTEGER NOT NULL, last INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    // Listings under way, or broken off by a crash.
    "CREATE TABLE building(generation INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL);"
    "CREATE TRIGGER message_gone AFTER UPDATE OF gone ON inode"
    "  WHEN new.kind = 1 AND new.gone = 1 AND old.gone = 0 BEGIN"
    "  UPDATE folder SET messages = messages - 1, bytes = bytes - max(old.size, 0)"
    "  WHERE ino = new.parent; END;"
    "CREATE TRIGGER message_deleted AFTER DELETE ON inode WHEN old.kind = 1 AND old.gone = 0 BEGIN"
    "  UPDATE folder SET messages = messages - 1, bytes = bytes - max(old.size, 0)"
    "  WHERE ino = old.parent; END;"
    // What the bodies take on disk.
    "CREATE TABLE cached(bytes INTEGER NOT NULL);"
    "INSERT INTO cached VALUES(0);"
    "CREATE TRIGGER body_counted AFTER UPDATE OF has_body, shares, size ON inode"
    "  WHEN old.has_body + new.has_body > 0 BEGIN"
    "  UPDATE cached SET bytes = bytes + new.has_body * (1 - new.shares) * new.size"
    "  - old.has_body * (1 - old.shares) * old.size; END;"
    "CREATE TRIGGER body_deleted AFTER DELETE ON inode WHEN old.has_body = 1 BEGIN"
    "  UPDATE cached SET bytes = bytes - (1 - old.shares) * old.size; END;"
    // Of the messages that share a file one counts; when it goes, another does.
    "CREATE TRIGGER body_left AFTER UPDATE OF has_body ON inode"
    "  WHEN old.has_body = 1 AND new.has_body = 0 AND old.email_id IS NOT NULL AND old.shares = 0"
    "  BEGIN " COUNT_HEIR
    "END;"
    "CREATE TRIGGER body_left_deleted AFTER DELETE ON inode"
    "  WHEN old.has_body = 1 AND old.email_id IS NOT NULL AND old.shares = 0"
    "  BEGIN " COUNT_HEIR
    "END;"
    // Which inode of a renumbered folder is which; empty between two uses.
    "CREATE TABLE rematch(old INTEGER PRIMARY KEY, new INTEGER NOT NULL);"
    "CREATE TRIGGER message_sized AFTER UPDATE OF size ON inode"
    "  WHEN new.kind = 1 AND new.gone = 0 AND new.size <> old.size BEGIN"
    "  UPDATE folder SET bytes = bytes + max(new.size, 0) - max(old.size, 0)"
    "  WHERE ino = new.parent; END;";
// What the ledger has told (cache/ledger.h): what users removed, which is hidden also where the
// server tells of it as news, if it is the same message; whether all is to be kept, so that what is
// here stays until it is archived; and what is still to be.
#define IS_REMOVED                                                                   \
  " FROM removal WHERE removal.called = coalesce(new.called, new.id)"                \
  " AND (removal.announced IS new.announced OR coalesce(removal.announced, -1) = -1" \
  "  OR coalesce(new.announced, -1) = -1) AND removal.message_id IS new.message_id"
static const char SCHEMA_OF_LEDGER[] =
    "CREATE TABLE removal(id TEXT PRIMARY KEY, called TEXT NOT NULL, announced INTEGER,"
    "  message_id TEXT) WITHOUT ROWID;"
    "CREATE INDEX removal_by_called ON removal(called);"
    "CREATE TRIGGER message_removed AFTER INSERT ON inode WHEN new.id IS NOT NULL"
    "  AND EXISTS(SELECT 1" IS_REMOVED
    ") BEGIN"
    "  UPDATE inode SET hidden = 1, called = coalesce(new.called, new.id),"
    "  id = (SELECT removal.id" IS_REMOVED
    ") WHERE ino = new.ino; END;"
    "CREATE TABLE archiving(keeps INTEGER NOT NULL);"
    "INSERT INTO archiving VALUES(0);"
    "CREATE INDEX inode_by_called ON inode(parent, coalesce(called, id)) WHERE id IS NOT NULL;"
    "CREATE INDEX inode_to_archive ON inode(parent, ino) WHERE archived = 0 AND id IS NOT NULL;";

G_DEFINE_QUARK(mailfs_index_error, index_error)

// SQLite tells ENOSPC of most writes as FULL, but not that of its shared memory, nor a quota's.
static IndexError error_of(const Index *index) {
  int code = sqlite3_errcode(index->db), cause = sqlite3_system_errno(index->db);
  bool is_full = sqlite3_extended_errcode(index->db) == SQLITE_IOERR_SHMSIZE || cause == ENOSPC ||
                 cause == EDQUOT;
  if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) return INDEX_ERROR_CORRUPT;
  if (code == SQLITE_FULL || (code == SQLITE_IOERR && is_full)) return INDEX_ERROR_FULL;
  return INDEX_ERROR_SQLITE;
}

bool index_fail(Index *index, const char *attempt, GError **error) {
  g_set_error(error, INDEX_ERROR, error_of(index), "index: %s: %s", attempt,
              sqlite3_errmsg(index->db));
  return false;
}

static bool run_script(Index *index, const char *sql, const char *attempt, GError **error) {
  if (sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK) return true;
  return index_fail(index, attempt, error);
}

static void finalize_statement(gpointer statement) {
  sqlite3_finalize(statement);
}

// The library's own counting of its memory takes a lock for each piece of it.
static void set_up_library(void) {
  static size_t done = 0;
  if (!g_once_init_enter(&done)) return;
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  g_once_init_leave(&done, 1);
}

static Index *connect_file(const char *path, IndexMode mode, int flags, GError **error) {
  set_up_library();
  g_autoptr(Index) index = g_new0(Index, 1);
  index->mode = mode;
  index->owner = g_thread_self();
  index->statements = g_hash_table_new_full(NULL, NULL, NULL, finalize_statement);
  if (sqlite3_open_v2(path, &index->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
    index_fail(index, "open", error);
    return NULL;
  }
  // What SQLite needs beside the file to read it stays when nobody does: a disk that is full by the
  // next time has no room for it.
  sqlite3_file_control(index->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &(int){1});
  sqlite3_extended_result_codes(index->db, 0);
  sqlite3_busy_timeout(index->db, mode == INDEX_READ ? 0 : WRITER_PATIENCE_MS);
  return g_steal_pointer(&index);
}

static bool query_number(Index *index, const char *sql, int64_t *number, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return false;
  int code = sqlite3_step(statement);
  *number = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    index_fail(index, sql, error);
    sqlite3_reset(statement);
    return false;
  }
  sqlite3_reset(statement);
  return true;
}

static bool write_schema(Index *index, const char *owner, GError **error) {
  int64_t now_ns = g_get_real_time() * 1000;
  // Numbers begin with the microseconds since 2020: no listing is that fast, so the numbers of an
  // index that was deleted never return.
  int64_t first = now_ns / 1000 - EPOCH_2020 * G_USEC_PER_SEC;
  char *rows = sqlite3_mprintf(
      "INSERT INTO owner VALUES(%Q);"
      "INSERT INTO inode(ino, parent, kind, name, first_seen) VALUES(%d, 0, %d, '', %lld);"
      "INSERT INTO folder(ino, server_name, delimiter, attributes, mtime)"
      " VALUES(%d, '', 0, %d, %lld);"
      "UPDATE sqlite_sequence SET seq = %lld WHERE name = 'inode';"
      "PRAGMA application_id = %d; PRAGMA user_version = %d;",
      owner, INODE_ROOT, INODE_FOLDER, (long long)now_ns, INODE_ROOT, MAILBOX_NOSELECT,
      (long long)now_ns, (long long)MAX(first, INODE_ROOT), APPLICATION_ID, SCHEMA_VERSION);
  bool done = run_script(index, SCHEMA, "create tables", error) &&
              run_script(index, SCHEMA_OF_LEDGER, "create tables", error) &&
              run_script(index, rows, "create the root", error);
  sqlite3_free(rows);
  return done;
}

static bool belongs_to(Index *index, const char *owner, GError **error) {
  sqlite3_stmt *statement =
      index_statement(index, "SELECT count(*) FROM owner WHERE name = ?", error);
  if (statement == NULL) return false;
  index_bind_text(statement, 1, owner);
  bool is_ours = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == 1;
  sqlite3_reset(statement);
  if (!is_ours) {
    g_set_error(error, INDEX_ERROR, INDEX_ERROR_CORRUPT, "index: belongs to another account");
  }
  return is_ours;
}

static bool check_or_write_schema(Index *index, const char *owner, GError **error) {
  int64_t application, version, tables;
  if (!query_number(index, "PRAGMA application_id", &application, error) ||
      !query_number(index, "PRAGMA user_version", &version, error) ||
      !query_number(index, "SELECT count(*) FROM sqlite_master", &tables, error)) {
    return false;
  }
  if (tables == 0) return write_schema(index, owner, error);
  if (application != APPLICATION_ID || version != SCHEMA_VERSION) {
    g_set_error(error, INDEX_ERROR, INDEX_ERROR_CORRUPT,
                "index: of another program or version (%" G_GINT64_FORMAT ")", version);
    return false;
  }
  return belongs_to(index, owner, error);
}

bool index_create(const char *path, const char *owner, GError **error) {
  g_autoptr(Index) index =
      connect_file(path, INDEX_WRITE, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, error);
  if (index == NULL) return false;
  if (!run_script(index, "PRAGMA journal_mode = WAL", "use a write-ahead log", error) ||
      !index_begin(index, error)) {
    return false;
  }
  return check_or_write_schema(index, owner, error) && index_commit(index, error);
}

Index *index_open(const char *path, IndexMode mode, GError **error) {
  // The reader's connection may write as far as SQLite is concerned: it shares the WAL index.
  g_autoptr(Index) index = connect_file(path, mode, SQLITE_OPEN_READWRITE, error);
  if (index == NULL) return NULL;
  // A log that grew while a reader held it back is cut when it is begun again.
  if (!run_script(index,
                  "PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                  " PRAGMA journal_size_limit = 4194304",
                  "set up", error)) {
    return NULL;
  }
  if (mode == INDEX_READ && !run_script(index, "PRAGMA query_only = 1", "set up", error)) {
    return NULL;
  }
  return g_steal_pointer(&index);
}

void index_free(Index *index) {
  if (index == NULL) return;
  index_rollback(index);
  index_refresh(index);
  g_hash_table_destroy(index->statements);
  sqlite3_close(index->db);
  g_free(index);
}

void index_use_uid_names(Index *index) {
  index->uid_names = true;
}

sqlite3_stmt *index_statement(Index *index, const char *sql, GError **error) {
  sqlite3_stmt *statement = g_hash_table_lookup(index->statements, sql);
  if (statement != NULL) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
  }
  if (sqlite3_prepare_v3(index->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
      SQLITE_OK) {
    index_fail(index, sql, error);
    return NULL;
  }
  g_hash_table_insert(index->statements, (gpointer)sql, statement);
  return statement;
}

bool index_run(Index *index, sqlite3_stmt *statement, const char *attempt, GError **error) {
  int code = sqlite3_step(statement);
  bool done = code == SQLITE_DONE || code == SQLITE_ROW;
  if (!done) index_fail(index, attempt, error);
  sqlite3_reset(statement);
  return done;
}

void index_bind_text(sqlite3_stmt *statement, int column, const char *text) {
  if (text != NULL) sqlite3_bind_text(statement, column, text, -1, SQLITE_TRANSIENT);
}

bool index_begin(Index *index, GError **error) {
  g_assert(!index->in_transaction);
  if (!run_script(index, "BEGIN IMMEDIATE", "begin", error)) return false;
  index->in_transaction = true;
  return true;
}

bool index_commit(Index *index, GError **error) {
  g_assert(index->in_transaction);
  if (!run_script(index, "COMMIT", "commit", error)) return false;
  index->in_transaction = false;
  return true;
}

void index_rollback(Index *index) {
  if (!index->in_transaction) return;
  sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
  index->in_transaction = false;
}
