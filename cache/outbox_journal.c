#include "cache/outbox_journal.h"

#include "cache/outbox_journal_private.h"
#include "cache/outbox_schema.h"

// What is deleted is not overwritten with zeros at once: that doubles what a commit writes.
#define MODES "PRAGMA journal_mode = WAL; PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY"
// For others that read it meanwhile (a count, a backup): they hold it for milliseconds.
#define BUSY_MS 5000

static const char *const statement_sql[JOURNAL_STATEMENTS] = {
    [JOURNAL_BEGIN] = "BEGIN IMMEDIATE",
    [JOURNAL_COMMIT] = "COMMIT",
    [JOURNAL_ROLLBACK] = "ROLLBACK",
    [JOURNAL_LOAD] =
        "SELECT id, ino, directory, name, phase, mode, atime_ns, mtime_ns, ctime_ns,"
        " queued_at, attempts, next_try, message_id, sender, date, error, broken, perhaps_sent,"
        " envelope_from, notify, ret, envid, origin, copied, accepted_at FROM letter ORDER BY ino",
    [JOURNAL_LOAD_RECIPIENTS] = "SELECT address, verdict, reply FROM recipient WHERE letter = ?1",
    [JOURNAL_LOAD_ADDRESSEES] = "SELECT address FROM addressee WHERE letter = ?1 ORDER BY position",
    [JOURNAL_PUT] =
        "INSERT OR REPLACE INTO letter (id, ino, directory, name, phase, mode, atime_ns,"
        " mtime_ns, ctime_ns, queued_at, attempts, next_try, message_id, sender, date, error,"
        " broken, perhaps_sent, envelope_from, notify, ret, envid, origin, copied, accepted_at)"
        " VALUES"
        " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
        " ?20, ?21, ?22, ?23, ?24, ?25)",
    [JOURNAL_RELABEL] =
        "UPDATE letter SET ino = ?2, directory = ?3, name = ?4, mode = ?6, atime_ns = ?7,"
        " mtime_ns = ?8, ctime_ns = ?9 WHERE id = ?1",
    [JOURNAL_SET_PHASE] = "UPDATE letter SET phase = ?2 WHERE id = ?1",
    [JOURNAL_NOTE_COPY] = "UPDATE letter SET copied = ?2, accepted_at = ?3 WHERE id = ?1",
    [JOURNAL_PUT_RECIPIENT] =
        "INSERT OR REPLACE INTO recipient (letter, address, verdict, reply)"
        " VALUES (?1, ?2, ?3, ?4)",
    [JOURNAL_PUT_ADDRESSEE] =
        "INSERT INTO addressee (letter, position, address) VALUES (?1, ?2, ?3)",
    [JOURNAL_REMOVE] = "DELETE FROM letter WHERE id = ?1",
    [JOURNAL_REMOVE_RECIPIENTS] = "DELETE FROM recipient WHERE letter = ?1",
    [JOURNAL_REMOVE_ADDRESSEES] = "DELETE FROM addressee WHERE letter = ?1",
    [JOURNAL_NUMBERS] = "SELECT next FROM numbers",
    [JOURNAL_RESERVE] = "UPDATE numbers SET next = max(next, ?1)",
    [JOURNAL_PUT_CONTENT] = "INSERT OR REPLACE INTO content (letter, bytes) VALUES (?1, ?2)",
    [JOURNAL_DROP_CONTENT] = "DELETE FROM content WHERE letter = ?1",
    [JOURNAL_DROP_CONTENTS] = "DELETE FROM content",
    [JOURNAL_EACH_CONTENT] =
        "SELECT content.letter, letter.phase, content.bytes"
        " FROM content JOIN letter ON letter.id = content.letter"
        " WHERE NOT (letter.phase = ?1 AND letter.copied) ORDER BY content.letter",
};

static bool prepare(OutboxJournal *journal, JournalStatement which, GError **error) {
  return sqlite3_prepare_v3(journal->database, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                            &journal->statements[which], NULL) == SQLITE_OK ||
         outbox_sql_fail(journal->database, "prepare a statement", error);
}

static bool set_up(OutboxJournal *journal, GError **error) {
  sqlite3_busy_timeout(journal->database, BUSY_MS);
  if (!outbox_schema_bring_up(journal->database, error) ||
      !outbox_sql_execute(journal->database, MODES, "set it up", error))
    return false;
  if (!outbox_journal_watch_log(journal, error)) return false;
  for (unsigned i = 0; i < JOURNAL_STATEMENTS; i++)
    if (!prepare(journal, (JournalStatement)i, error)) return false;
  return true;
}

static bool set_up_to_read(OutboxJournal *journal, GError **error) {
  sqlite3_busy_timeout(journal->database, BUSY_MS);
  return outbox_schema_check(journal->database, error) && prepare(journal, JOURNAL_LOAD, error) &&
         prepare(journal, JOURNAL_LOAD_RECIPIENTS, error) &&
         prepare(journal, JOURNAL_LOAD_ADDRESSEES, error);
}

typedef bool (*SetUp)(OutboxJournal *journal, GError **error);

static OutboxJournal *open_journal(const char *path, int flags, SetUp set, GError **error) {
  g_autoptr(OutboxJournal) journal = g_new0(OutboxJournal, 1);
  if (sqlite3_open_v2(path, &journal->database, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
    outbox_sql_fail(journal->database, "open it", error);
  else if (set(journal, error))
    return g_steal_pointer(&journal);
  g_prefix_error(error, "%s: ", path);
  return NULL;
}

OutboxJournal *outbox_journal_open(const char *path, GError **error) {
  return open_journal(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, set_up, error);
}

OutboxJournal *outbox_journal_open_to_read(const char *path, GError **error) {
  return open_journal(path, SQLITE_OPEN_READONLY, set_up_to_read, error);
}

// What was deleted is not overwritten at once, but it does not outlive the program either.
static void forget_deleted(OutboxJournal *journal) {
  if (journal->has_deleted) sqlite3_exec(journal->database, "VACUUM", NULL, NULL, NULL);
}

void outbox_journal_free(OutboxJournal *journal) {
  if (journal == NULL) return;
  for (unsigned i = 0; i < JOURNAL_STATEMENTS; i++)
    sqlite3_finalize(journal->statements[i]);
  forget_deleted(journal);
  sqlite3_close(journal->database);
  g_free(journal);
}

bool outbox_journal_run(OutboxJournal *journal, JournalStatement which, const char *doing,
                        GError **error) {
  sqlite3_stmt *statement = journal->statements[which];
  bool ok =
      sqlite3_step(statement) == SQLITE_DONE || outbox_sql_fail(journal->database, doing, error);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return ok;
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text) {
  sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

bool outbox_journal_begin(OutboxJournal *journal, bool durable, GError **error) {
  const char *synchronous = durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
  if (!outbox_sql_execute(journal->database, synchronous, "set it up", error) ||
      !outbox_journal_run(journal, JOURNAL_BEGIN, "begin a change", error))
    return false;
  if (durable) outbox_journal_make_room(journal);
  return true;
}

bool outbox_journal_commit(OutboxJournal *journal, GError **error) {
  return outbox_journal_run(journal, JOURNAL_COMMIT, "commit a change", error);
}

// A full disk may have rolled back already.
void outbox_journal_rollback(OutboxJournal *journal) {
  if (!sqlite3_get_autocommit(journal->database))
    outbox_journal_run(journal, JOURNAL_ROLLBACK, "roll back", NULL);
}

static void bind_label(sqlite3_stmt *statement, const OutboxRow *row) {
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
  sqlite3_bind_int64(statement, 2, (sqlite3_int64)row->ino);
  sqlite3_bind_int64(statement, 3, (sqlite3_int64)row->directory);
  bind_text(statement, 4, row->name);
  sqlite3_bind_int64(statement, 6, row->mode);
  sqlite3_bind_int64(statement, 7, row->atime_ns);
  sqlite3_bind_int64(statement, 8, row->mtime_ns);
  sqlite3_bind_int64(statement, 9, row->ctime_ns);
}

static bool put_recipients(OutboxJournal *journal, uint64_t id, GPtrArray *recipients,
                           GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_PUT_RECIPIENT];
  for (unsigned i = 0; recipients != NULL && i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
    bind_text(statement, 2, recipient->address);
    sqlite3_bind_int(statement, 3, recipient->verdict);
    bind_text(statement, 4, recipient->reply);
    if (!outbox_journal_run(journal, JOURNAL_PUT_RECIPIENT, "note a recipient", error))
      return false;
  }
  return true;
}

static bool remove_all(OutboxJournal *journal, JournalStatement which, uint64_t id,
                       GError **error) {
  sqlite3_bind_int64(journal->statements[which], 1, (sqlite3_int64)id);
  return outbox_journal_run(journal, which, "forget recipients", error);
}

static bool remove_recipients(OutboxJournal *journal, uint64_t id, GError **error) {
  return remove_all(journal, JOURNAL_REMOVE_RECIPIENTS, id, error) &&
         remove_all(journal, JOURNAL_REMOVE_ADDRESSEES, id, error);
}

static bool put_addressees(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_PUT_ADDRESSEE];
  char **addresses = row->envelope.recipients;
  for (int i = 0; addresses != NULL && addresses[i] != NULL; i++) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
    sqlite3_bind_int(statement, 2, i);
    bind_text(statement, 3, addresses[i]);
    if (!outbox_journal_run(journal, JOURNAL_PUT_ADDRESSEE, "note a recipient", error))
      return false;
  }
  return true;
}

bool outbox_journal_put(OutboxJournal *journal, const OutboxRow *row, GPtrArray *recipients,
                        GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_PUT];
  bind_label(statement, row);
  sqlite3_bind_int(statement, 5, (int)row->phase);
  sqlite3_bind_int64(statement, 10, row->queued_at);
  sqlite3_bind_int64(statement, 11, row->attempts);
  sqlite3_bind_int64(statement, 12, row->next_try);
  bind_text(statement, 13, row->message_id);
  bind_text(statement, 14, row->from);
  sqlite3_bind_int64(statement, 15, row->date);
  bind_text(statement, 16, row->error);
  sqlite3_bind_int(statement, 17, row->broken);
  sqlite3_bind_int(statement, 18, row->perhaps_sent);
  bind_text(statement, 19, row->envelope.from);
  bind_text(statement, 20, row->envelope.notify);
  bind_text(statement, 21, row->envelope.ret);
  bind_text(statement, 22, row->envelope.envid);
  bind_text(statement, 23, row->origin);
  sqlite3_bind_int(statement, 24, row->copied);
  sqlite3_bind_int64(statement, 25, row->accepted_at);
  return outbox_journal_run(journal, JOURNAL_PUT, "note a letter", error) &&
         remove_recipients(journal, row->id, error) &&
         put_recipients(journal, row->id, recipients, error) && put_addressees(journal, row, error);
}

bool outbox_journal_relabel(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  bind_label(journal->statements[JOURNAL_RELABEL], row);
  return outbox_journal_run(journal, JOURNAL_RELABEL, "rename a letter", error);
}

bool outbox_journal_advance(OutboxJournal *journal, uint64_t id, OutboxPhase phase,
                            GPtrArray *recipients, GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_SET_PHASE];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
  sqlite3_bind_int(statement, 2, (int)phase);
  return outbox_journal_run(journal, JOURNAL_SET_PHASE, "note a phase", error) &&
         put_recipients(journal, id, recipients, error);
}

bool outbox_journal_note_copy(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_NOTE_COPY];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
  sqlite3_bind_int(statement, 2, row->copied);
  sqlite3_bind_int64(statement, 3, row->accepted_at);
  return outbox_journal_run(journal, JOURNAL_NOTE_COPY, "note a copy", error);
}

bool outbox_journal_remove(OutboxJournal *journal, uint64_t id, GError **error) {
  sqlite3_bind_int64(journal->statements[JOURNAL_REMOVE], 1, (sqlite3_int64)id);
  return outbox_journal_run(journal, JOURNAL_REMOVE, "remove a letter", error) &&
         remove_recipients(journal, id, error) && outbox_journal_drop_content(journal, id, error);
}

bool outbox_journal_numbers(OutboxJournal *journal, uint64_t *next, GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_NUMBERS];
  bool ok =
      sqlite3_step(statement) == SQLITE_ROW || outbox_sql_fail(journal->database, "read it", error);
  if (ok) *next = (uint64_t)sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return ok;
}

bool outbox_journal_reserve(OutboxJournal *journal, uint64_t next, GError **error) {
  sqlite3_bind_int64(journal->statements[JOURNAL_RESERVE], 1, (sqlite3_int64)next);
  return outbox_journal_run(journal, JOURNAL_RESERVE, "reserve numbers", error);
}
