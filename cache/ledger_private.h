// What the files of the ledger share. For cache/ledger*.c only.
#pragma once

#include <sqlite3.h>

#include "cache/ledger.h"

// The folder's inode, in a query.
#define LEDGER_FOLDER_INO                                                  \
  "(SELECT folder.ino FROM seen.folder JOIN seen.inode AS own USING (ino)" \
  " WHERE server_name = '" LEDGER_FOLDER "' AND own.gone = 0 AND folder.ino <> 1)"

// What the server calls a message, and that without the number by which it is told from others that
// have the same.
#define LEDGER_CALLED(row) "coalesce(" row ".called, " row ".id)"
#define LEDGER_BASE(called) "substr(" called ", 1, instr(" called " || '-', '-') - 1)"
// Another one may be called like it: between the base and this.
#define LEDGER_LIKE(row, called) \
  LEDGER_CALLED(row) " BETWEEN " LEDGER_BASE(called) " AND " LEDGER_BASE(called) " || '-~'"

// The prepared statement of `sql` (a string that lives as long as the program), reset and unbound;
// it stays the ledger's. NULL: error is set.
sqlite3_stmt *ledger_statement(Ledger *ledger, const char *sql, GError **error);
// Runs a statement that gives no rows, and resets it.
bool ledger_run(Ledger *ledger, sqlite3_stmt *statement, const char *doing, GError **error);
// Sets LEDGER_ERROR from the connection's last failure; false.
bool ledger_fail(Ledger *ledger, const char *doing, GError **error);
bool ledger_execute(Ledger *ledger, const char *sql, const char *doing, GError **error);
sqlite3 *ledger_database(Ledger *ledger);
