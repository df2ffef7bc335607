// Messages that the server lists under another name than before.

#include "cache/ledger_private.h"

static const char FORMER[] =
    "SELECT former.ino FROM seen.inode AS mine JOIN seen.inode AS former USING (parent)"
    " WHERE mine.ino = ?1 AND mine.absent = 0 AND former.ino <> ?1 AND former.id IS NOT NULL"
    " AND former.gone = 0 AND former.hidden = 0 AND former.archived = 1 AND former.absent = 1"
    " AND former.generation = mine.generation"
    " AND former.sha256 = mine.sha256 AND former.size = mine.size"
    " AND " LEDGER_LIKE("former", LEDGER_CALLED("mine")) " LIMIT 1";
static const char GIVE_UP[] =
    "UPDATE seen.inode SET gone = 1, has_body = 0 WHERE ino = ?1 AND gone = 0 AND hidden = 0"
    " AND EXISTS(SELECT 1 FROM seen.inode WHERE ino = ?2 AND gone = 0 AND hidden = 0"
    "  AND absent = 1)";
static const char TAKE_OVER[] =
    "UPDATE seen.inode SET uid = fresh.uid, called = coalesce(fresh.called, fresh.id),"
    " announced = fresh.announced, absent = 0"
    " FROM seen.inode AS fresh WHERE inode.ino = ?2 AND fresh.ino = ?1";

uint64_t ledger_find_former(Ledger *ledger, uint64_t ino) {
  sqlite3_stmt *statement = ledger_statement(ledger, FORMER, NULL);
  if (statement == NULL) return 0;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  uint64_t former =
      sqlite3_step(statement) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  return former;
}

static bool run_on_both(Ledger *ledger, const char *sql, uint64_t ino, uint64_t former,
                        GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)former);
  return ledger_run(ledger, statement, "recognise a message", error);
}

bool ledger_take_over(Ledger *ledger, uint64_t former, uint64_t ino, GError **error) {
  if (!run_on_both(ledger, GIVE_UP, ino, former, error)) return false;
  // Removed meanwhile, or listed again: nothing is to be done.
  return sqlite3_changes(ledger_database(ledger)) == 0 ||
         run_on_both(ledger, TAKE_OVER, ino, former, error);
}
