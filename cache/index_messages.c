// The writing half of the index: messages, their bodies and what is gone.

#include <string.h>

#include "cache/index_private.h"
#include "cache/name.h"

static const char NEW_GENERATION[] = "INSERT INTO building(folder) VALUES(?1)";
static const char GIVE_UP_OTHERS[] =
    "UPDATE inode SET gone = 1 WHERE parent = ?1 AND generation IN"
    " (SELECT generation FROM building WHERE folder = ?1)";
static const char IS_BUILDING[] = "SELECT count(*) FROM building WHERE folder = ?1";
static const char ADOPT[] =
    "UPDATE inode SET generation = ?2 WHERE parent = ?1 AND uid > ?4 AND generation = ?3"
    " AND gone = 0";
static const char END_BUILDING[] = "DELETE FROM building WHERE folder = ?1";
static const char ADD[] =
    "INSERT INTO inode(parent, kind, name, first_seen, generation, uidvalidity, uid, size,"
    " internaldate, flags, sender, subject, date, message_id)"
    " SELECT ?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"
    " WHERE NOT EXISTS(SELECT 1 FROM inode"
    "  WHERE parent = ?1 AND uid = ?6 AND generation = ?4 AND gone = 0)";
static const char FLAGS_OF[] =
    "SELECT ino, flags FROM inode WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0";
static const char SET_FLAGS[] = "UPDATE inode SET flags = ?2 WHERE ino = ?1";
static const char UIDS[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND uid IS NOT NULL AND generation = ?2 AND gone = 0"
    " ORDER BY uid";
static const char RANGE[] =
    "SELECT ino, name, uid FROM inode WHERE parent = ?1 AND generation = ?2 AND gone = 0"
    " AND uid BETWEEN ?3 AND ?4";
static const char DROP_RANGE[] =
    "UPDATE inode SET gone = 1 WHERE parent = ?1 AND generation = ?2 AND gone = 0"
    " AND uid BETWEEN ?3 AND ?4";
static const char OTHER_GENERATION[] =
    "SELECT generation FROM folder WHERE ino = ?1 AND generation <> ?2";
static const char END_SYNC[] =
    "UPDATE folder SET generation = ?2, listed = 1, uidvalidity = ?3, uidnext = ?4, synced_ns = ?5,"
    " mtime = CASE WHEN ?6 THEN max(mtime + 1, ?7) ELSE mtime END WHERE ino = ?1";
static const char SET_QUOTA[] = "UPDATE quota SET used = ?1, lim = ?2";
static const char SET_BODY[] =
    "UPDATE inode SET size = ?2, size_exact = 1, sha256 = ?3, has_body = ?4 WHERE ino = ?1";
// A listing that a crash broke off is as gone as what the server dropped.
static const char GIVE_UP_BUILDING[] =
    "UPDATE inode SET gone = 1 WHERE kind = 1 AND (parent, generation) IN"
    " (SELECT folder, generation FROM building)";
static const char FORGET_BUILDING[] = "DELETE FROM building";
static const char BODIES_GONE[] = "SELECT ino FROM inode WHERE gone = 1 AND has_body = 1";
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

// "Name <address>", decoded; NULL if the message names no sender.
static char *sender_text(const MailboxMessage *message) {
  g_autofree char *name = message->from_name != NULL && message->from_name[0] != '\0'
                              ? name_header_text(message->from_name)
                              : NULL;
  g_autofree char *address =
      message->from_address != NULL ? name_header_text(message->from_address) : NULL;
  if (name == NULL) return g_steal_pointer(&address);
  return address != NULL ? g_strdup_printf("%s <%s>", name, address) : g_steal_pointer(&name);
}

static char *header_text(const char *raw) {
  return raw != NULL ? name_header_text(raw) : NULL;
}

bool index_add_message(Index *index, uint64_t folder, uint64_t generation, uint32_t uidvalidity,
                       const MailboxMessage *message, int64_t now_ns, GError **error) {
  char id[16];
  g_snprintf(id, sizeof id, "%u", (unsigned)message->uid);
  g_autofree char *name = name_message(message->internaldate, message->from_name,
                                       message->from_address, message->subject, id);
  g_autofree char *sender = sender_text(message);
  g_autofree char *subject = header_text(message->subject);
  g_autofree char *date = header_text(message->date);
  g_autofree char *message_id = header_text(message->message_id);

  sqlite3_stmt *statement = index_statement(index, ADD, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  index_bind_text(statement, 2, name);
  sqlite3_bind_int64(statement, 3, now_ns);
  sqlite3_bind_int64(statement, 4, (sqlite3_int64)generation);
  sqlite3_bind_int64(statement, 5, uidvalidity);
  sqlite3_bind_int64(statement, 6, message->uid);
  sqlite3_bind_int64(statement, 7, message->size);
  sqlite3_bind_int64(statement, 8, message->internaldate);
  index_bind_text(statement, 9, message->flags != NULL ? message->flags : "");
  index_bind_text(statement, 10, sender);
  index_bind_text(statement, 11, subject);
  index_bind_text(statement, 12, date);
  index_bind_text(statement, 13, message_id);
  return index_run(index, statement, "add a message", error);
}

bool index_set_flags(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                     const char *flags, GError **error) {
  sqlite3_stmt *statement = index_statement(index, FLAGS_OF, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, uid);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)generation);
  int code = sqlite3_step(statement);
  bool known = code == SQLITE_ROW;
  sqlite3_int64 ino = known ? sqlite3_column_int64(statement, 0) : 0;
  bool same = known && g_strcmp0((const char *)sqlite3_column_text(statement, 1), flags) == 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "read flags", error);
  sqlite3_reset(statement);
  if (!known || same) return known || code == SQLITE_DONE;

  if ((statement = index_statement(index, SET_FLAGS, error)) == NULL) return false;
  sqlite3_bind_int64(statement, 1, ino);
  index_bind_text(statement, 2, flags);
  return index_run(index, statement, "store flags", error);
}

UidSet *index_uids(Index *index, uint64_t folder, uint64_t generation, GError **error) {
  sqlite3_stmt *statement = index_statement(index, UIDS, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  g_autoptr(UidSet) uids = uid_set_new();
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    uid_set_add(uids, (uint32_t)sqlite3_column_int64(statement, 0));
  if (code != SQLITE_DONE) index_fail(index, "read UIDs", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? g_steal_pointer(&uids) : NULL;
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

bool index_remove_range(Index *index, uint64_t folder, uint64_t generation, UidRange range,
                        const IndexListener *listener, GError **error) {
  sqlite3_stmt *statement = ranged(index, RANGE, folder, generation, range, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    char uid_name[INDEX_UID_NAME_BYTES];
    const char *name = (const char *)sqlite3_column_text(statement, 1);
    if (index->uid_names) name = index_uid_name(sqlite3_column_int64(statement, 2), uid_name);
    listener->removed(folder, (uint64_t)sqlite3_column_int64(statement, 0), name, listener->data);
  }
  if (code != SQLITE_DONE) index_fail(index, "find old messages", error);
  sqlite3_reset(statement);
  if (code != SQLITE_DONE) return false;
  statement = ranged(index, DROP_RANGE, folder, generation, range, error);
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

bool index_adopt(Index *index, uint64_t folder, uint64_t generation, uint64_t from,
                 uint32_t after_uid, GError **error) {
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
  sqlite3_bind_int64(statement, 7, now_ns);
  return index_run(index, statement, "end a listing", error);
}

bool index_set_quota(Index *index, const MailboxQuota *quota, GError **error) {
  sqlite3_stmt *statement = index_statement(index, SET_QUOTA, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)MIN(quota->used_bytes, G_MAXINT64));
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)MIN(quota->limit_bytes, G_MAXINT64));
  return index_run(index, statement, "store the quota", error);
}

bool index_set_body(Index *index, uint64_t ino, uint64_t size, const uint8_t *sha256, bool on_disk,
                    GError **error) {
  sqlite3_stmt *statement = index_statement(index, SET_BODY, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)size);
  sqlite3_bind_blob(statement, 3, sha256, 32, SQLITE_STATIC);
  sqlite3_bind_int(statement, 4, on_disk);
  return index_run(index, statement, "store a size", error);
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
