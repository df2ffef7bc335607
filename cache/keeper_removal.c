// What users removed: hidden and noted, then settled or shown again.

#include "cache/keeper_private.h"

static int64_t now_ns(void) {
  return g_get_real_time() * 1000;
}

typedef bool (*Change)(Ledger *ledger, const char *id, GError **error);

static bool show(Ledger *ledger, const char *id, GError **error) {
  return ledger_show(ledger, id, now_ns(), error);
}

static bool note(Ledger *ledger, const char *id, GError **error) {
  return ledger_note(ledger, id, now_ns(), error);
}

// All in one transaction, or none.
static bool change_all(Ledger *ledger, const GPtrArray *ids, Change change, GError **error) {
  bool done = ledger_begin(ledger, error);
  for (unsigned i = 0; done && i < ids->len; i++)
    done = change(ledger, g_ptr_array_index(ids, i), error);
  done = done && ledger_commit(ledger, error);
  ledger_rollback(ledger);
  return done;
}

// The next start would show them, too.
static void show_again(Keeper *keeper, const GPtrArray *ids) {
  g_autoptr(GError) error = NULL;
  if (!change_all(keeper->ledger, ids, show, &error)) g_warning("%s", error->message);
}

// All in one transaction, or none.
static bool hide_all(Ledger *ledger, KeeperJob *const *jobs, unsigned count, GError **error) {
  bool done = ledger_begin(ledger, error);
  for (unsigned i = 0; done && i < count; i++)
    done = jobs[i]->id == NULL || ledger_hide(ledger, jobs[i]->ino, now_ns(), error);
  done = done && ledger_commit(ledger, error);
  ledger_rollback(ledger);
  return done;
}

static bool hide_and_note(Keeper *keeper, KeeperJob *const *jobs, unsigned count,
                          const GPtrArray *ids, GError **error) {
  if (!hide_all(keeper->ledger, jobs, count, error)) return false;
  if (change_all(keeper->ledger, ids, note, error)) return true;
  show_again(keeper, ids);
  return false;
}

void keeper_remove(Keeper *keeper, KeeperJob *const *jobs, unsigned count) {
  g_autoptr(GPtrArray) ids = g_ptr_array_new();
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < count; i++) {
    jobs[i]->id = ledger_id_of(keeper->ledger, jobs[i]->ino, &jobs[i]->error);
    if (jobs[i]->id != NULL) g_ptr_array_add(ids, jobs[i]->id);
  }
  if (ids->len == 0) return;
  bool done = hide_and_note(keeper, jobs, count, ids, &error);
  for (unsigned i = 0; i < count; i++) {
    if (jobs[i]->id == NULL) continue;
    if (done)
      archive_remove(keeper->archive, jobs[i]->id);
    else
      jobs[i]->error = g_error_copy(error);
  }
}

static void add_ino(uint64_t ino, gpointer inos) {
  g_array_append_val((GArray *)inos, ino);
}

static bool settle_all(Ledger *ledger, const GPtrArray *ids, GArray *inos, GError **error) {
  bool done = ledger_begin(ledger, error);
  for (unsigned i = 0; done && i < ids->len; i++)
    done = ledger_settle(ledger, g_ptr_array_index(ids, i), add_ino, inos, error);
  done = done && ledger_commit(ledger, error);
  ledger_rollback(ledger);
  return done;
}

void keeper_settle(Keeper *keeper, KeeperJob *job) {
  g_autoptr(GArray) inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  if (!settle_all(keeper->ledger, job->ids, inos, &job->error) ||
      !change_all(keeper->ledger, job->ids, ledger_unnote, &job->error))
    return;
  for (unsigned i = 0; i < inos->len; i++)
    body_remove(keeper->bodies, g_array_index(inos, uint64_t, i));
}

void keeper_show(Keeper *keeper, KeeperJob *job) {
  if (change_all(keeper->ledger, job->ids, ledger_unnote, &job->error))
    change_all(keeper->ledger, job->ids, show, &job->error);
}
