// The inside of an OutboxJournal: shared by the files outbox_journal*.c only.
//
//   outbox_journal.c          life, transactions, storing
//   outbox_journal_load.c     reading
//   outbox_journal_content.c  bytes of letters
//   outbox_journal_log.c      the room for the log
#pragma once

#include <sqlite3.h>

#include "cache/outbox_journal.h"

typedef enum {
  JOURNAL_BEGIN,
  JOURNAL_COMMIT,
  JOURNAL_ROLLBACK,
  JOURNAL_LOAD,
  JOURNAL_LOAD_RECIPIENTS,
  JOURNAL_LOAD_ADDRESSEES,
  JOURNAL_PUT,
  JOURNAL_RELABEL,
  JOURNAL_SET_PHASE,
  JOURNAL_NOTE_COPY,
  JOURNAL_PUT_RECIPIENT,
  JOURNAL_PUT_ADDRESSEE,
  JOURNAL_REMOVE,
  JOURNAL_REMOVE_RECIPIENTS,
  JOURNAL_REMOVE_ADDRESSEES,
  JOURNAL_NUMBERS,
  JOURNAL_RESERVE,
  JOURNAL_PUT_CONTENT,
  JOURNAL_DROP_CONTENT,
  JOURNAL_DROP_CONTENTS,
  JOURNAL_EACH_CONTENT,
  JOURNAL_STATEMENTS,
} JournalStatement;

struct OutboxJournal {
  sqlite3 *database;
  sqlite3_stmt *statements[JOURNAL_STATEMENTS];
  bool has_deleted;     // bytes of letters
  int64_t frame_bytes;  // of a page in the write-ahead log
  int64_t log_bytes;    // of the write-ahead log, up to its last commit
  int64_t log_room;     // how long its file is, as far as we know
};

// -- outbox_journal_log.c
// Once, before the first commit.
bool outbox_journal_watch_log(OutboxJournal *journal, GError **error);
// To be called in a transaction whose commit is durable, when nobody else writes. What fails here
// fails silently.
void outbox_journal_make_room(OutboxJournal *journal);

// -- outbox_journal.c
// Runs a statement that answers nothing and frees its bindings.
bool outbox_journal_run(OutboxJournal *journal, JournalStatement which, const char *doing,
                        GError **error);
