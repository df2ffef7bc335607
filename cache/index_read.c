#include <string.h>

#include "cache/index_private.h"
#include "cache/name.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

// What of the tables makes an Inode, in the order read_inode takes it.
#define INODE_COLUMNS                                                                         \
  "inode.ino, inode.parent, inode.kind, inode.gone, inode.name, inode.first_seen, inode.uid," \
  " inode.internaldate, inode.size, inode.size_exact, folder.mtime, folder.subfolders,"       \
  " folder.listed"
#define INODE_TABLES " FROM inode LEFT JOIN folder ON folder.ino = inode.ino AND inode.kind = 0"
// What the listing of folder ?1 shows (see index.h).
#define IS_SHOWN                                              \
  " inode.gone = 0 AND (inode.kind = 0 OR inode.generation =" \
  " (SELECT generation FROM folder WHERE ino = ?1))"

static const char GET[] = "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.ino = ?1";
static const char BY_NAME[] = "SELECT " INODE_COLUMNS INODE_TABLES
                              " WHERE inode.parent = ?1 AND inode.name = ?2 AND" IS_SHOWN;
static const char BY_UID[] =
    "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.parent = ?1 AND inode.uid = ?2 AND" IS_SHOWN;
static const char CHILDREN[] =
    "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.parent = ?1 AND inode.ino > ?2 AND" IS_SHOWN
    " ORDER BY inode.ino";
static const char FOLDER[] =
    "SELECT folder.ino, parent, server_name, delimiter, attributes, folder.uidvalidity, uidnext,"
    " folder.generation, listed, synced_ns, gone"
    " FROM folder JOIN inode USING (ino) WHERE folder.ino = ?1";
static const char MESSAGE[] =
    "SELECT parent, inode.uidvalidity, uid, gone, has_body, size, size_exact"
    " FROM inode WHERE ino = ?1 AND kind = 1";
static const char DETAIL[] =
    "SELECT uid, flags, sender, subject, date, message_id, server_name"
    " FROM inode JOIN folder ON folder.ino = inode.parent WHERE inode.ino = ?1 AND kind = 1";
static const char USAGE[] =
    "SELECT used, lim, (SELECT total(messages) FROM folder), (SELECT total(bytes) FROM folder)"
    " FROM quota";

static IndexAnswer answer_of(Index *index, int code) {
  switch (code) {
    case SQLITE_ROW:
      return INDEX_FOUND;
    case SQLITE_DONE:
      return INDEX_ABSENT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return INDEX_BUSY;
    default:
      g_warning("index: read: %s", sqlite3_errmsg(index->db));
      return INDEX_FAILED;
  }
}

static sqlite3_stmt *reading(Index *index, const char *sql) {
  g_assert(index->owner == g_thread_self());
  g_autoptr(GError) error = NULL;
  sqlite3_stmt *statement = index_statement(index, sql, &error);
  if (statement == NULL) g_warning("%s", error->message);
  return statement;
}

const char *index_uid_name(sqlite3_int64 uid, char name[INDEX_UID_NAME_BYTES]) {
  g_snprintf(name, INDEX_UID_NAME_BYTES, "%u.eml", (unsigned)uid);
  return name;
}

// A message whose size the server did not tell, or told as nothing, is not shown as empty: tar and
// rsync would not even open it.
static uint64_t shown_size(int64_t size, bool exact) {
  return size > 0 || exact ? (uint64_t)MAX(size, 0) : 4096;
}

static void read_inode(Index *index, sqlite3_stmt *row, char uid_name[INDEX_UID_NAME_BYTES],
                       Inode *inode) {
  int64_t first_seen = sqlite3_column_int64(row, 5);
  *inode = (Inode){
      .ino = (uint64_t)sqlite3_column_int64(row, 0),
      .parent = (uint64_t)sqlite3_column_int64(row, 1),
      .kind = sqlite3_column_int(row, 2) == INODE_FOLDER ? INODE_FOLDER : INODE_MESSAGE,
      .gone = sqlite3_column_int(row, 3) != 0,
      .name = (const char *)sqlite3_column_text(row, 4),
  };
  if (inode->kind == INODE_FOLDER) {
    inode->mtime_ns = inode->ctime_ns = sqlite3_column_int64(row, 10);
    inode->subfolders = (uint32_t)sqlite3_column_int(row, 11);
    inode->listed = sqlite3_column_int(row, 12) != 0;
    return;
  }
  if (index->uid_names) {
    inode->name = index_uid_name(sqlite3_column_int64(row, 6), uid_name);
  }
  int64_t internaldate = sqlite3_column_int64(row, 7);
  inode->mtime_ns = internaldate >= 0 ? internaldate * NS_PER_S : first_seen;
  inode->ctime_ns = first_seen;
  inode->size_exact = sqlite3_column_int(row, 9) != 0;
  inode->size = shown_size(sqlite3_column_int64(row, 8), inode->size_exact);
}

// For calls that hand one Inode out: its name must outlive the statement, which is reset at once
// (a statement left open would hold back the checkpoints of the writers).
static IndexAnswer take_inode(Index *index, sqlite3_stmt *statement, Inode *inode) {
  char uid_name[INDEX_UID_NAME_BYTES];
  IndexAnswer answer = answer_of(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    read_inode(index, statement, uid_name, inode);
    g_strlcpy(index->name, inode->name, sizeof index->name);
    inode->name = index->name;
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_get(Index *index, uint64_t ino, Inode *inode) {
  sqlite3_stmt *statement = reading(index, GET);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  return take_inode(index, statement, inode);
}

// "4711.eml" as it is written, and nothing else ("04711.eml" is no name of ours).
static bool parse_uid_name(const char *name, uint32_t *uid) {
  uint64_t number;
  g_auto(GStrv) parts = g_strsplit(name, ".", 2);
  if (parts[0] == NULL || parts[1] == NULL || strcmp(parts[1], "eml") != 0) return false;
  if (parts[0][0] == '0' || !g_ascii_string_to_unsigned(parts[0], 10, 1, UINT32_MAX, &number, NULL))
    return false;
  *uid = (uint32_t)number;
  return true;
}

IndexAnswer index_lookup(Index *index, uint64_t parent, const char *name, Inode *inode) {
  uint32_t uid;
  bool by_uid = index->uid_names && parse_uid_name(name, &uid);
  sqlite3_stmt *statement = reading(index, by_uid ? BY_UID : BY_NAME);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  if (by_uid) {
    sqlite3_bind_int64(statement, 2, uid);
  } else {
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
  }
  IndexAnswer answer = take_inode(index, statement, inode);
  // With uid names, a message's stored name is not one that leads to it.
  if (answer == INDEX_FOUND && index->uid_names && !by_uid && inode->kind == INODE_MESSAGE)
    return INDEX_ABSENT;
  return answer;
}

IndexAnswer index_children(Index *index, uint64_t folder, uint64_t after, IndexEach each,
                           gpointer data) {
  sqlite3_stmt *statement = reading(index, CHILDREN);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)MIN(after, G_MAXINT64));
  char uid_name[INDEX_UID_NAME_BYTES];
  Inode inode;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    read_inode(index, statement, uid_name, &inode);
    if (!each(&inode, data)) break;
  }
  IndexAnswer answer =
      code == SQLITE_ROW || code == SQLITE_DONE ? INDEX_FOUND : answer_of(index, code);
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_folder(Index *index, uint64_t ino, IndexFolder *folder) {
  *folder = (IndexFolder){0};
  sqlite3_stmt *statement = reading(index, FOLDER);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  IndexAnswer answer = answer_of(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    *folder = (IndexFolder){
        .ino = ino,
        .parent = (uint64_t)sqlite3_column_int64(statement, 1),
        .server_name = g_strdup((const char *)sqlite3_column_text(statement, 2)),
        .delimiter = (char)sqlite3_column_int(statement, 3),
        .attributes = (unsigned)sqlite3_column_int(statement, 4),
        .uidvalidity = (uint32_t)sqlite3_column_int64(statement, 5),
        .uidnext = (uint32_t)sqlite3_column_int64(statement, 6),
        .generation = (uint64_t)sqlite3_column_int64(statement, 7),
        .listed = sqlite3_column_int(statement, 8) != 0,
        .synced_ns = sqlite3_column_int64(statement, 9),
        .gone = sqlite3_column_int(statement, 10) != 0,
    };
  }
  sqlite3_reset(statement);
  return answer;
}

void index_folder_clear(IndexFolder *folder) {
  g_clear_pointer(&folder->server_name, g_free);
}

IndexAnswer index_message(Index *index, uint64_t ino, IndexMessage *message) {
  sqlite3_stmt *statement = reading(index, MESSAGE);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  IndexAnswer answer = answer_of(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    *message = (IndexMessage){
        .folder = (uint64_t)sqlite3_column_int64(statement, 0),
        .uidvalidity = (uint32_t)sqlite3_column_int64(statement, 1),
        .uid = (uint32_t)sqlite3_column_int64(statement, 2),
        .gone = sqlite3_column_int(statement, 3) != 0,
        .has_body = sqlite3_column_int(statement, 4) != 0,
        .size_exact = sqlite3_column_int(statement, 6) != 0,
    };
    message->size = shown_size(sqlite3_column_int64(statement, 5), message->size_exact);
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_detail(Index *index, uint64_t ino, IndexDetail detail, char **text) {
  *text = NULL;
  sqlite3_stmt *statement = reading(index, DETAIL);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  IndexAnswer answer = answer_of(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    const char *value = (const char *)sqlite3_column_text(statement, (int)detail);
    *text = detail == INDEX_FOLDER_NAME ? name_folder_display(value) : g_strdup(value);
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_usage(Index *index, IndexUsage *usage) {
  *usage = (IndexUsage){0};
  sqlite3_stmt *statement = reading(index, USAGE);
  if (statement == NULL) return INDEX_FAILED;
  IndexAnswer answer = answer_of(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    usage->limit_bytes = (uint64_t)sqlite3_column_int64(statement, 1);
    usage->messages = (uint64_t)sqlite3_column_double(statement, 2);
    usage->used_bytes = usage->limit_bytes > 0 ? (uint64_t)sqlite3_column_int64(statement, 0)
                                               : (uint64_t)sqlite3_column_double(statement, 3);
  }
  sqlite3_reset(statement);
  return answer;
}
