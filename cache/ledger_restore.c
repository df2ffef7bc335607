// The index brought in line with the ledger, at start. Where it is, nothing is written: the disk
// may be full.

#include <errno.h>

#include "cache/ledger_private.h"

static const char FORGET_REMOVALS[] =
    "DELETE FROM seen.removal WHERE NOT EXISTS(SELECT 1 FROM main.removal AS noted"
    "  WHERE noted.id = removal.id AND noted.called = removal.called"
    "  AND noted.announced IS removal.announced AND noted.message_id IS removal.message_id)";
static const char TELL_REMOVALS[] =
    "INSERT OR IGNORE INTO seen.removal"
    " SELECT id, called, announced, message_id FROM main.removal";
static const char SHOW[] =
    "UPDATE seen.inode SET hidden = 0 WHERE hidden = 1"
    " AND id NOT IN (SELECT id FROM main.removal)";
static const char HIDE[] =
    "UPDATE seen.inode SET hidden = 1, archived = 0 WHERE parent = " LEDGER_FOLDER_INO
    " AND hidden = 0 AND gone = 0 AND EXISTS(SELECT 1 FROM main.removal"
    "  WHERE removal.id = inode.id AND removal.message_id IS inode.message_id"
    "  AND (removal.announced IS inode.announced OR coalesce(removal.announced, -1) = -1))";
// Under the id of what is archived there are other bytes: from a ledger that was put back. The
// server will tell of it again.
static const char OTHERS[] =
    "UPDATE seen.inode SET gone = 1, has_body = 0 FROM main.kept WHERE parent = " LEDGER_FOLDER_INO
    " AND gone = 0 AND hidden = 0 AND lost = 0 AND inode.id = kept.id"
    " AND inode.sha256 <> kept.sha256";
static const char NOT_ARCHIVED[] =
    "UPDATE seen.inode SET archived = 0 WHERE archived = 1"
    " AND id NOT IN (SELECT id FROM main.kept WHERE lost = 0)";
static const char ARCHIVED[] =
    "UPDATE seen.inode SET archived = 1, size = kept.size, size_exact = 1, sha256 = kept.sha256"
    " FROM main.kept WHERE parent = " LEDGER_FOLDER_INO
    " AND archived = 0 AND gone = 0 AND lost = 0 AND inode.id = kept.id";
// What the index does not know has numbers above all that it does; whether the server has it is not
// known yet.
static const char MISSING[] =
    "INSERT INTO seen.inode(parent, kind, name, first_seen, generation, uid, id, size, size_exact,"
    " announced, sha256, archived, absent, called, internaldate, flags, sender, subject, date, "
    "message_id)"
    " SELECT folder.ino, 1, kept.name, kept.first_seen, folder.generation,"
    " (SELECT coalesce(max(uid), 0) FROM seen.inode WHERE parent = folder.ino)"
    "  + row_number() OVER (ORDER BY kept.number),"
    " kept.id, kept.size, 1, announced, sha256, 1, 1, nullif(kept.called, kept.id), internaldate,"
    " flags, sender, subject, date, message_id FROM main.kept JOIN seen.folder ON folder.ino "
    "= " LEDGER_FOLDER_INO
    " WHERE kept.lost = 0 AND NOT EXISTS (SELECT 1 FROM seen.inode"
    "  WHERE inode.parent = folder.ino AND inode.id = kept.id AND inode.gone = 0)";
static const char COUNT[] =
    "UPDATE seen.folder SET (messages, bytes, last_number) ="
    " (SELECT count(*), CAST(total(max(size, 0)) AS INTEGER), max(last_number, max(uid))"
    " FROM seen.inode WHERE parent = folder.ino AND kind = 1 AND gone = 0) WHERE ino "
    "= " LEDGER_FOLDER_INO;
static const char SET_KEEPS[] = "UPDATE seen.archiving SET keeps = ?1 WHERE keeps <> ?1";
// Of a folder that the server never told of since the cache was made, the archive is a part: all
// there is where it is meant to be had without the server, else less than nothing.
static const char SET_LISTED[] = "UPDATE seen.folder SET listed = ?1 WHERE ino = " LEDGER_FOLDER_INO
                                 " AND synced_ns = 0 AND generation > 0 AND listed <> ?1";
static const char REMOVALS[] = "SELECT id FROM main.removal ORDER BY asked_ns";

static bool run(Ledger *ledger, const char *sql, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  return statement != NULL && ledger_run(ledger, statement, "restore the index", error);
}

static bool restore_archive(Ledger *ledger, GError **error) {
  return run(ledger, OTHERS, error) && run(ledger, NOT_ARCHIVED, error) &&
         run(ledger, ARCHIVED, error) && run(ledger, MISSING, error) &&
         (sqlite3_changes(ledger_database(ledger)) == 0 || run(ledger, COUNT, error));
}

static bool run_with(Ledger *ledger, const char *sql, bool value, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  if (statement == NULL) return false;
  sqlite3_bind_int(statement, 1, value);
  return ledger_run(ledger, statement, "restore the index", error);
}

bool ledger_restore(Ledger *ledger, bool keeps, GError **error) {
  bool done = ledger_begin(ledger, error) && run(ledger, FORGET_REMOVALS, error) &&
              run(ledger, TELL_REMOVALS, error) && run(ledger, SHOW, error) &&
              run(ledger, HIDE, error) && restore_archive(ledger, error) &&
              run_with(ledger, SET_KEEPS, keeps, error) &&
              run_with(ledger, SET_LISTED, keeps, error) && ledger_commit(ledger, error);
  ledger_rollback(ledger);
  return done;
}

GPtrArray *ledger_removals(Ledger *ledger, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, REMOVALS, error);
  if (statement == NULL) return NULL;
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    g_ptr_array_add(ids, g_strdup((const char *)sqlite3_column_text(statement, 0)));
  if (code != SQLITE_DONE) ledger_fail(ledger, "read it", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? g_steal_pointer(&ids) : NULL;
}
