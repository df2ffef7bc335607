// Messages of a store without UIDs, by what the server calls them: which of them it lists, what one
// is called here that it calls like another that stays, and which it refuses to tell more of.

#include "cache/index_private.h"

static const char IS_TAKEN[] =
    "SELECT EXISTS(SELECT 1 FROM inode WHERE parent = ?1 AND id = ?2 AND gone = 0"
    " AND (archived = 1 OR (hidden = 0 AND (SELECT keeps FROM archiving))))";
// Several that the server calls the same have a number behind that, and are like each other.
#define CALLED(row) "coalesce(" row "called, " row "id)"
#define BASE(called) "substr(" called ", 1, instr(" called " || '-', '-') - 1)"
#define IS_LISTED_LIKE(called)                                                           \
  "EXISTS(SELECT 1 FROM inode AS other WHERE other.parent = ?1 AND other.id IS NOT NULL" \
  " AND other.generation = ?3 AND other.gone = 0 AND other.absent = 0"                   \
  " AND " CALLED("other.") " BETWEEN " BASE(called) " AND " BASE(called) " || '-~'"
// What it does not list any more is known by its name only if nothing it lists is like it.
static const char NUMBER[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND id IS NOT NULL AND generation = ?3 AND gone = 0"
    " AND " CALLED("") " = ?2 AND (absent = 0 OR NOT " IS_LISTED_LIKE(
        "?2") ")) ORDER BY absent, uid DESC LIMIT 1";
static const char LISTED[] =
    "SELECT uid, hidden, " IS_LISTED_LIKE(CALLED("mine."))
    " AND other.ino <> mine.ino) FROM inode AS mine WHERE parent = ?1 AND id = ?2"
    " AND generation = ?3 AND gone = 0 AND absent = 0 ORDER BY hidden LIMIT 1";
static const char ABSENT[] =
    "SELECT uid FROM inode WHERE parent = ?1 AND generation = ?2 AND gone = 0 AND absent = 1"
    " AND uid IS NOT NULL";
static const char IS_BACK[] =
    "UPDATE inode SET absent = 0 WHERE parent = ?1 AND generation = ?2 AND gone = 0 AND uid = ?3";

static const char NOTE_REFUSAL[] =
    "INSERT INTO refusal VALUES(?1, ?2, ?2) ON CONFLICT(called) DO UPDATE SET last = ?2"
    " RETURNING since";
static const char FORGET_REFUSALS[] = "DELETE FROM refusal WHERE last < ?1";

static sqlite3_stmt *about(Index *index, const char *sql, uint64_t folder, const char *id,
                           GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return NULL;
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_text(statement, 2, id, -1, SQLITE_STATIC);
  return statement;
}

static bool is_taken(Index *index, uint64_t folder, const char *id, bool *taken, GError **error) {
  sqlite3_stmt *statement = about(index, IS_TAKEN, folder, id, error);
  if (statement == NULL) return false;
  bool told = sqlite3_step(statement) == SQLITE_ROW || index_fail(index, "look for an id", error);
  *taken = told && sqlite3_column_int(statement, 0) != 0;
  sqlite3_reset(statement);
  return told;
}

char *index_free_id(Index *index, uint64_t folder, const char *called, GError **error) {
  g_autofree char *id = g_strdup(called);
  for (unsigned n = 2;; n++) {
    bool taken;
    if (!is_taken(index, folder, id, &taken, error)) return NULL;
    if (!taken) return g_steal_pointer(&id);
    g_free(id);
    id = g_strdup_printf("%s.%u", called, n);
  }
}

bool index_number(Index *index, uint64_t folder, uint64_t generation, const char *called,
                  uint32_t *uid, GError **error) {
  sqlite3_stmt *statement = about(index, NUMBER, folder, called, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)generation);
  int code = sqlite3_step(statement);
  *uid = code == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(statement, 0) : 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE) index_fail(index, "look for an id", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

bool index_listed(Index *index, uint64_t folder, uint64_t generation, const char *id,
                  IndexListed *listed, GError **error) {
  sqlite3_stmt *statement = about(index, LISTED, folder, id, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)generation);
  int code = sqlite3_step(statement);
  *listed = (IndexListed){0};
  if (code == SQLITE_ROW)
    *listed = (IndexListed){.uid = (uint32_t)sqlite3_column_int64(statement, 0),
                            .is_hidden = sqlite3_column_int(statement, 1) != 0,
                            .has_twins = sqlite3_column_int(statement, 2) != 0};
  else if (code != SQLITE_DONE)
    index_fail(index, "look for an id", error);
  sqlite3_reset(statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

// Those that are back; NULL: error.
static GArray *find_back(Index *index, uint64_t folder, uint64_t generation, const UidSet *present,
                         GError **error) {
  sqlite3_stmt *statement = index_statement(index, ABSENT, error);
  if (statement == NULL) return NULL;
  g_autoptr(GArray) back = g_array_new(FALSE, FALSE, sizeof(uint32_t));
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    uint32_t uid = (uint32_t)sqlite3_column_int64(statement, 0);
    if (uid_set_contains(present, uid)) g_array_append_val(back, uid);
  }
  if (code != SQLITE_DONE) index_fail(index, "find what is listed again", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE ? g_steal_pointer(&back) : NULL;
}

bool index_note_present(Index *index, uint64_t folder, uint64_t generation, const UidSet *present,
                        GError **error) {
  g_autoptr(GArray) back = find_back(index, folder, generation, present, error);
  if (back == NULL) return false;
  for (unsigned i = 0; i < back->len; i++) {
    sqlite3_stmt *statement = index_statement(index, IS_BACK, error);
    if (statement == NULL) return false;
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)folder);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)generation);
    sqlite3_bind_int64(statement, 3, g_array_index(back, uint32_t, i));
    if (!index_run(index, statement, "note what is listed again", error)) return false;
  }
  return true;
}

bool index_note_refusal(Index *index, const char *called, int64_t now_ns, int64_t *since_ns,
                        GError **error) {
  sqlite3_stmt *statement = index_statement(index, NOTE_REFUSAL, error);
  if (statement == NULL) return false;
  sqlite3_bind_text(statement, 1, called, -1, SQLITE_STATIC);
  sqlite3_bind_int64(statement, 2, now_ns);
  bool noted = sqlite3_step(statement) == SQLITE_ROW;
  *since_ns = noted ? sqlite3_column_int64(statement, 0) : now_ns;
  noted = noted && sqlite3_step(statement) == SQLITE_DONE;
  if (!noted) index_fail(index, "note a refusal", error);
  sqlite3_reset(statement);
  return noted;
}

bool index_forget_refusals(Index *index, int64_t before_ns, GError **error) {
  sqlite3_stmt *statement = index_statement(index, FORGET_REFUSALS, error);
  if (statement == NULL) return false;
  sqlite3_bind_int64(statement, 1, before_ns);
  return index_run(index, statement, "forget refusals", error);
}
