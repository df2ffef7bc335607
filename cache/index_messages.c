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
#define ADD_COLUMNS                                                                         \
  "INSERT INTO inode(parent, kind, name, first_seen, generation, uid, id, size, announced," \
  " internaldate, flags, sender, subject, date, message_id, email_id)"                      \
  " SELECT ?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14"
static const char ADD[] = ADD_COLUMNS;
static const char ADD_IF_NEW[] = ADD_COLUMNS
    " WHERE NOT EXISTS(SELECT 1 FROM inode"
    "  WHERE parent = ?1 AND uid = ?5 AND generation = ?4 AND gone = 0)";
static const char COUNT[] =
    "UPDATE folder SET messages = messages + ?2, bytes = bytes + ?3 WHERE ino = ?1";
static const char HAS_IDS[] =
    "SELECT EXISTS(SELECT 1 FROM inode WHERE parent = ?1 AND id IS NOT NULL AND gone = 0)";
static const char ID_TAKEN[] =
    "SELECT uidvalidity FROM inode JOIN folder ON folder.ino = inode.parent"
    " WHERE inode.parent = ?1 AND id = ?2 AND gone = 0";
static const char FLAGS_OF[] =
    "SELECT ino, flags FROM inode WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0";
static const char SET_FLAGS[] = "UPDATE inode SET flags = ?2 WHERE ino = ?1";
static const char UIDS[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND uid IS NOT NULL AND generation = ?2 AND gone = 0"
    " ORDER BY uid";
static const char LAST_UID[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND uid IS NOT NULL AND generation = ?2 AND gone = 0"
    " ORDER BY uid DESC LIMIT 1";
static const char NEW_NAMES[] =
    "SELECT ino, name, coalesce(id, uid) FROM inode WHERE parent = ?1 AND uid > ?3"
    " AND generation = ?2 AND gone = 0 ORDER BY uid LIMIT ?4";
static const char RANGE[] =
    "SELECT ino, name, coalesce(id, uid) FROM inode WHERE parent = ?1 AND generation = ?2 AND gone "
    "= 0"
    " AND uid BETWEEN ?3 AND ?4";
static const char DROP_RANGE[] =
    "UPDATE inode SET gone = 1 WHERE parent = ?1 AND generation = ?2 AND gone = 0"
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

// The header texts of a message, decoded.
typedef struct {
  char *from_name, *from_address, *sender, *subject, *date, *message_id;
} Texts;

// "Name <address>"; NULL if the message names no sender.
static char *sender_text(const Texts *texts) {
  bool has_name = texts->from_name != NULL && texts->from_name[0] != '\0';
  if (!has_name) return g_strdup(texts->from_address);
  return texts->from_address != NULL
             ? g_strdup_printf("%s <%s>", texts->from_name, texts->from_address)
             : g_strdup(texts->from_name);
}

static void texts_init(Texts *texts, const MailboxMessage *message) {
  *texts = (Texts){
      .from_name = name_header_text(message->from_name),
      .from_address = name_header_text(message->from_address),
      .subject = name_header_text(message->subject),
      .date = name_header_text(message->date),
      .message_id = name_header_text(message->message_id),
  };
  texts->sender = sender_text(texts);
}

static void texts_clear(Texts *texts) {
  g_free(texts->from_name);
  g_free(texts->from_address);
  g_free(texts->sender);
  g_free(texts->subject);
  g_free(texts->date);
  g_free(texts->message_id);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Texts, texts_clear)

// After a renumbering an older message may be called by the UID that a new one has now: then the
// UIDVALIDITY tells them apart. NULL: the UID is free.
static char *distinct_id(Index *index, uint64_t folder, const char *uid, GError **error) {
  sqlite3_stmt *statement = index_statement(index, ID_TAKEN, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_text(statement, 2, uid, -1, SQLITE_STATIC);
  char *id = sqlite3_step(statement) == SQLITE_ROW
                 ? g_strdup_printf("%s-%u", uid, (unsigned)sqlite3_column_int64(statement, 0))
                 : NULL;
  sqlite3_reset(statement);
  return id;
}

static bool insert_message(Index *index, sqlite3_stmt *statement, const IndexAddition *addition,
                           const MailboxMessage *message, GError **error) {
  char uid[16];
  g_auto(Texts) texts = {0};
  g_snprintf(uid, sizeof uid, "%u", (unsigned)message->uid);
  g_autofree char *id = addition->has_ids ? distinct_id(index, addition->folder, uid, error) : NULL;
  texts_init(&texts, message);
  g_autofree char *name = name_message(message->internaldate, texts.from_name, texts.from_address,
                                       texts.subject, id != NULL ? id : uid);
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)addition->folder);
  sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 3, addition->now_ns);
  sqlite3_bind_int64(statement, 4, (sqlite3_int64)addition->generation);
  sqlite3_bind_int64(statement, 5, message->uid);
  sqlite3_bind_text(statement, 6, id, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 7, message->size);
  sqlite3_bind_int64(statement, 8, message->internaldate);
  sqlite3_bind_text(statement, 9, message->flags != NULL ? message->flags : "", -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 10, texts.sender, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 11, texts.subject, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 12, texts.date, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 13, texts.message_id, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 14, message->email_id, -1, SQLITE_STATIC);
  bool done = index_run(index, statement, "add a message", error);
  sqlite3_clear_bindings(statement);
  return done;
}

bool index_begin_addition(Index *index, IndexAddition *addition, GError **error) {
  sqlite3_stmt *statement = index_statement(index, HAS_IDS, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)addition->folder);
  bool known = sqlite3_step(statement) == SQLITE_ROW;
  addition->has_ids = known && sqlite3_column_int(statement, 0) != 0;
  if (!known) index_fail(index, "look at a listing", error);
  sqlite3_reset(statement);
  return known;
}

bool index_add_message(Index *index, IndexAddition *addition, const MailboxMessage *message,
                       GError **error) {
  bool is_rising = message->uid > addition->last_uid;
  sqlite3_stmt *statement = index_statement(index, is_rising ? ADD : ADD_IF_NEW, error);
  if (statement == NULL || !insert_message(index, statement, addition, message, error))
    return false;
  if (is_rising) addition->last_uid = message->uid;
  if (!is_rising && sqlite3_changes(index->db) == 0) return true;
  addition->n++;
  addition->bytes += (uint64_t)MAX(message->size, 0);
  return true;
}

bool index_count_addition(Index *index, IndexAddition *addition, GError **error) {
  sqlite3_stmt *statement = index_statement(index, COUNT, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)addition->folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)addition->n);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)MIN(addition->bytes, G_MAXINT64));
  addition->n = addition->bytes = 0;
  return index_run(index, statement, "count messages", error);
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

bool index_last_uid(Index *index, uint64_t folder, uint64_t generation, uint32_t *uid,
                    GError **error) {
  sqlite3_stmt *statement = index_statement(index, LAST_UID, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  int code = sqlite3_step(statement);
  *uid = code == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(statement, 0) : 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "find the last UID", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

bool index_has_uid(Index *index, uint64_t folder, uint64_t generation, uint32_t uid, bool *has,
                   GError **error) {
  sqlite3_stmt *statement = index_statement(index, FLAGS_OF, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, uid);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)generation);
  int code = sqlite3_step(statement);
  *has = code == SQLITE_ROW;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "look for a UID", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
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
