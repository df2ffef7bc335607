// The tables of the outbox's journal: how they are made, told from others, and brought up from an
// older version. For outbox_journal.c only.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <sqlite3.h>

// Makes the tables in an empty database, brings those of an earlier version up in one transaction,
// leaves those of this version as they are. Anything else is left alone: EIO.
bool outbox_schema_bring_up(sqlite3 *database, GError **error);
// Only looks: EIO unless the tables are those of this version.
bool outbox_schema_check(sqlite3 *database, GError **error);

// What SQLite says went wrong, as an OUTBOX_ERROR; false.
bool outbox_sql_fail(sqlite3 *database, const char *doing, GError **error);
bool outbox_sql_execute(sqlite3 *database, const char *sql, const char *doing, GError **error);
// The number a pragma or a SELECT answers with.
bool outbox_sql_number(sqlite3 *database, const char *sql, int64_t *number, GError **error);
