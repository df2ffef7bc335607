// Bytes of letters, for as long as they may not be in their files yet.
#include <sqlite3.h>

#include "cache/outbox_journal_private.h"
#include "cache/outbox_schema.h"

bool outbox_journal_put_content(OutboxJournal *journal, uint64_t id, GBytes *content,
                                GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_PUT_CONTENT];
  gsize size;
  const void *bytes = g_bytes_get_data(content, &size);
  sqlite3_bind_int64(statement, 1, (sqlite3_int64)id);
  sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
  return outbox_journal_run(journal, JOURNAL_PUT_CONTENT, "store a letter's bytes", error);
}

bool outbox_journal_drop_content(OutboxJournal *journal, uint64_t id, GError **error) {
  sqlite3_bind_int64(journal->statements[JOURNAL_DROP_CONTENT], 1, (sqlite3_int64)id);
  journal->has_deleted = true;
  return outbox_journal_run(journal, JOURNAL_DROP_CONTENT, "forget a letter's bytes", error);
}

bool outbox_journal_drop_contents(OutboxJournal *journal, GError **error) {
  journal->has_deleted = true;
  return outbox_journal_run(journal, JOURNAL_DROP_CONTENTS, "forget letters' bytes", error);
}

bool outbox_journal_each_content(OutboxJournal *journal, OutboxJournalEachContent each,
                                 gpointer data, GError **error) {
  sqlite3_stmt *statement = journal->statements[JOURNAL_EACH_CONTENT];
  sqlite3_bind_int(statement, 1, OUTBOX_ACCEPTED);
  int step = SQLITE_DONE;
  bool ok = true;
  while (ok && (step = sqlite3_step(statement)) == SQLITE_ROW) {
    const OutboxContent content = {
        .id = (uint64_t)sqlite3_column_int64(statement, 0),
        .phase = (OutboxPhase)sqlite3_column_int(statement, 1),
        .bytes = sqlite3_column_blob(statement, 2),
        .size = (size_t)sqlite3_column_bytes(statement, 2),
    };
    ok = each(&content, data, error);
  }
  if (ok && step != SQLITE_DONE) ok = outbox_sql_fail(journal->database, "read it", error);
  sqlite3_reset(statement);
  return ok;
}
