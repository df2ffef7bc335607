// The writing half of the index: messages as they are told.

#include <string.h>

#include "cache/index_private.h"
#include "cache/name.h"
#include "cache/summary.h"

#define NS_PER_S G_GINT64_CONSTANT(1000000000)

#define ADD_COLUMNS                                                                         \
  "INSERT INTO inode(parent, kind, name, first_seen, generation, uid, id, size, announced," \
  " internaldate, flags, sender, subject, date, message_id, email_id, called)"              \
  " SELECT ?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15"
static const char ADD[] = ADD_COLUMNS;
static const char ADD_IF_NEW[] = ADD_COLUMNS
    " WHERE NOT EXISTS(SELECT 1 FROM inode"
    "  WHERE parent = ?1 AND uid = ?5 AND generation = ?4 AND gone = 0)";
static const char COUNT[] =
    "UPDATE folder SET messages = messages + ?2, bytes = bytes + ?3,"
    " last_number = max(last_number, ?4) WHERE ino = ?1";
static const char HAS_IDS[] =
    "SELECT EXISTS(SELECT 1 FROM inode WHERE parent = ?1 AND id IS NOT NULL AND gone = 0)";
static const char ID_TAKEN[] =
    "SELECT uidvalidity FROM inode JOIN folder ON folder.ino = inode.parent"
    " WHERE inode.parent = ?1 AND id = ?2 AND gone = 0";
static const char IS_CERTAIN[] =
    "SELECT hidden = 0 AND absent = 0 AND (?4 < 0 OR coalesce(announced, -1) IN (-1, ?4))"
    " FROM inode WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0";
static const char IS_SAME[] =
    "SELECT ino, announced FROM inode"
    " WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0"
    " AND sender IS ?4 AND subject IS ?5 AND date IS ?6 AND message_id IS ?7";
static const char INO[] =
    "SELECT ino FROM inode WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0";
static const char FORGET_REMOVAL[] =
    "DELETE FROM removal WHERE id IN (SELECT id FROM inode"
    "  WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0)";
static const char FLAGS_OF[] =
    "SELECT ino, flags FROM inode WHERE parent = ?1 AND uid = ?2 AND generation = ?3 AND gone = 0";
static const char SET_FLAGS[] = "UPDATE inode SET flags = ?2 WHERE ino = ?1";
static const char UIDS[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND uid IS NOT NULL AND generation = ?2 AND gone = 0"
    " ORDER BY uid";
static const char LAST_UID[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND uid IS NOT NULL AND generation = ?2 AND gone = 0"
    " ORDER BY uid DESC LIMIT 1";

static const char COUNT_BELOW[] =
    "SELECT count(*) FROM inode"
    " WHERE parent = ?1 AND uid IS NOT NULL AND uid < ?3 AND generation = ?2 AND gone = 0";

// What is told of a message, its header texts decoded.
typedef struct {
  char *from_name, *from_address, *sender, *subject, *date, *message_id;
  int64_t named_date;    // in its name, -1: unknown
  int64_t internaldate;  // its age, -1: as old as it is known
} Details;

// "Name <address>"; NULL if the message names no sender.
static char *sender_text(const Details *details) {
  bool has_name = details->from_name != NULL && details->from_name[0] != '\0';
  if (!has_name) return g_strdup(details->from_address);
  return details->from_address != NULL
             ? g_strdup_printf("%s <%s>", details->from_name, details->from_address)
             : g_strdup(details->from_name);
}

static void details_init(Details *details, const MailboxMessage *message) {
  *details = (Details){
      .from_name = name_header_text(message->from_name),
      .from_address = name_header_text(message->from_address),
      .subject = name_header_text(message->subject),
      .date = name_header_text(message->date),
      .message_id = name_header_text(message->message_id),
      .named_date = message->internaldate,
      .internaldate = message->internaldate,
  };
  details->sender = sender_text(details);
}

// What a header says: a date that is still to come is the sender's mistake, but it is in the name,
// which is to be the same whenever the message is listed.
static void details_init_from_header(Details *details, const MailboxMessage *message,
                                     int64_t now_s) {
  g_auto(Summary) summary;
  summary_read(&summary, message->header, message->header_bytes);
  const MailboxMessage told = {
      .internaldate = MIN(summary.sent, now_s),
      .from_name = summary.from_name,
      .from_address = summary.from_address,
      .subject = summary.subject,
      .date = summary.date,
      .message_id = summary.message_id,
  };
  details_init(details, &told);
  details->named_date = summary_date(&summary);
}

static void details_clear(Details *details) {
  g_free(details->from_name);
  g_free(details->from_address);
  g_free(details->sender);
  g_free(details->subject);
  g_free(details->date);
  g_free(details->message_id);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Details, details_clear)

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

// What the message is called by, where that is not its UID; NULL: it is.
static char *id_of(Index *index, const IndexAddition *addition, const MailboxMessage *message,
                   const char *uid, GError **error) {
  if (message->id != NULL) return index_free_id(index, addition->folder, message->id, error);
  return addition->has_ids ? distinct_id(index, addition->folder, uid, error) : NULL;
}

static bool insert_message(Index *index, sqlite3_stmt *statement, const IndexAddition *addition,
                           const MailboxMessage *message, GError **error) {
  char uid[16];
  g_auto(Details) details = {0};
  g_snprintf(uid, sizeof uid, "%u", (unsigned)message->uid);
  g_autofree char *id = id_of(index, addition, message, uid, error);
  if (id == NULL && message->id != NULL) return false;
  bool is_called_so = message->id == NULL || strcmp(id, message->id) == 0;
  if (message->header != NULL)
    details_init_from_header(&details, message, addition->now_ns / NS_PER_S);
  else
    details_init(&details, message);
  g_autofree char *name = name_message(details.named_date, details.from_name, details.from_address,
                                       details.subject, id != NULL ? id : uid);
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)addition->folder);
  sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 3, addition->now_ns);
  sqlite3_bind_int64(statement, 4, (sqlite3_int64)addition->generation);
  sqlite3_bind_int64(statement, 5, message->uid);
  sqlite3_bind_text(statement, 6, id, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 7, message->size);
  sqlite3_bind_int64(statement, 8, details.internaldate);
  sqlite3_bind_text(statement, 9, message->flags != NULL ? message->flags : "", -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 10, details.sender, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 11, details.subject, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 12, details.date, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 13, details.message_id, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 14, message->email_id, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 15, is_called_so ? NULL : message->id, -1, SQLITE_STATIC);
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
  if (message->id != NULL) addition->last_number = MAX(addition->last_number, message->uid);
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
  sqlite3_bind_int64(statement, 4, addition->last_number);
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

bool index_count_below(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                       uint32_t *count, GError **error) {
  sqlite3_stmt *statement = index_statement(index, COUNT_BELOW, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  sqlite3_bind_int64(statement, 3, uid);
  bool counted = sqlite3_step(statement) == SQLITE_ROW;
  *count = counted ? (uint32_t)sqlite3_column_int64(statement, 0) : 0;
  if (!counted) index_fail(index, "count messages", error);
  sqlite3_reset(statement);
  return counted;
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

static sqlite3_stmt *about(Index *index, const char *sql, uint64_t folder, uint64_t generation,
                           uint32_t uid, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, uid);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)generation);
  return statement;
}

// The number in the first row; `absent` if there is none, or no row.
static bool read_number(Index *index, sqlite3_stmt *statement, int64_t absent, int64_t *number,
                        GError **error) {
  if (statement == NULL) return false;
  int code = sqlite3_step(statement);
  bool has_number = code == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL;
  *number = has_number ? sqlite3_column_int64(statement, 0) : absent;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "look at a message", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

bool index_ino(Index *index, uint64_t folder, uint64_t generation, uint32_t uid, uint64_t *ino,
               GError **error) {
  int64_t number = 0;
  bool done =
      read_number(index, about(index, INO, folder, generation, uid, error), 0, &number, error);
  *ino = (uint64_t)number;
  return done;
}

bool index_is_certain(Index *index, uint64_t folder, uint64_t generation, uint32_t uid,
                      int64_t size, bool *is_certain, GError **error) {
  int64_t number = 0;
  sqlite3_stmt *statement = about(index, IS_CERTAIN, folder, generation, uid, error);
  if (statement != NULL) sqlite3_bind_int64(statement, 4, size);
  bool done = read_number(index, statement, 0, &number, error);
  *is_certain = number != 0;
  return done;
}

// The message with all that the details say, 0: it is another.
static bool find_same(Index *index, sqlite3_stmt *statement, const Details *details, uint64_t *ino,
                      int64_t *announced, GError **error) {
  if (statement == NULL) return false;
  sqlite3_bind_text(statement, 4, details->sender, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 5, details->subject, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 6, details->date, -1, SQLITE_STATIC);
  sqlite3_bind_text(statement, 7, details->message_id, -1, SQLITE_STATIC);
  int code = sqlite3_step(statement);
  *ino = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
  *announced = code == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : -1;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "compare a message", error);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

bool index_compare(Index *index, uint64_t folder, uint64_t generation,
                   const MailboxMessage *message, bool *is_same, GError **error) {
  g_auto(Details) details = {0};
  uint64_t ino;
  int64_t announced;
  if (message->header != NULL)
    details_init_from_header(&details, message, g_get_real_time() / G_USEC_PER_SEC);
  if (!find_same(index, about(index, IS_SAME, folder, generation, message->uid, error), &details,
                 &ino, &announced, error))
    return false;
  *is_same = ino != 0 && (message->header != NULL || announced == message->size);
  if (*is_same)
    return announced == message->size || index_set_announced(index, ino, message->size, error);
  sqlite3_stmt *forget = about(index, FORGET_REMOVAL, folder, generation, message->uid, error);
  return forget != NULL && index_run(index, forget, "forget a removal", error);
}
