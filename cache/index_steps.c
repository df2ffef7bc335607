// Reading the index: what follows a message, in the orders in which readers go through a folder.

#include "cache/index_private.h"

#define COLUMNS                                                                               \
  "SELECT ino, uid, size, size_exact, has_body OR archived, email_id IS NOT NULL FROM inode " \
  "WHERE parent = ?1"
#define SHOWN \
  " AND gone = 0 AND hidden = 0 AND generation = (SELECT generation FROM folder WHERE ino = ?1)"
// A message's name with names=uid; written like this in the queries, SQLite finds its index.
#define UID_NAME "coalesce(id, uid) || '.eml'"

static const char ORDER_BY_UID_NAMES[] =
    "CREATE INDEX IF NOT EXISTS inode_by_uid_name ON inode(parent, " UID_NAME
    ") WHERE uid IS NOT NULL";
static const char BY_INO[] = COLUMNS " AND ino > ?2" SHOWN " ORDER BY ino";
static const char BY_NAME[] =
    COLUMNS " AND name > (SELECT name FROM inode WHERE ino = ?2)" SHOWN " ORDER BY name";
static const char BY_UID_NAME[] =
    COLUMNS " AND uid IS NOT NULL AND " UID_NAME " > (SELECT " UID_NAME
            " FROM inode WHERE ino = ?2)" SHOWN " ORDER BY " UID_NAME;
static const char BY_UID[] = COLUMNS
    " AND uid IS NOT NULL AND uid > (SELECT uid FROM inode WHERE ino = ?2)" SHOWN " ORDER BY uid";

bool index_order_by_uid_names(Index *index, GError **error) {
  sqlite3_stmt *statement = index_statement(index, ORDER_BY_UID_NAMES, error);
  return statement != NULL && index_run(index, statement, "order by UIDs", error);
}

static const char *query_for(const Index *index, IndexOrder order) {
  if (order == INDEX_BY_INO) return BY_INO;
  if (order == INDEX_BY_UID) return BY_UID;
  return index->uid_names ? BY_UID_NAME : BY_NAME;
}

IndexAnswer index_following(Index *index, uint64_t folder, IndexOrder order, uint64_t after,
                            IndexStepFunc each, gpointer data) {
  sqlite3_stmt *statement = index_reading(index, query_for(index, order));
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)after);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    IndexStep step = {
        .ino = (uint64_t)sqlite3_column_int64(statement, 0),
        .uid = (uint32_t)sqlite3_column_int64(statement, 1),
        .size_exact = sqlite3_column_int(statement, 3) != 0,
        .has_body = sqlite3_column_int(statement, 4) != 0,
        .has_email_id = sqlite3_column_int(statement, 5) != 0,
    };
    step.size = index_shown_size(sqlite3_column_int64(statement, 2), step.size_exact);
    if (!each(&step, data)) break;
  }
  IndexAnswer answer =
      code == SQLITE_ROW || code == SQLITE_DONE ? INDEX_FOUND : index_answer(index, code);
  sqlite3_reset(statement);
  return answer;
}
