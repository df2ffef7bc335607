// The writing half of the index: how listings begin and end, and what is gone.

#include "cache/index_private.h"

static const char NEW_GENERATION[] = "INSERT INTO building(folder) VALUES(?1)";
static const char GIVE_UP_OTHERS[] =
    "UPDATE inode SET gone = 1 WHERE parent = ?1 AND generation IN"
    " (SELECT generation FROM building WHERE folder = ?1)";
static const char IS_BUILDING[] = "SELECT count(*) FROM building WHERE folder = ?1";
static const char ADOPT[] =
    "UPDATE inode SET generation = ?2 WHERE parent = ?1 AND uid > ?4 AND generation = ?3"
    " AND gone = 0";
static const char END_BUILDING[] = "DELETE FROM building WHERE folder = ?1";
static const char NEW_NAMES[] =
    "SELECT ino, name, coalesce(id, uid) FROM inode WHERE parent = ?1 AND uid > ?3"
    " AND generation = ?2 AND gone = 0 AND hidden = 0 ORDER BY uid LIMIT ?4";
#define STAYS                                                        \
  "(archived = 1 OR (has_body = 1 AND hidden = 0 AND id IS NOT NULL" \
  " AND (SELECT keeps FROM archiving)))"
static const char RANGE[] =
    "SELECT ino, name, coalesce(id, uid) FROM inode WHERE parent = ?1 AND generation = ?2"
    " AND gone = 0 AND hidden = 0 AND uid BETWEEN ?3 AND ?4 AND NOT " STAYS;
static const char DROP_RANGE[] =
    "UPDATE inode SET gone = 1 WHERE parent = ?1 AND generation = ?2 AND gone = 0"
    " AND uid BETWEEN ?3 AND ?4 AND NOT " STAYS;
static const char NOTE_ABSENT[] =
    "UPDATE inode SET absent = 1 WHERE parent = ?1 AND generation = ?2 AND gone = 0 AND absent = 0"
    " AND uid BETWEEN ?3 AND ?4";
static const char OTHER_GENERATION[] =
    "SELECT generation FROM folder WHERE ino = ?1 AND generation <> ?2";
static const char END_SYNC[] =
    "UPDATE folder SET generation = ?2, listed = 1, uidvalidity = ?3, uidnext = ?4, synced_ns = ?5,"
    " mtime = CASE WHEN ?6 THEN max(mtime + 1, ?5) ELSE mtime END, present = ?7, modseq = ?8"
    " WHERE ino = ?1";
static const char STATUS_OF[] =
    "SELECT folder.ino, listed AND uidvalidity = ?2 AND uidnext = ?3 AND present = ?4"
    " AND modseq = ?5 AND ?5 <> 0, listed FROM folder JOIN inode USING (ino)"
    " WHERE server_name = ?1 AND gone = 0 AND folder.ino <> 1";
static const char IS_CURRENT[] = "UPDATE folder SET synced_ns = ?2 WHERE ino = ?1";
static const char SET_QUOTA[] = "UPDATE quota SET used = ?1, lim = ?2";
// A listing that a crash broke off is as gone as what the server dropped.
static const char GIVE_UP_BUILDING[] =
    "UPDATE inode SET gone = 1 WHERE kind = 1 AND (parent, generation) IN"
    " (SELECT folder, generation FROM building)";
static const char FORGET_BUILDING[] = "DELETE FROM building";
static const char BODIES_GONE[] = "SELECT ino FROM inode WHERE gone = 1 AND kind = 1";
static const char PURGE_FOLDERS[] =
    "DELETE FROM folder WHERE ino IN (SELECT ino FROM inode WHERE gone = 1)";
static const char PURGE_INODES[] = "DELETE FROM inode WHERE gone = 1";

static bool run_for_folder(Index *index, const char *sql, uint64_t folder, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  return index_run(index, statement, "write a listing", error);
}

static bool give_up_building(Index *index, uint64_t folder, GError **error) {
  sqlite3_stmt *statement = index_statement(index, IS_BUILDING, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  bool any = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) > 0;
  sqlite3_reset(statement);
  return !any || (run_for_folder(index, GIVE_UP_OTHERS, folder, error) &&
                  run_for_folder(index, END_BUILDING, folder, error));
}

bool index_new_generation(Index *index, uint64_t folder, uint64_t *generation, GError **error) {
  if (!give_up_building(index, folder, error) ||
      !run_for_folder(index, NEW_GENERATION, folder, error)) {
    return false;
  }
  *generation = (uint64_t)sqlite3_last_insert_rowid(index->db);
  return true;
}

static sqlite3_stmt *ranged(Index *index, const char *sql, uint64_t folder, uint64_t generation,
                            UidRange range, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  sqlite3_bind_int64(statement, 3, range.first);
  sqlite3_bind_int64(statement, 4, range.last);
  return statement;
}

// Tells the name in a row of (ino, name, id).
static void tell_name(const Index *index, sqlite3_stmt *row, uint64_t folder,
                      void (*tell)(uint64_t parent, uint64_t ino, const char *name, gpointer data),
                      gpointer data) {
  char uid_name[INDEX_UID_NAME_BYTES];
  const char *name = (const char *)sqlite3_column_text(row, 1);
  if (index->uid_names) name = index_uid_name(sqlite3_column_text(row, 2), uid_name);
  tell(folder, (uint64_t)sqlite3_column_int64(row, 0), name, data);
}

bool index_remove_range(Index *index, uint64_t folder, uint64_t generation, UidRange range,
                        const IndexListener *listener, GError **error) {
  sqlite3_stmt *statement = ranged(index, RANGE, folder, generation, range, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    tell_name(index, statement, folder, listener->removed, listener->data);
  if (code != SQLITE_DONE) index_fail(index, "find old messages", error);
  sqlite3_reset(statement);
  if (code != SQLITE_DONE) return false;
  statement = ranged(index, DROP_RANGE, folder, generation, range, error);
  if (statement == NULL || !index_run(index, statement, "drop old messages", error)) return false;
  statement = ranged(index, NOTE_ABSENT, folder, generation, range, error);
  return statement != NULL && index_run(index, statement, "drop old messages", error);
}

// What a folder showed until now, if that was another generation, goes as a whole.
static bool drop_other(Index *index, uint64_t folder, uint64_t generation,
                       const IndexListener *listener, GError **error) {
  sqlite3_stmt *statement = index_statement(index, OTHER_GENERATION, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  bool is_other = sqlite3_step(statement) == SQLITE_ROW;
  uint64_t other = is_other ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  sqlite3_reset(statement);
  const UidRange all = {1, UINT32_MAX};
  return !is_other || index_remove_range(index, folder, other, all, listener, error);
}

static bool tell_new_names(Index *index, uint64_t folder, uint64_t from, uint32_t after_uid,
                           unsigned max_told, const IndexListener *listener, GError **error) {
  sqlite3_stmt *statement = index_statement(index, NEW_NAMES, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)from);
  sqlite3_bind_int64(statement, 3, after_uid);
  sqlite3_bind_int64(statement, 4, max_told);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    tell_name(index, statement, folder, listener->added, listener->data);
  if (code != SQLITE_DONE) index_fail(index, "find new messages", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE;
}

bool index_adopt(Index *index, uint64_t folder, uint64_t generation, uint64_t from,
                 uint32_t after_uid, unsigned max_told, const IndexListener *listener,
                 GError **error) {
  if (!tell_new_names(index, folder, from, after_uid, max_told, listener, error)) return false;
  sqlite3_stmt *statement = index_statement(index, ADOPT, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)from);
  sqlite3_bind_int64(statement, 4, after_uid);
  return index_run(index, statement, "show new messages", error);
}

bool index_end_sync(Index *index, uint64_t folder, uint64_t generation, const MailboxStatus *status,
                    bool changed, int64_t now_ns, const IndexListener *listener, GError **error) {
  if (!run_for_folder(index, END_BUILDING, folder, error) ||
      !drop_other(index, folder, generation, listener, error)) {
    return false;
  }
  sqlite3_stmt *statement = index_statement(index, END_SYNC, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  sqlite3_bind_int64(statement, 3, status->uidvalidity);
  sqlite3_bind_int64(statement, 4, status->uidnext);
  sqlite3_bind_int64(statement, 5, now_ns);
  sqlite3_bind_int(statement, 6, changed);
  sqlite3_bind_int64(statement, 7, status->exists);
  sqlite3_bind_int64(statement, 8, (sqlite3_int64)MIN(status->highestmodseq, G_MAXINT64));
  return index_run(index, statement, "end a listing", error);
}

bool index_note_status(Index *index, const char *server_name, const MailboxStatus *status,
                       int64_t now_ns, uint64_t *folder, bool *current, GError **error) {
  sqlite3_stmt *statement = index_statement(index, STATUS_OF, error);
  if (statement == NULL) return false;
  index_bind_text(statement, 1, server_name);
  sqlite3_bind_int64(statement, 2, status->uidvalidity);
  sqlite3_bind_int64(statement, 3, status->uidnext);
  sqlite3_bind_int64(statement, 4, status->exists);
  sqlite3_bind_int64(statement, 5, (sqlite3_int64)MIN(status->highestmodseq, G_MAXINT64));
  int code = sqlite3_step(statement);
  bool listed = code == SQLITE_ROW && sqlite3_column_int(statement, 2) != 0;
  *folder = listed ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  *current = listed && sqlite3_column_int(statement, 1) != 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "compare a folder", error);
  sqlite3_reset(statement);
  if (!*current) return code == SQLITE_ROW || code == SQLITE_DONE;
  if ((statement = index_statement(index, IS_CURRENT, error)) == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)*folder);
  sqlite3_bind_int64(statement, 2, now_ns);
  return index_run(index, statement, "date a listing", error);
}

bool index_set_quota(Index *index, const MailboxQuota *quota, GError **error) {
  sqlite3_stmt *statement = index_statement(index, SET_QUOTA, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)MIN(quota->used_bytes, G_MAXINT64));
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)MIN(quota->limit_bytes, G_MAXINT64));
  return index_run(index, statement, "store the quota", error);
}

static bool run_plain(Index *index, const char *sql, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  return statement != NULL && index_run(index, statement, "forget what is gone", error);
}

bool index_purge(Index *index, void (*body_gone)(uint64_t ino, gpointer data), gpointer data,
                 GError **error) {
  if (!run_plain(index, GIVE_UP_BUILDING, error) || !run_plain(index, FORGET_BUILDING, error))
    return false;
  sqlite3_stmt *statement = index_statement(index, BODIES_GONE, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    body_gone((uint64_t)sqlite3_column_int64(statement, 0), data);
  if (code != SQLITE_DONE) index_fail(index, "find what is gone", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE && run_plain(index, PURGE_FOLDERS, error) &&
         run_plain(index, PURGE_INODES, error);
}
