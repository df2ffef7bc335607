// One message after the other: removed, settled, archived.

#include <errno.h>
#include <string.h>

#include "cache/ledger_private.h"

static const char ID_OF[] = "SELECT id, gone OR hidden FROM seen.inode WHERE ino = ?1 AND kind = 1";
// Messages that the server calls the same are told apart by a number behind it, in the order of the
// day. What it has no more is told from all.
static const char HAS_TWINS[] =
    "SELECT EXISTS(SELECT 1 FROM seen.inode AS mine JOIN seen.inode AS other USING (parent)"
    " WHERE mine.ino = ?1 AND mine.absent = 0 AND other.ino <> ?1 AND other.id IS NOT NULL"
    " AND other.gone = 0 AND other.absent = 0 AND other.hidden = 0"
    " AND " LEDGER_LIKE("other", LEDGER_CALLED("mine")) ")";
#define IS_IT " WHERE parent = " LEDGER_FOLDER_INO " AND id = ?1"
static const char HIDE[] =
    "UPDATE seen.inode SET hidden = 1, archived = 0 WHERE ino = ?1 AND gone = 0";
#define REMOVED " FROM seen.inode" IS_IT " AND hidden = 1 AND gone = 0 ORDER BY ino DESC LIMIT 1"
static const char TELL_REMOVAL[] =
    "INSERT OR REPLACE INTO seen.removal(id, called, announced, message_id)"
    " SELECT id, coalesce(called, id), announced, message_id FROM seen.inode"
    " WHERE ino = ?1 AND hidden = 1 AND gone = 0";
static const char FORGET_REMOVAL[] = "DELETE FROM seen.removal WHERE id = ?1";
static const char SHOW[] =
    "UPDATE seen.inode SET hidden = 0, archived = id IN"
    " (SELECT id FROM main.kept WHERE lost = 0)" IS_IT " AND hidden = 1";
static const char TOUCH[] =
    "UPDATE seen.folder SET mtime = max(mtime + 1, ?1) WHERE ino = " LEDGER_FOLDER_INO;
static const char HIDDEN[] = "SELECT ino FROM seen.inode" IS_IT " AND hidden = 1";
static const char GONE[] = "UPDATE seen.inode SET gone = 1, has_body = 0" IS_IT " AND hidden = 1";
static const char NOTE[] =
    "INSERT OR REPLACE INTO main.removal(id, called, announced, message_id, asked_ns)"
    " SELECT id, coalesce(called, id), announced, message_id, ?2" REMOVED;
static const char UNKEEP[] = "DELETE FROM main.kept WHERE id = ?1";
static const char UNNOTE[] = "DELETE FROM main.removal WHERE id = ?1";
static const char FATE[] =
    "SELECT CASE WHEN EXISTS(SELECT 1 FROM main.kept WHERE id = ?1 AND lost = 0) THEN 0"
    " WHEN EXISTS(SELECT 1 FROM main.removal WHERE id = ?1) THEN 1 ELSE 2 END";
static const char DIGEST[] = "SELECT sha256 FROM main.kept WHERE id = ?1 AND lost = 0";
static const char CANDIDATES[] =
    "SELECT ino, id, uid, size, has_body, sha256, absent FROM seen.inode WHERE parent "
    "= " LEDGER_FOLDER_INO
    " AND ino > ?1 AND id IS NOT NULL AND gone = 0 AND hidden = 0 AND archived = 0"
    " AND generation = (SELECT generation FROM seen.folder WHERE folder.ino = inode.parent)"
    " ORDER BY ino LIMIT ?2";
static const char KEEP[] =
    "INSERT OR REPLACE INTO main.kept(id, called, name, size, sha256, announced, internaldate,"
    " first_seen, flags, sender, subject, date, message_id)"
    " SELECT id, coalesce(called, id), name, size, sha256, announced, internaldate, first_seen, "
    "flags, sender, subject,"
    " date, message_id FROM seen.inode WHERE ino = ?1 AND archived = 1";
static const char MARK[] =
    "UPDATE seen.inode SET archived = 1 WHERE ino = ?1 AND gone = 0 AND hidden = 0";
static const char UNMARK[] = "UPDATE seen.inode SET archived = 0 WHERE ino = ?1";
static const char DROP_BODY[] = "UPDATE seen.inode SET has_body = 0 WHERE ino = ?1";

static sqlite3_stmt *about(Ledger *ledger, const char *sql, const char *id, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  if (statement != NULL) sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
  return statement;
}

static bool run_about(Ledger *ledger, const char *sql, const char *id, const char *doing,
                      GError **error) {
  sqlite3_stmt *statement = about(ledger, sql, id, error);
  return statement != NULL && ledger_run(ledger, statement, doing, error);
}

static bool run_at(Ledger *ledger, const char *sql, uint64_t ino, const char *doing,
                   GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, sql, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  return ledger_run(ledger, statement, doing, error);
}

static bool touch(Ledger *ledger, int64_t now_ns, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, TOUCH, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, now_ns);
  return ledger_run(ledger, statement, "date the folder", error);
}

// ---- What users removed.

static bool has_twins(Ledger *ledger, uint64_t ino, bool *has, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, HAS_TWINS, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  bool told = sqlite3_step(statement) == SQLITE_ROW || ledger_fail(ledger, "look it up", error);
  if (told) *has = sqlite3_column_int(statement, 0) != 0;
  sqlite3_reset(statement);
  return told;
}

static char *refuse(int code, const char *why, GError **error) {
  g_set_error(error, LEDGER_ERROR, code, "the message cannot be removed: %s", why);
  return NULL;
}

char *ledger_id_of(Ledger *ledger, uint64_t ino, GError **error) {
  bool is_one_of_many = false;
  sqlite3_stmt *statement = ledger_statement(ledger, ID_OF, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)ino);
  int code = sqlite3_step(statement);
  bool is_shown = code == SQLITE_ROW && sqlite3_column_int(statement, 1) == 0;
  g_autofree char *id = is_shown ? g_strdup((const char *)sqlite3_column_text(statement, 0)) : NULL;
  if (code != SQLITE_ROW && code != SQLITE_DONE) ledger_fail(ledger, "look it up", error);
  sqlite3_reset(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) return NULL;
  if (!is_shown) return refuse(ENOENT, "it is not there any more", error);
  if (id == NULL) return refuse(ENOTSUP, "its server has no lasting name for it", error);
  if (!has_twins(ledger, ino, &is_one_of_many, error)) return NULL;
  if (is_one_of_many) return refuse(ENOTSUP, "its server calls several messages the same", error);
  return g_steal_pointer(&id);
}

bool ledger_hide(Ledger *ledger, uint64_t ino, int64_t now_ns, GError **error) {
  return run_at(ledger, HIDE, ino, "hide a message", error) &&
         run_at(ledger, TELL_REMOVAL, ino, "hide a message", error) && touch(ledger, now_ns, error);
}

bool ledger_show(Ledger *ledger, const char *id, int64_t now_ns, GError **error) {
  return run_about(ledger, FORGET_REMOVAL, id, "show a message", error) &&
         run_about(ledger, SHOW, id, "show a message", error) && touch(ledger, now_ns, error);
}

bool ledger_note(Ledger *ledger, const char *id, int64_t now_ns, GError **error) {
  sqlite3_stmt *statement = about(ledger, NOTE, id, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 2, now_ns);
  return ledger_run(ledger, statement, "note a removal", error) &&
         run_about(ledger, UNKEEP, id, "note a removal", error);
}

bool ledger_unnote(Ledger *ledger, const char *id, GError **error) {
  return run_about(ledger, UNNOTE, id, "forget a removal", error);
}

static bool tell_hidden(Ledger *ledger, const char *id, void (*gone)(uint64_t, gpointer),
                        gpointer data, GError **error) {
  sqlite3_stmt *statement = about(ledger, HIDDEN, id, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    gone((uint64_t)sqlite3_column_int64(statement, 0), data);
  if (code != SQLITE_DONE) ledger_fail(ledger, "read the index", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE;
}

bool ledger_settle(Ledger *ledger, const char *id, void (*gone)(uint64_t ino, gpointer data),
                   gpointer data, GError **error) {
  return run_about(ledger, FORGET_REMOVAL, id, "forget a message", error) &&
         tell_hidden(ledger, id, gone, data, error) &&
         run_about(ledger, GONE, id, "forget a message", error);
}

// ---- What is archived.

LedgerFate ledger_fate(Ledger *ledger, const char *id) {
  sqlite3_stmt *statement = about(ledger, FATE, id, NULL);
  bool is_told = statement != NULL && sqlite3_step(statement) == SQLITE_ROW;
  LedgerFate fate = is_told ? (LedgerFate)sqlite3_column_int(statement, 0) : LEDGER_KEEPS;
  if (statement != NULL) sqlite3_reset(statement);
  return fate;
}

bool ledger_keeps_other(Ledger *ledger, const LedgerCandidate *candidate) {
  if (!candidate->has_digest) return false;
  sqlite3_stmt *statement = about(ledger, DIGEST, candidate->id, NULL);
  bool is_other =
      statement != NULL && sqlite3_step(statement) == SQLITE_ROW &&
      (sqlite3_column_bytes(statement, 0) != BODY_SHA256_BYTES ||
       memcmp(sqlite3_column_blob(statement, 0), candidate->sha256, BODY_SHA256_BYTES) != 0);
  if (statement != NULL) sqlite3_reset(statement);
  return is_other;
}

void ledger_candidate_clear(LedgerCandidate *candidate) {
  g_clear_pointer(&candidate->id, g_free);
}

static void clear_candidate(gpointer candidate) {
  ledger_candidate_clear(candidate);
}

// A body whose digest is not known is none that can be checked.
static void take_candidate(sqlite3_stmt *row, GArray *candidates) {
  LedgerCandidate candidate = {
      .ino = (uint64_t)sqlite3_column_int64(row, 0),
      .id = g_strdup((const char *)sqlite3_column_text(row, 1)),
      .uid = (uint32_t)sqlite3_column_int64(row, 2),
      .size = (uint64_t)MAX(sqlite3_column_int64(row, 3), 0),
      .has_body = sqlite3_column_int(row, 4) != 0,
      .has_digest = sqlite3_column_bytes(row, 5) == BODY_SHA256_BYTES,
      .is_absent = sqlite3_column_int(row, 6) != 0,
  };
  if (candidate.has_digest)
    memcpy(candidate.sha256, sqlite3_column_blob(row, 5), BODY_SHA256_BYTES);
  g_array_append_val(candidates, candidate);
}

GArray *ledger_candidates(Ledger *ledger, uint64_t after, unsigned most, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, CANDIDATES, error);
  if (statement == NULL) return NULL;
  g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(LedgerCandidate));
  g_array_set_clear_func(candidates, clear_candidate);
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)after);
  sqlite3_bind_int64(statement, 2, most);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW)
    take_candidate(statement, candidates);
  if (code != SQLITE_DONE) ledger_fail(ledger, "read the index", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? g_steal_pointer(&candidates) : NULL;
}

bool ledger_mark(Ledger *ledger, uint64_t ino, GError **error) {
  return run_at(ledger, MARK, ino, "mark a message", error);
}

bool ledger_unmark(Ledger *ledger, uint64_t ino, GError **error) {
  return run_at(ledger, UNMARK, ino, "mark a message", error);
}

bool ledger_keep(Ledger *ledger, uint64_t ino, GError **error) {
  return run_at(ledger, KEEP, ino, "note a message", error);
}

bool ledger_drop_body(Ledger *ledger, uint64_t ino, GError **error) {
  return run_at(ledger, DROP_BODY, ino, "forget a body", error);
}
