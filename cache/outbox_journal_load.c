// Reading the journal.
#include <sqlite3.h>

#include "cache/outbox_journal_private.h"
#include "cache/outbox_schema.h"

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
  sqlite3_stmt *statement = journal->statements[JOURNAL_LOAD_RECIPIENTS];
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
  sqlite3_stmt *statement = journal->statements[JOURNAL_LOAD_ADDRESSEES];
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
  sqlite3_stmt *statement = journal->statements[JOURNAL_LOAD];
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
