#include <string.h>

#include "cache/index_private.h"
#include "cache/name.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

// What of the tables makes an Inode, in the order read_inode takes it.
#define INODE_COLUMNS                                                                   \
  "inode.ino, inode.parent, inode.kind, inode.gone OR inode.hidden, inode.name,"        \
  " inode.first_seen,"                                                                  \
  " coalesce(inode.id, inode.uid),"                                                     \
  " inode.internaldate, inode.size, inode.size_exact, folder.mtime, folder.subfolders," \
  " folder.listed"
#define INODE_TABLES " FROM inode LEFT JOIN folder ON folder.ino = inode.ino AND inode.kind = 0"
// What the listing of folder ?1 shows (see index.h).
#define IS_SHOWN                                                                   \
  " inode.gone = 0 AND inode.hidden = 0 AND (inode.kind = 0 OR inode.generation =" \
  " (SELECT generation FROM folder WHERE ino = ?1))"

static const char GET[] = "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.ino = ?1";
static const char BY_NAME[] = "SELECT " INODE_COLUMNS INODE_TABLES
                              " WHERE inode.parent = ?1 AND inode.name = ?2 AND" IS_SHOWN;
static const char BY_UID[] = "SELECT " INODE_COLUMNS INODE_TABLES
                             " WHERE inode.parent = ?1 AND inode.uid = ?2 AND inode.id IS NULL"
                             " AND" IS_SHOWN;
static const char BY_ID[] =
    "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.parent = ?1 AND inode.id = ?2 AND" IS_SHOWN;
static const char CHILDREN[] =
    "SELECT " INODE_COLUMNS INODE_TABLES " WHERE inode.parent = ?1 AND inode.ino > ?2 AND" IS_SHOWN
    " ORDER BY inode.ino";
#define FOLDER_COLUMNS                                                                   \
  "SELECT folder.ino, parent, server_name, delimiter, attributes, uidvalidity, uidnext," \
  " folder.generation, listed, synced_ns, gone, present, modseq, last_number, messages"  \
  " FROM folder JOIN inode USING (ino)"
static const char FOLDER[] = FOLDER_COLUMNS " WHERE folder.ino = ?1";
static const char FOLDER_NAMED[] =
    FOLDER_COLUMNS " WHERE server_name = ?1 AND gone = 0 AND folder.ino <> 1";
static const char MESSAGE[] =
    "SELECT parent, folder.uidvalidity, uid, gone OR hidden, has_body, size, size_exact, announced,"
    " email_id IS NOT NULL"
    " FROM inode JOIN folder ON folder.ino = inode.parent WHERE inode.ino = ?1 AND kind = 1";
static const char TWIN[] =
    "SELECT twin.ino, twin.size FROM inode JOIN inode AS twin ON twin.email_id = inode.email_id"
    " WHERE inode.ino = ?1 AND twin.ino <> ?1 AND twin.has_body = 1 LIMIT 1";
static const char ARCHIVED[] =
    "SELECT id, size FROM inode WHERE ino = ?1 AND archived = 1 AND hidden = 0";
static const char DIGEST[] = "SELECT sha256 FROM inode WHERE ino = ?1";
static const char DETAIL[] =
    "SELECT CASE WHEN last_number > 0 THEN id ELSE uid END, flags, sender, subject, date,"
    " message_id, server_name"
    " FROM inode JOIN folder ON folder.ino = inode.parent WHERE inode.ino = ?1 AND kind = 1";
static const char USAGE[] =
    "SELECT used, lim, (SELECT total(messages) FROM folder), (SELECT total(bytes) FROM folder)"
    " FROM quota";

IndexAnswer index_answer(Index *index, int code) {
  switch (code) {
    case SQLITE_ROW:
      return INDEX_FOUND;
    case SQLITE_DONE:
      return INDEX_ABSENT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      index_refresh(index);
      return INDEX_BUSY;
    default:
      g_warning("index: read: %s", sqlite3_errmsg(index->db));
      return INDEX_FAILED;
  }
}

void index_refresh(Index *index) {
  if (!index->holds_snapshot) return;
  sqlite3_exec(index->db, "COMMIT", NULL, NULL, NULL);
  index->holds_snapshot = false;
}

bool index_is_fresh(const Index *index) {
  return !index->holds_snapshot;
}

sqlite3_stmt *index_reading(Index *index, const char *sql) {
  g_assert(index->owner == g_thread_self());
  g_autoptr(GError) error = NULL;
  if (index->mode == INDEX_READ && !index->holds_snapshot)
    index->holds_snapshot = sqlite3_exec(index->db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK;
  sqlite3_stmt *statement = index_statement(index, sql, &error);
  if (statement == NULL) g_warning("%s", error->message);
  return statement;
}

const char *index_uid_name(const unsigned char *id, char name[INDEX_UID_NAME_BYTES]) {
  g_snprintf(name, INDEX_UID_NAME_BYTES, "%s.eml", (const char *)id);
  return name;
}

// A message whose size the server did not tell, or told as nothing, is not shown as empty: tar and
// rsync would not even open it.
uint64_t index_shown_size(int64_t size, bool exact) {
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
    inode->name = index_uid_name(sqlite3_column_text(row, 6), uid_name);
  }
  int64_t internaldate = sqlite3_column_int64(row, 7);
  inode->mtime_ns = internaldate >= 0 ? internaldate * NS_PER_S : first_seen;
  inode->ctime_ns = first_seen;
  inode->size_exact = sqlite3_column_int(row, 9) != 0;
  inode->size = index_shown_size(sqlite3_column_int64(row, 8), inode->size_exact);
}

// For calls that hand one Inode out: its name must outlive the statement, which is reset at once
// (a statement left open would hold back the checkpoints of the writers).
static IndexAnswer take_inode(Index *index, sqlite3_stmt *statement, Inode *inode) {
  char uid_name[INDEX_UID_NAME_BYTES];
  IndexAnswer answer = index_answer(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    read_inode(index, statement, uid_name, inode);
    g_strlcpy(index->name, inode->name, sizeof index->name);
    inode->name = index->name;
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_get(Index *index, uint64_t ino, Inode *inode) {
  sqlite3_stmt *statement = index_reading(index, GET);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  return take_inode(index, statement, inode);
}

// The ID in "4711.eml"; NULL: it is none.
static char *id_in_name(const char *name) {
  size_t length = strlen(name);
  if (length <= strlen(".eml") || !g_str_has_suffix(name, ".eml")) return NULL;
  return g_strndup(name, length - strlen(".eml"));
}

// A UID is as it is written: "04711.eml" is no name of ours.
static IndexAnswer lookup_id(Index *index, uint64_t parent, const char *id, Inode *inode) {
  uint64_t uid;
  bool is_uid = id[0] != '0' && g_ascii_string_to_unsigned(id, 10, 1, UINT32_MAX, &uid, NULL);
  sqlite3_stmt *statement = index_reading(index, BY_ID);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  sqlite3_bind_text(statement, 2, id, -1, SQLITE_STATIC);
  IndexAnswer answer = take_inode(index, statement, inode);
  if (answer != INDEX_ABSENT || !is_uid) return answer;
  if ((statement = index_reading(index, BY_UID)) == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)uid);
  return take_inode(index, statement, inode);
}

IndexAnswer index_lookup(Index *index, uint64_t parent, const char *name, Inode *inode) {
  g_autofree char *id = index->uid_names ? id_in_name(name) : NULL;
  if (id != NULL) {
    IndexAnswer by_id = lookup_id(index, parent, id, inode);
    if (by_id != INDEX_ABSENT) return by_id;
  }
  sqlite3_stmt *statement = index_reading(index, BY_NAME);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)parent);
  sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
  IndexAnswer answer = take_inode(index, statement, inode);
  // With uid names, a message's stored name is not one that leads to it.
  if (answer == INDEX_FOUND && index->uid_names && inode->kind == INODE_MESSAGE)
    return INDEX_ABSENT;
  return answer;
}

IndexAnswer index_children(Index *index, uint64_t folder, uint64_t after, IndexEach each,
                           gpointer data) {
  sqlite3_stmt *statement = index_reading(index, CHILDREN);
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
      code == SQLITE_ROW || code == SQLITE_DONE ? INDEX_FOUND : index_answer(index, code);
  sqlite3_reset(statement);
  return answer;
}

static IndexAnswer take_folder(Index *index, sqlite3_stmt *statement, IndexFolder *folder) {
  IndexAnswer answer = index_answer(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    *folder = (IndexFolder){
        .ino = (uint64_t)sqlite3_column_int64(statement, 0),
        .parent = (uint64_t)sqlite3_column_int64(statement, 1),
        .server_name = g_strdup((const char *)sqlite3_column_text(statement, 2)),
        .delimiter = (char)sqlite3_column_int(statement, 3),
        .attributes = (unsigned)sqlite3_column_int(statement, 4),
        .status = {.uidvalidity = (uint32_t)sqlite3_column_int64(statement, 5),
                   .uidnext = (uint32_t)sqlite3_column_int64(statement, 6),
                   .exists = (uint32_t)sqlite3_column_int64(statement, 11),
                   .highestmodseq = (uint64_t)sqlite3_column_int64(statement, 12)},
        .last_number = (uint32_t)sqlite3_column_int64(statement, 13),
        .generation = (uint64_t)sqlite3_column_int64(statement, 7),
        .listed = sqlite3_column_int(statement, 8) != 0,
        .synced_ns = sqlite3_column_int64(statement, 9),
        .gone = sqlite3_column_int(statement, 10) != 0,
        .n_messages = (uint32_t)sqlite3_column_int64(statement, 14),
    };
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_folder(Index *index, uint64_t ino, IndexFolder *folder) {
  *folder = (IndexFolder){0};
  sqlite3_stmt *statement = index_reading(index, FOLDER);
  if (statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  return take_folder(index, statement, folder);
}

IndexAnswer index_folder_named(Index *index, const char *server_name, IndexFolder *folder) {
  *folder = (IndexFolder){0};
  sqlite3_stmt *statement = index_reading(index, FOLDER_NAMED);
  if (statement == NULL) return INDEX_FAILED;
  index_bind_text(statement, 1, server_name);
  return take_folder(index, statement, folder);
}

void index_folder_clear(IndexFolder *folder) {
  g_clear_pointer(&folder->server_name, g_free);
}

// The row of one inode; *statement is to be reset when it was read, NULL where nothing can be.
static IndexAnswer find_row(Index *index, const char *sql, uint64_t ino, sqlite3_stmt **statement) {
  *statement = index_reading(index, sql);
  if (*statement == NULL) return INDEX_FAILED;
  sqlite3_bind_int64(*statement, 1, (sqlite3_int64)ino);
  return index_answer(index, sqlite3_step(*statement));
}

IndexAnswer index_message(Index *index, uint64_t ino, IndexMessage *message) {
  sqlite3_stmt *statement;
  IndexAnswer answer = find_row(index, MESSAGE, ino, &statement);
  if (answer == INDEX_FOUND) {
    *message = (IndexMessage){
        .folder = (uint64_t)sqlite3_column_int64(statement, 0),
        .uidvalidity = (uint32_t)sqlite3_column_int64(statement, 1),
        .uid = (uint32_t)sqlite3_column_int64(statement, 2),
        .gone = sqlite3_column_int(statement, 3) != 0,
        .has_body = sqlite3_column_int(statement, 4) != 0,
        .size_exact = sqlite3_column_int(statement, 6) != 0,
        .announced = sqlite3_column_int64(statement, 7),
        .has_email_id = sqlite3_column_int(statement, 8) != 0,
    };
    message->size = index_shown_size(sqlite3_column_int64(statement, 5), message->size_exact);
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_twin(Index *index, uint64_t ino, uint64_t *twin, uint64_t *size) {
  sqlite3_stmt *statement;
  IndexAnswer answer = find_row(index, TWIN, ino, &statement);
  if (answer == INDEX_FOUND) {
    *twin = (uint64_t)sqlite3_column_int64(statement, 0);
    *size = (uint64_t)sqlite3_column_int64(statement, 1);
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_archived(Index *index, uint64_t ino, char **id, uint64_t *size) {
  sqlite3_stmt *statement;
  IndexAnswer answer = find_row(index, ARCHIVED, ino, &statement);
  if (answer == INDEX_FOUND) {
    *id = g_strdup((const char *)sqlite3_column_text(statement, 0));
    *size = (uint64_t)sqlite3_column_int64(statement, 1);
  }
  sqlite3_reset(statement);
  return answer;
}

bool index_digest(Index *index, uint64_t ino, uint8_t *sha256) {
  sqlite3_stmt *statement;
  bool found = find_row(index, DIGEST, ino, &statement) == INDEX_FOUND &&
               sqlite3_column_bytes(statement, 0) == 32;
  if (found) memcpy(sha256, sqlite3_column_blob(statement, 0), 32);
  sqlite3_reset(statement);
  return found;
}

IndexAnswer index_detail(Index *index, uint64_t ino, IndexDetail detail, char **text) {
  *text = NULL;
  sqlite3_stmt *statement;
  IndexAnswer answer = find_row(index, DETAIL, ino, &statement);
  if (answer == INDEX_FOUND) {
    const char *value = (const char *)sqlite3_column_text(statement, (int)detail);
    *text = detail == INDEX_FOLDER_NAME ? name_folder_display(value) : g_strdup(value);
  }
  sqlite3_reset(statement);
  return answer;
}

IndexAnswer index_usage(Index *index, IndexUsage *usage) {
  *usage = (IndexUsage){0};
  sqlite3_stmt *statement = index_reading(index, USAGE);
  if (statement == NULL) return INDEX_FAILED;
  IndexAnswer answer = index_answer(index, sqlite3_step(statement));
  if (answer == INDEX_FOUND) {
    usage->limit_bytes = (uint64_t)sqlite3_column_int64(statement, 1);
    usage->messages = (uint64_t)sqlite3_column_double(statement, 2);
    usage->used_bytes = usage->limit_bytes > 0 ? (uint64_t)sqlite3_column_int64(statement, 0)
                                               : (uint64_t)sqlite3_column_double(statement, 3);
  }
  sqlite3_reset(statement);
  return answer;
}
