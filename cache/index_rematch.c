// The writing half of the index: a folder that its server renumbered.

#include "cache/index_private.h"

// What makes a message the same message again: what the server calls it in all folders, or all that
// it tells of it.
#define KEY                                                                                  \
  "CASE WHEN email_id IS NOT NULL THEN 'e' || email_id"                                      \
  " WHEN message_id <> '' AND internaldate >= 0 AND announced >= 0 THEN 'm' || internaldate" \
  " || ' ' || announced || ' ' || quote(message_id) || quote(sender) || quote(subject) END"
#define SIDE(name, generation)                                                 \
  name " AS (SELECT ino, " KEY " AS key, row_number() OVER (PARTITION BY " KEY \
       " ORDER BY uid)"                                                        \
       " AS nth, count(*) OVER same AS n, email_id IS NOT NULL AS by_email,"   \
       " count(sha256) OVER same = count(*) OVER same"                         \
       " AND min(sha256) OVER same = max(sha256) OVER same AS alike"           \
       " FROM inode WHERE parent = ?1 AND generation = " generation            \
       " AND gone = 0"                                                         \
       " WINDOW same AS (PARTITION BY " KEY "))"
// Of several that look the same nobody knows which is which, nor, where their number has changed,
// which of them are left: they are paired only where all of them were read and had the same bytes.
static const char PAIR[] = "WITH " SIDE("old", "?2") ", " SIDE("new", "?3")
    " INSERT INTO rematch SELECT old.ino, new.ino FROM old JOIN new USING (key, nth, by_email)"
    " WHERE by_email OR (old.n = new.n AND (old.n = 1 OR old.alike))";
static const char TAKE_OVER[] =
    "UPDATE inode SET generation = ?1, id = coalesce(inode.id, CAST(inode.uid AS TEXT)),"
    " uid = fresh.uid, flags = fresh.flags, announced = fresh.announced"
    " FROM rematch JOIN inode AS fresh ON fresh.ino = rematch.new WHERE inode.ino = rematch.old";
static const char DROP_NEW[] = "DELETE FROM inode WHERE ino IN (SELECT new FROM rematch)";
static const char IS_ITS_UID[] =
    "UPDATE inode SET id = NULL WHERE parent = ?1 AND generation = ?2"
    " AND id = CAST(uid AS TEXT)";
// What is new and has a UID by which another is called, or the name of one that goes: who copied
// that one would take this for it.
static const char TELL_APART[] =
    "UPDATE inode SET id = uid || '-' || ?3,"
    " name = substr(name, 1, length(name) - 4) || '-' || ?3 || '.eml'"
    " WHERE parent = ?1 AND generation = ?2 AND gone = 0 AND id IS NULL AND EXISTS"
    " (SELECT 1 FROM inode AS other WHERE other.parent = ?1 AND other.generation = ?2"
    "  AND other.gone = 0 AND other.id = CAST(inode.uid AS TEXT)"
    "  UNION ALL SELECT 1 FROM inode AS other WHERE other.parent = ?1 AND other.name = inode.name"
    "  AND other.generation = ?4 AND other.gone = 0)";
static const char FORGET_PAIRS[] = "DELETE FROM rematch";

static bool run(Index *index, const char *sql, const uint64_t *values, GError **error) {
  sqlite3_stmt *statement = index_statement(index, sql, error);
  if (statement == NULL) return false;
  for (int i = 0; i < sqlite3_bind_parameter_count(statement); i++)
    sqlite3_bind_int64(statement, i + 1, (sqlite3_int64)values[i]);
  return index_run(index, statement, "recognise messages", error);
}

bool index_rematch(Index *index, uint64_t folder, uint64_t old, uint64_t generation,
                   uint32_t uidvalidity, GError **error) {
  const uint64_t sides[] = {folder, old, generation},
                 now[] = {folder, generation, uidvalidity, old};
  return run(index, FORGET_PAIRS, NULL, error) && run(index, PAIR, sides, error) &&
         run(index, TAKE_OVER, &generation, error) && run(index, DROP_NEW, NULL, error) &&
         run(index, IS_ITS_UID, now, error) && run(index, TELL_APART, now, error) &&
         run(index, FORGET_PAIRS, NULL, error);
}
