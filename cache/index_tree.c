// The writing half of the index: the folder tree.

#include <string.h>

#include "cache/index_private.h"
#include "cache/name.h"

static const char MARK_ALL[] =
    "UPDATE folder SET marked = (SELECT 1 - gone FROM inode WHERE inode.ino = folder.ino)"
    " WHERE ino <> 1";
static const char FIND[] =
    "SELECT folder.ino, marked FROM folder JOIN inode USING (ino)"
    " WHERE server_name = ?1 AND gone = 0 AND folder.ino <> 1";
static const char KEEP[] =
    "UPDATE folder SET marked = 0, attributes = ?2, delimiter = ?3 WHERE ino = ?1";
static const char NAME_TAKEN[] =
    "SELECT count(*) FROM inode WHERE parent = ?1 AND name = ?2 AND gone = 0";
static const char ADD_INODE[] =
    "INSERT INTO inode(parent, kind, name, first_seen) VALUES(?1, 0, ?2, ?3)";
static const char ADD_FOLDER[] =
    "INSERT INTO folder(ino, server_name, delimiter, attributes, mtime, listed, marked)"
    " VALUES(?1, ?2, ?3, ?4, ?5, 0, 0)";
static const char MARKED[] =
    "SELECT inode.parent, inode.ino, inode.name FROM folder JOIN inode USING (ino)"
    " WHERE marked = 1";
static const char DROP_MESSAGES[] =
    "UPDATE inode SET gone = 1 WHERE kind = 1 AND gone = 0"
    " AND parent IN (SELECT ino FROM folder WHERE marked = 1)";
static const char DROP_FOLDERS[] =
    "UPDATE inode SET gone = 1 WHERE gone = 0"
    " AND ino IN (SELECT ino FROM folder WHERE marked = 1)";
static const char RENAME[] = "UPDATE inode SET name = ?2 WHERE ino = ?1";
static const char STORED_NAME[] = "SELECT parent, name FROM inode WHERE ino = ?1";
static const char TOUCH[] =
    "UPDATE folder SET mtime = max(mtime + 1, ?2), touched = 1 WHERE ino = ?1";
static const char TOUCHED[] = "SELECT ino FROM folder WHERE touched = 1";
static const char COUNT_SUBFOLDERS[] =
    "UPDATE folder SET touched = 0, subfolders = (SELECT count(*) FROM inode"
    "  WHERE inode.parent = folder.ino AND kind = 0 AND gone = 0) WHERE touched = 1";
static const char END_TREE[] =
    "UPDATE folder SET listed = 1, synced_ns = ?1 WHERE ino = 1 OR attributes & ?2";

bool index_begin_tree(Index *index, GError **error) {
  sqlite3_stmt *statement = index_statement(index, MARK_ALL, error);
  return statement != NULL && index_run(index, statement, "mark folders", error);
}

static bool find_folder(Index *index, const char *server_name, uint64_t *ino, bool *marked,
                        GError **error) {
  *ino = 0;
  sqlite3_stmt *statement = index_statement(index, FIND, error);
  if (statement == NULL) return false;
  index_bind_text(statement, 1, server_name);
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) {
    *ino = (uint64_t)sqlite3_column_int64(statement, 0);
    *marked = sqlite3_column_int(statement, 1) != 0;
  }
  bool read = code == SQLITE_ROW || code == SQLITE_DONE;
  if (!read) index_fail(index, "find a folder", error);
  sqlite3_reset(statement);
  return read;
}

static bool keep_folder(Index *index, uint64_t ino, unsigned attributes, char delimiter,
                        GError **error) {
  sqlite3_stmt *statement = index_statement(index, KEEP, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, attributes);
  sqlite3_bind_int(statement, 3, delimiter);
  return index_run(index, statement, "keep a folder", error);
}

static bool is_taken(Index *index, uint64_t parent, const char *name) {
  sqlite3_stmt *statement = index_statement(index, NAME_TAKEN, NULL);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  index_bind_text(statement, 2, name);
  bool taken = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) > 0;
  sqlite3_reset(statement);
  return taken;
}

// The file name of a folder's last level. Two folders that would have one name: the later one is
// told apart.
static char *file_name_for(Index *index, uint64_t parent, const char *level, const char *reserved) {
  bool top = parent == INODE_ROOT;
  if (level[0] == '\0') return name_folder_distinct(level);
  g_autofree char *name = top && g_ascii_strcasecmp(level, "INBOX") == 0
                              ? g_strdup("INBOX")
                              : name_folder(level, top ? reserved : NULL);
  return is_taken(index, parent, name) ? name_folder_distinct(level) : g_steal_pointer(&name);
}

static bool touch(Index *index, uint64_t ino, int64_t now_ns, GError **error) {
  sqlite3_stmt *statement = index_statement(index, TOUCH, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  sqlite3_bind_int64(statement, 2, now_ns);
  return index_run(index, statement, "date a folder", error);
}

static bool add_folder(Index *index, uint64_t parent, const char *name, const char *server_name,
                       unsigned attributes, char delimiter, uint64_t *ino, GError **error) {
  int64_t now_ns = g_get_real_time() * 1000;
  sqlite3_stmt *statement = index_statement(index, ADD_INODE, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  index_bind_text(statement, 2, name);
  sqlite3_bind_int64(statement, 3, now_ns);
  if (!index_run(index, statement, "add a folder", error)) return false;
  *ino = (uint64_t)sqlite3_last_insert_rowid(index->db);
  if ((statement = index_statement(index, ADD_FOLDER, error)) == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)*ino);
  index_bind_text(statement, 2, server_name);
  sqlite3_bind_int(statement, 3, delimiter);
  sqlite3_bind_int64(statement, 4, attributes);
  sqlite3_bind_int64(statement, 5, now_ns);
  return index_run(index, statement, "add a folder", error) && touch(index, parent, now_ns, error);
}

// The root keeps one name for itself, which may be another than when the folder was first seen.
static bool keep_name(Index *index, uint64_t ino, const char *level, const char *reserved,
                      GError **error) {
  sqlite3_stmt *statement = index_statement(index, STORED_NAME, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  bool found = sqlite3_step(statement) == SQLITE_ROW;
  uint64_t parent = found ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  g_autofree char *stored =
      found ? g_strdup((const char *)sqlite3_column_text(statement, 1)) : NULL;
  sqlite3_reset(statement);
  if (parent != INODE_ROOT) return true;

  g_autofree char *plain = name_folder(level, NULL), *escaped = name_folder(level, plain);
  g_autofree char *wanted = name_folder(level, reserved);
  bool ours = g_strcmp0(stored, plain) == 0 || g_strcmp0(stored, escaped) == 0;
  if (!ours || g_strcmp0(stored, wanted) == 0) return true;
  if ((statement = index_statement(index, RENAME, error)) == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  index_bind_text(statement, 2, wanted);
  return index_run(index, statement, "rename a folder", error) &&
         touch(index, INODE_ROOT, g_get_real_time() * 1000, error);
}

// Finds or adds the folder `server_name`, whose parents exist. A parent that the server did not
// list itself (placeholder) holds no messages, unless this tree has listed it already.
static bool ensure_folder(Index *index, uint64_t parent, const char *level, const char *server_name,
                          const MailboxFolder *folder, bool placeholder, const char *reserved,
                          uint64_t *ino, GError **error) {
  bool marked;
  unsigned attributes = placeholder ? MAILBOX_NOSELECT : folder->attributes;
  if (!find_folder(index, server_name, ino, &marked, error)) return false;
  if (*ino == 0) {
    g_autofree char *name = file_name_for(index, parent, level, reserved);
    return add_folder(index, parent, name, server_name, attributes, folder->delimiter, ino, error);
  }
  if (placeholder && !marked) return true;
  return keep_folder(index, *ino, attributes, folder->delimiter, error) &&
         keep_name(index, *ino, level, reserved, error);
}

bool index_put_folder(Index *index, const MailboxFolder *folder, const char *reserved,
                      GError **error) {
  g_autofree char *whole = g_strdup(folder->name);
  size_t length = strlen(whole);
  if (length > 1 && folder->delimiter != '\0' && whole[length - 1] == folder->delimiter)
    whole[length - 1] = '\0';

  uint64_t parent = INODE_ROOT;
  char *level = whole;
  for (;;) {
    char *end = folder->delimiter != '\0' ? strchr(level, folder->delimiter) : NULL;
    bool last = end == NULL;
    g_autofree char *prefix = last ? g_strdup(whole) : g_strndup(whole, (gsize)(end - whole));
    g_autofree char *own = last ? g_strdup(level) : g_strndup(level, (gsize)(end - level));
    uint64_t ino;
    if (!ensure_folder(index, parent, own, prefix, folder, !last, reserved, &ino, error))
      return false;
    if (last) return true;
    parent = ino;
    level = end + 1;
  }
}

static bool tell_marked(Index *index, int64_t now_ns, const IndexListener *listener,
                        GError **error) {
  sqlite3_stmt *statement = index_statement(index, MARKED, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    uint64_t parent = (uint64_t)sqlite3_column_int64(statement, 0);
    listener->removed(parent, (uint64_t)sqlite3_column_int64(statement, 1),
                      (const char *)sqlite3_column_text(statement, 2), listener->data);
    if (!touch(index, parent, now_ns, error)) break;
  }
  if (code != SQLITE_DONE && code != SQLITE_ROW) index_fail(index, "find old folders", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE;
}

static bool tell_touched(Index *index, const IndexListener *listener, GError **error) {
  sqlite3_stmt *statement = index_statement(index, TOUCHED, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    listener->changed((uint64_t)sqlite3_column_int64(statement, 0), listener->data);
  if (code != SQLITE_DONE) index_fail(index, "find changed folders", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE;
}

static bool run_plain(Index *index, const char *sql, const char *attempt, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  return statement != NULL && index_run(index, statement, attempt, error);
}

bool index_end_tree(Index *index, int64_t now_ns, const IndexListener *listener, GError **error) {
  if (!tell_marked(index, now_ns, listener, error) ||
      !run_plain(index, DROP_MESSAGES, "drop old folders", error) ||
      !run_plain(index, DROP_FOLDERS, "drop old folders", error) ||
      !tell_touched(index, listener, error) ||
      !run_plain(index, COUNT_SUBFOLDERS, "count folders", error)) {
    return false;
  }
  sqlite3_stmt *statement = index_statement(index, END_TREE, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, now_ns);
  sqlite3_bind_int64(statement, 2, MAILBOX_NOSELECT);
  return index_run(index, statement, "end the folder tree", error);
}
