// What the archive has, compared with the ledger at start.

#include "cache/ledger_private.h"

static const char KEPT[] = "SELECT id, size, lost FROM main.kept";
static const char SET_LOST[] = "UPDATE main.kept SET lost = ?2 WHERE id = ?1";

typedef struct {
  GPtrArray *lost, *found;  // ids of rows that say otherwise
  uint64_t n_lost;
} Comparison;

static bool compare(Ledger *ledger, bool (*is_there)(const char *, uint64_t, gpointer),
                    gpointer data, Comparison *comparison, GError **error) {
  sqlite3_stmt *statement = ledger_statement(ledger, KEPT, error);
  if (statement == NULL) return false;
  int code;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    const char *id = (const char *)sqlite3_column_text(statement, 0);
    bool is_here = is_there(id, (uint64_t)sqlite3_column_int64(statement, 1), data);
    bool was_lost = sqlite3_column_int(statement, 2) != 0;
    comparison->n_lost += is_here ? 0 : 1;
    if (is_here == was_lost)
      g_ptr_array_add(is_here ? comparison->found : comparison->lost, g_strdup(id));
  }
  if (code != SQLITE_DONE) ledger_fail(ledger, "read it", error);
  sqlite3_reset(statement);
  return code == SQLITE_DONE;
}

static bool set_lost(Ledger *ledger, const GPtrArray *ids, bool is_lost, GError **error) {
  bool done = true;
  for (unsigned i = 0; done && i < ids->len; i++) {
    sqlite3_stmt *statement = ledger_statement(ledger, SET_LOST, error);
    if (statement == NULL) return false;
    sqlite3_bind_text(statement, 1, g_ptr_array_index(ids, i), -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, is_lost);
    done = ledger_run(ledger, statement, "note what is lost", error);
  }
  return done;
}

bool ledger_check(Ledger *ledger, bool (*is_there)(const char *id, uint64_t size, gpointer data),
                  gpointer data, uint64_t *n_lost, GError **error) {
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  Comparison comparison = {lost, found, 0};
  if (!compare(ledger, is_there, data, &comparison, error)) return false;
  *n_lost = comparison.n_lost;
  if (lost->len + found->len == 0) return true;
  bool done = ledger_begin(ledger, error) && set_lost(ledger, lost, true, error) &&
              set_lost(ledger, found, false, error) && ledger_commit(ledger, error);
  ledger_rollback(ledger);
  return done;
}
