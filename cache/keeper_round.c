// What goes into the archive: a round takes all bodies that are here, and tells what is to be
// fetched for the next one.

#include <errno.h>

#include "cache/keeper_private.h"

// So many messages are looked at in one round, and are missing at most.
#define ROUND_MESSAGES 200

// A body that is not what it should be is to be fetched again. False: the archive cannot take more.
static bool lay(Keeper *keeper, const LedgerCandidate *candidate, bool *is_here, GError **error) {
  g_autoptr(GError) failure = NULL;
  int fd = body_open(keeper->bodies, candidate->ino, candidate->size);
  *is_here = fd >= 0 && archive_lay(keeper->archive, candidate->id, fd, candidate->size,
                                    candidate->sha256, &failure);
  if (fd >= 0) body_close(keeper->bodies, candidate->ino, fd);
  if (failure == NULL || g_error_matches(failure, LEDGER_ERROR, EILSEQ)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static void add_missing(KeeperJob *job, const LedgerCandidate *candidate, uint64_t *bytes) {
  if (candidate->ino <= job->asked) return;
  const IndexStep step = {.ino = candidate->ino, .uid = candidate->uid, .size = candidate->size};
  g_array_append_val(job->missing, step);
  *bytes += candidate->size;
}

// The messages whose bodies lie beside the archive now.
typedef struct {
  GArray *inos;    // of uint64_t
  GPtrArray *ids;  // lent by the candidates
} Laid;

// Who removes something waits for no more than the message under way: the next round goes on.
static bool lay_all(Keeper *keeper, KeeperJob *job, const GArray *candidates, Laid *laid) {
  uint64_t bytes = 0;
  unsigned i = 0;
  for (; i < candidates->len && bytes < job->most_bytes; i++) {
    if (i > 0 && queue_has_items(keeper->jobs)) break;
    const LedgerCandidate *candidate = &g_array_index(candidates, LedgerCandidate, i);
    bool is_here = false;
    if (candidate->has_body && !lay(keeper, candidate, &is_here, &job->error)) return false;
    if (is_here) {
      g_array_append_val(laid->inos, candidate->ino);
      g_ptr_array_add(laid->ids, candidate->id);
    } else {
      add_missing(job, candidate, &bytes);
    }
    job->reached = candidate->ino;
  }
  job->is_end = i == candidates->len && candidates->len < ROUND_MESSAGES && bytes < job->most_bytes;
  return true;
}

typedef bool (*Change)(Ledger *ledger, uint64_t ino, GError **error);

// All in one transaction, or none.
static bool change_all(Keeper *keeper, const GArray *inos, Change change, GError **error) {
  bool done = ledger_begin(keeper->ledger, error);
  for (unsigned i = 0; done && i < inos->len; i++)
    done = change(keeper->ledger, g_array_index(inos, uint64_t, i), error);
  done = done && ledger_commit(keeper->ledger, error);
  ledger_rollback(keeper->ledger);
  return done;
}

// A listing that comes in between must not take away what is being kept: so the index knows first.
static bool mark_and_keep(Keeper *keeper, const GArray *inos, GError **error) {
  g_autoptr(GError) failure = NULL;
  if (!change_all(keeper, inos, ledger_mark, error)) return false;
  if (change_all(keeper, inos, ledger_keep, error)) return true;
  // The next start would do that, too.
  if (!change_all(keeper, inos, ledger_unmark, &failure)) g_warning("%s", failure->message);
  return false;
}

static void drop_bodies(Keeper *keeper, const GArray *inos) {
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < inos->len; i++)
    body_remove(keeper->bodies, g_array_index(inos, uint64_t, i));
  if (!change_all(keeper, inos, ledger_drop_body, &error)) g_info("%s", error->message);
}

static void commit_round(Keeper *keeper, KeeperJob *job, const Laid *laid) {
  g_autoptr(GError) error = NULL;
  const char *const *ids = (const char *const *)laid->ids->pdata;
  if (archive_place(keeper->archive, ids, laid->ids->len, &error) &&
      mark_and_keep(keeper, laid->inos, &error)) {
    drop_bodies(keeper, laid->inos);
    job->n_kept = laid->inos->len;
  } else if (job->error == NULL) {
    job->error = g_steal_pointer(&error);
  }
}

void keeper_archive_round(Keeper *keeper, KeeperJob *job) {
  job->missing = g_array_new(FALSE, TRUE, sizeof(IndexStep));
  job->reached = job->after;
  g_autoptr(GArray) candidates =
      ledger_candidates(keeper->ledger, job->after, ROUND_MESSAGES, &job->error);
  if (candidates == NULL) return;
  g_autoptr(GArray) inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_autoptr(GPtrArray) ids = g_ptr_array_new();
  Laid laid = {inos, ids};
  lay_all(keeper, job, candidates, &laid);
  if (inos->len > 0) commit_round(keeper, job, &laid);
}
