// What the files of the index share: the connection and its prepared statements. For cache/index*.c
// only.
#pragma once

#include <sqlite3.h>

#include "cache/index.h"
#include "cache/name.h"

struct Index {
  sqlite3 *db;
  GHashTable *statements;  // text of a statement, by address -> sqlite3_stmt
  IndexMode mode;
  bool uid_names;
  bool in_transaction;
  bool holds_snapshot;  // INDEX_READ
  GThread *owner;
  char name[NAME_FOLDER_MAX + 1];  // of the Inode handed out last
};

// The prepared statement of `sql` (a string that lives as long as the program), reset and unbound;
// it stays the index's. NULL: error is set.
sqlite3_stmt *index_statement(Index *index, const char *sql, GError **error);
// Sets INDEX_ERROR from the connection's last failure; returns false.
bool index_fail(Index *index, const char *attempt, GError **error);
// Runs a statement that gives no rows, and resets it.
bool index_run(Index *index, sqlite3_stmt *statement, const char *attempt, GError **error);
// The same for reading: takes part in the snapshot that is held in INDEX_READ mode. NULL: logged.
sqlite3_stmt *index_reading(Index *index, const char *sql);
// What a step of a reading statement means; a failure is logged.
IndexAnswer index_answer(Index *index, int code);
// What the server announces of a message by now.
bool index_set_announced(Index *index, uint64_t ino, int64_t size, GError **error);
// The size of a message as it is shown.
uint64_t index_shown_size(int64_t size, bool exact);
void index_bind_text(sqlite3_stmt *statement, int column, const char *text);

// "4711.eml" into the buffer, which is returned.
#define INDEX_UID_NAME_BYTES 40
const char *index_uid_name(const unsigned char *id, char name[INDEX_UID_NAME_BYTES]);
