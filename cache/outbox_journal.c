#include "cache/outbox_journal.h"

#include <errno.h>
#include <sqlite3.h>

#include "cache/outbox.h"
#include "cache/outbox_schema.h"

// For others that read it meanwhile (a count, a backup): they hold it for milliseconds.
#define BUSY_MS 5000

typedef enum {
  BEGIN,
  COMMIT,
  ROLLBACK,
  LOAD,
  LOAD_RECIPIENTS,
  LOAD_ADDRESSEES,
  PUT,
  RELABEL,
  SET_PHASE,
  NOTE_COPY,
  PUT_RECIPIENT,
  PUT_ADDRESSEE,
  REMOVE,
  REMOVE_RECIPIENTS,
  REMOVE_ADDRESSEES,
  NUMBERS,
  RESERVE,
  STATEMENTS,
} Statement;

static const char *const statement_sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [LOAD] =
        "SELECT id, ino, directory, name, phase, mode, atime_ns, mtime_ns, ctime_ns,"
        " queued_at, attempts, next_try, message_id, sender, date, error, broken, perhaps_sent,"
        " envelope_from, notify, ret, envid, origin, copied, accepted_at FROM letter ORDER BY ino",
    [LOAD_RECIPIENTS] = "SELECT address, verdict, reply FROM recipient WHERE letter = ?1",
    [LOAD_ADDRESSEES] = "SELECT address FROM addressee WHERE letter = ?1 ORDER BY position",
    [PUT] =
        "INSERT OR REPLACE INTO letter (id, ino, directory, name, phase, mode, atime_ns,"
        " mtime_ns, ctime_ns, queued_at, attempts, next_try, message_id, sender, date, error,"
        " broken, perhaps_sent, envelope_from, notify, ret, envid, origin, copied, accepted_at)"
        " VALUES"
        " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,"
        " ?20, ?21, ?22, ?23, ?24, ?25)",
    [RELABEL] =
        "UPDATE letter SET ino = ?2, directory = ?3, name = ?4, mode = ?6, atime_ns = ?7,"
        " mtime_ns = ?8, ctime_ns = ?9 WHERE id = ?1",
    [SET_PHASE] = "UPDATE letter SET phase = ?2 WHERE id = ?1",
    [NOTE_COPY] = "UPDATE letter SET copied = ?2, accepted_at = ?3 WHERE id = ?1",
    [PUT_RECIPIENT] =
        "INSERT OR REPLACE INTO recipient (letter, address, verdict, reply)"
        " VALUES (?1, ?2, ?3, ?4)",
    [PUT_ADDRESSEE] = "INSERT INTO addressee (letter, position, address) VALUES (?1, ?2, ?3)",
    [REMOVE] = "DELETE FROM letter WHERE id = ?1",
    [REMOVE_RECIPIENTS] = "DELETE FROM recipient WHERE letter = ?1",
    [REMOVE_ADDRESSEES] = "DELETE FROM addressee WHERE letter = ?1",
    [NUMBERS] = "SELECT next FROM numbers",
    [RESERVE] = "UPDATE numbers SET next = max(next, ?1)",
};

struct OutboxJournal {
  sqlite3 *database;
  sqlite3_stmt *statements[STATEMENTS];
};

static bool prepare(OutboxJournal *journal, Statement which, GError **error) {
  return sqlite3_prepare_v3(journal->database, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                            &journal->statements[which], NULL) == SQLITE_OK ||
         outbox_sql_fail(journal->database, "prepare a statement", error);
}

static bool set_up(OutboxJournal *journal, GError **error) {
  sqlite3_busy_timeout(journal->database, BUSY_MS);
  if (!outbox_schema_bring_up(journal->database, error) ||
      !outbox_sql_execute(journal->database, "PRAGMA journal_mode = WAL", "set it up", error))
    return false;
  for (unsigned i = 0; i < STATEMENTS; i++)
    if (!prepare(journal, (Statement)i, error)) return false;
  return true;
}

static bool set_up_to_read(OutboxJournal *journal, GError **error) {
  sqlite3_busy_timeout(journal->database, BUSY_MS);
  return outbox_schema_check(journal->database, error) && prepare(journal, LOAD, error) &&
         prepare(journal, LOAD_RECIPIENTS, error) && prepare(journal, LOAD_ADDRESSEES, error);
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

void outbox_journal_free(OutboxJournal *journal) {
  if (journal == NULL) return;
  for (unsigned i = 0; i < STATEMENTS; i++)
    sqlite3_finalize(journal->statements[i]);
  sqlite3_close(journal->database);
  g_free(journal);
}

// Runs a statement that answers nothing and frees its bindings.
static bool run(OutboxJournal *journal, Statement which, const char *doing, GError **error) {
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

static char *column_text(sqlite3_stmt *statement, int at) {
  return g_strdup((const char *)sqlite3_column_text(statement, at));
}

static void read_row(sqlite3_stmt *statement, OutboxRow *row) {
  *row = (OutboxRow){
      .id = (uint64_t)sqlite3_column_int64(statement, 0),
      .ino = (uint64_t)sqlite3_column_int64(statement, 1),
      .directory = (uint64_t)sqlite3_column_int64(statement, 2),
      .name = column_text(statement, 3),
      .phase = (OutboxPhase)sqlite3_column_int(statement, 4),
      .mode = (mode_t)sqlite3_column_int(statement, 5),
      .atime_ns = sqlite3_column_int64(statement, 6),
      .mtime_ns = sqlite3_column_int64(statement, 7),
      .ctime_ns = sqlite3_column_int64(statement, 8),
      .queued_at = sqlite3_column_int64(statement, 9),
      .attempts = (unsigned)sqlite3_column_int(statement, 10),
      .next_try = sqlite3_column_int64(statement, 11),
      .message_id = column_text(statement, 12),
      .from = column_text(statement, 13),
      .date = sqlite3_column_int64(statement, 14),
      .error = column_text(statement, 15),
      .broken = sqlite3_column_int(statement, 16),
      .perhaps_sent = sqlite3_column_int(statement, 17) != 0,
      .envelope = {.from = column_text(statement, 18),
                   .notify = column_text(statement, 19),
                   .ret = column_text(statement, 20),
                   .envid = column_text(statement, 21)},
      .origin = column_text(statement, 22),
      .copied = sqlite3_column_int(statement, 23) != 0,
      .accepted_at = sqlite3_column_int64(statement, 24),
  };
}

static GPtrArray *load_recipients(OutboxJournal *journal, uint64_t id, GError **error) {
  g_autoptr(GPtrArray) recipients =
      g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  sqlite3_stmt *statement = journal->statements[LOAD_RECIPIENTS];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
  int step;
  while ((step = sqlite3_step(statement)) == SQLITE_ROW)
    g_ptr_array_add(recipients,
                    outbox_recipient_new((const char *)sqlite3_column_text(statement, 0),
                                         sqlite3_column_int(statement, 1),
                                         (const char *)sqlite3_column_text(statement, 2)));
  bool ok = step == SQLITE_DONE || outbox_sql_fail(journal->database, "read it", error);
  sqlite3_reset(statement);
  return ok ? g_steal_pointer(&recipients) : NULL;
}

static bool load_addressees(OutboxJournal *journal, OutboxRow *row, GError **error) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  sqlite3_stmt *statement = journal->statements[LOAD_ADDRESSEES];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
  int step;
  while ((step = sqlite3_step(statement)) == SQLITE_ROW)
    g_ptr_array_add(addresses, column_text(statement, 0));
  bool ok = step == SQLITE_DONE || outbox_sql_fail(journal->database, "read it", error);
  sqlite3_reset(statement);
  if (!ok || addresses->len == 0) return ok;
  g_ptr_array_add(addresses, NULL);
  g_ptr_array_set_free_func(addresses, NULL);
  row->envelope.recipients = (char **)g_ptr_array_free(g_steal_pointer(&addresses), false);
  return true;
}

bool outbox_journal_load(OutboxJournal *journal, OutboxJournalEach each, gpointer data,
                         GError **error) {
  sqlite3_stmt *statement = journal->statements[LOAD];
  int step;
  bool ok = true;
  while (ok && (step = sqlite3_step(statement)) != SQLITE_DONE) {
    if (step != SQLITE_ROW) {
      ok = outbox_sql_fail(journal->database, "read it", error);
      break;
    }
    OutboxRow row;
    read_row(statement, &row);
    g_autoptr(GPtrArray) recipients = load_recipients(journal, row.id, error);
    ok = recipients != NULL && load_addressees(journal, &row, error);
    if (ok) each(&row, recipients, data);
    outbox_row_clear(&row);
  }
  sqlite3_reset(statement);
  return ok;
}

unsigned outbox_journal_count(const char *path) {
  sqlite3 *database = NULL;
  int64_t count = 0;
  g_autofree char *sql = g_strdup_printf(
      "SELECT count(*) FROM letter WHERE phase BETWEEN %d AND %d", OUTBOX_HELD, OUTBOX_SENT_DATA);
  if (g_file_test(path, G_FILE_TEST_IS_REGULAR) &&
      sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK)
    outbox_sql_number(database, sql, &count, NULL);
  sqlite3_close(database);
  return (unsigned)count;
}

bool outbox_journal_begin(OutboxJournal *journal, bool durable, GError **error) {
  const char *synchronous = durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL";
  return outbox_sql_execute(journal->database, synchronous, "set it up", error) &&
         run(journal, BEGIN, "begin a change", error);
}

bool outbox_journal_commit(OutboxJournal *journal, GError **error) {
  return run(journal, COMMIT, "commit a change", error);
}

// A full disk may have rolled back already.
void outbox_journal_rollback(OutboxJournal *journal) {
  if (!sqlite3_get_autocommit(journal->database)) run(journal, ROLLBACK, "roll back", NULL);
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
  sqlite3_stmt *statement = journal->statements[PUT_RECIPIENT];
  for (unsigned i = 0; recipients != NULL && i < recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
    bind_text(statement, 2, recipient->address);
    sqlite3_bind_int(statement, 3, recipient->verdict);
    bind_text(statement, 4, recipient->reply);
    if (!run(journal, PUT_RECIPIENT, "note a recipient", error)) return false;
  }
  return true;
}

static bool remove_all(OutboxJournal *journal, Statement which, uint64_t id, GError **error) {
  sqlite3_bind_int64(journal->statements[which], 1, (sqlite3_int64)id);
  return run(journal, which, "forget recipients", error);
}

static bool remove_recipients(OutboxJournal *journal, uint64_t id, GError **error) {
  return remove_all(journal, REMOVE_RECIPIENTS, id, error) &&
         remove_all(journal, REMOVE_ADDRESSEES, id, error);
}

static bool put_addressees(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  sqlite3_stmt *statement = journal->statements[PUT_ADDRESSEE];
  char **addresses = row->envelope.recipients;
  for (int i = 0; addresses != NULL && addresses[i] != NULL; i++) {
    sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
    sqlite3_bind_int(statement, 2, i);
    bind_text(statement, 3, addresses[i]);
    if (!run(journal, PUT_ADDRESSEE, "note a recipient", error)) return false;
  }
  return true;
}

bool outbox_journal_put(OutboxJournal *journal, const OutboxRow *row, GPtrArray *recipients,
                        GError **error) {
  sqlite3_stmt *statement = journal->statements[PUT];
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
  return run(journal, PUT, "note a letter", error) && remove_recipients(journal, row->id, error) &&
         put_recipients(journal, row->id, recipients, error) && put_addressees(journal, row, error);
}

bool outbox_journal_relabel(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  bind_label(journal->statements[RELABEL], row);
  return run(journal, RELABEL, "rename a letter", error);
}

bool outbox_journal_advance(OutboxJournal *journal, uint64_t id, OutboxPhase phase,
                            GPtrArray *recipients, GError **error) {
  sqlite3_stmt *statement = journal->statements[SET_PHASE];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
  sqlite3_bind_int(statement, 2, (int)phase);
  return run(journal, SET_PHASE, "note a phase", error) &&
         put_recipients(journal, id, recipients, error);
}

bool outbox_journal_note_copy(OutboxJournal *journal, const OutboxRow *row, GError **error) {
  sqlite3_stmt *statement = journal->statements[NOTE_COPY];
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)row->id);
  sqlite3_bind_int(statement, 2, row->copied);
  sqlite3_bind_int64(statement, 3, row->accepted_at);
  return run(journal, NOTE_COPY, "note a copy", error);
}

bool outbox_journal_remove(OutboxJournal *journal, uint64_t id, GError **error) {
  sqlite3_bind_int64(journal->statements[REMOVE], 1, (sqlite3_int64)id);
  return run(journal, REMOVE, "remove a letter", error) && remove_recipients(journal, id, error);
}

bool outbox_journal_numbers(OutboxJournal *journal, uint64_t *next, GError **error) {
  sqlite3_stmt *statement = journal->statements[NUMBERS];
  bool ok =
      sqlite3_step(statement) == SQLITE_ROW || outbox_sql_fail(journal->database, "read it", error);
  if (ok) *next = (uint64_t)sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return ok;
}

bool outbox_journal_reserve(OutboxJournal *journal, uint64_t next, GError **error) {
  sqlite3_bind_int64(journal->statements[RESERVE], 1, (sqlite3_int64)next);
  return run(journal, RESERVE, "reserve numbers", error);
}
