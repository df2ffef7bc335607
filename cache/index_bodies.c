// The writing half of the index: which bodies are here, how large they are, and which of them was
// not wanted for the longest time.

#include "cache/index_private.h"

static const char SET_BODY[] =
    "UPDATE inode SET size = ?2, size_exact = 1, sha256 = ?3, has_body = ?4, used = ?5,"
    " shares = ?6 AND EXISTS(SELECT 1 FROM inode AS twin WHERE twin.email_id = inode.email_id"
    "  AND twin.has_body = 1 AND twin.ino <> inode.ino)"
    " WHERE ino = ?1";
static const char SET_SIZE[] = "UPDATE inode SET size = ?2, size_exact = 1 WHERE ino = ?1";
static const char SET_ANNOUNCED[] = "UPDATE inode SET announced = ?2 WHERE ino = ?1";
static const char TOUCH_BODY[] = "UPDATE inode SET used = ?2 WHERE ino = ?1 AND has_body = 1";
static const char FORGET_BODY[] = "UPDATE inode SET has_body = 0 WHERE ino = ?1 AND has_body = 1";
static const char CACHED_BYTES[] = "SELECT bytes FROM cached";
// Where all is to be kept, what is not in the archive yet stays: it may be the only copy soon.
static const char OLDEST[] =
    "SELECT ino, size FROM inode WHERE has_body = 1 AND absent = 0"
    " AND (archived = 1 OR id IS NULL OR NOT (SELECT keeps FROM archiving))"
    " ORDER BY used, ino";

bool index_set_body(Index *index, uint64_t ino, uint64_t size, const uint8_t *sha256, bool on_disk,
                    bool is_linked, int64_t now_ns, GError **error) {
  sqlite3_stmt *statement = index_statement(index, SET_BODY, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)size);
  sqlite3_bind_blob(statement, 3, sha256, 32, SQLITE_STATIC);
  sqlite3_bind_int(statement, 4, on_disk);
  sqlite3_bind_int64(statement, 5, now_ns);
  sqlite3_bind_int(statement, 6, is_linked);
  return index_run(index, statement, "store a size", error);
}

static bool run_with(Index *index, const char *sql, uint64_t ino, int64_t number,
                     const char *attempt, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, number);
  return index_run(index, statement, attempt, error);
}

bool index_set_size(Index *index, uint64_t ino, uint64_t size, GError **error) {
  return run_with(index, SET_SIZE, ino, (int64_t)size, "store a size", error);
}

bool index_set_announced(Index *index, uint64_t ino, int64_t size, GError **error) {
  return run_with(index, SET_ANNOUNCED, ino, size, "store a size", error);
}

bool index_touch_body(Index *index, uint64_t ino, int64_t now_ns, GError **error) {
  return run_with(index, TOUCH_BODY, ino, now_ns, "date a body", error);
}

bool index_forget_body(Index *index, uint64_t ino, GError **error) {
  sqlite3_stmt *statement = index_statement(index, FORGET_BODY, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  return index_run(index, statement, "forget a body", error);
}

bool index_cached_bytes(Index *index, uint64_t *bytes, GError **error) {
  sqlite3_stmt *statement = index_statement(index, CACHED_BYTES, error);
  if (statement == NULL) return false;
  int code = sqlite3_step(statement);
  *bytes = code == SQLITE_ROW ? (uint64_t)MAX(sqlite3_column_int64(statement, 0), 0) : 0;
  if (code != SQLITE_ROW) index_fail(index, "measure the bodies", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW;
}

bool index_oldest_bodies(Index *index, IndexBodyFunc each, gpointer data, GError **error) {
  sqlite3_stmt *statement = index_statement(index, OLDEST, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    if (!each((uint64_t)sqlite3_column_int64(statement, 0),
              (uint64_t)sqlite3_column_int64(statement, 1), data))
      break;
  }
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "find old bodies", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}
