// What goes into the archive: a round takes all bodies that are here, and tells what is to be
// fetched for the next one.

#include <errno.h>
#include <fcntl.h>

#include "cache/keeper_private.h"

// So many messages are looked at in one round, and are missing at most.
#define ROUND_MESSAGES 200
// How much a round takes: what a removal, or the end, may have to wait for.
#define ROUND_LAID_BYTES ((uint64_t)16 << 20)

// What a round found.
typedef struct {
  Keeper *keeper;
  KeeperJob *job;
  uint64_t missing_bytes, laid_bytes;
  GArray *inos;    // of uint64_t: of messages whose bodies lie beside the archive now
  GPtrArray *ids;  // of those, lent by the candidates
} Round;

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

static void drop_bodies(Keeper *keeper, const GArray *inos) {
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < inos->len; i++)
    body_remove(keeper->bodies, g_array_index(inos, uint64_t, i));
  if (!change_all(keeper, inos, ledger_drop_body, &error)) g_info("%s", error->message);
}

static int held_fd(const KeeperJob *job, uint64_t ino) {
  gpointer fd = job->held != NULL ? g_hash_table_lookup(job->held, &ino) : NULL;
  return fd != NULL ? GPOINTER_TO_INT(fd) - 1 : -1;
}

// The caller's, and the body store's to close.
static int open_body(const Round *round, const LedgerCandidate *candidate) {
  if (!candidate->has_digest) return -1;
  int held = held_fd(round->job, candidate->ino);
  if (held < 0)
    return candidate->has_body ? body_open(round->keeper->bodies, candidate->ino, candidate->size)
                               : -1;
  int fd = fcntl(held, F_DUPFD_CLOEXEC, 0);
  if (fd >= 0) body_adopt(round->keeper->bodies, candidate->ino);
  return fd;
}

// A body that is not what it should be, or cannot be read, is to be fetched again by all who want
// it. What the server does not have any more is left as it is: perhaps it can be read another time;
// each round tries, and the first one tells.
static void drop_spoilt(const Round *round, const LedgerCandidate *candidate,
                        const GError *failure) {
  if (candidate->is_absent) {
    uint64_t *ino = g_memdup2(&candidate->ino, sizeof candidate->ino);
    if (g_hash_table_add(round->keeper->lamented, ino))
      g_message("%s; the server does not have it any more", failure->message);
    return;
  }
  g_autoptr(GArray) inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_info("%s; it is fetched again", failure->message);
  g_array_append_val(inos, candidate->ino);
  drop_bodies(round->keeper, inos);
}

// A spoilt body is no failure. False: the archive cannot take more.
static bool lay(const Round *round, const LedgerCandidate *candidate, bool *is_here,
                GError **error) {
  Keeper *keeper = round->keeper;
  g_autoptr(GError) failure = NULL;
  int fd = open_body(round, candidate);
  *is_here = fd >= 0 && archive_lay(keeper->archive, candidate->id, fd, candidate->size,
                                    candidate->sha256, &failure);
  if (fd >= 0) body_close(keeper->bodies, candidate->ino, fd);
  if (failure == NULL) return true;
  if (g_error_matches(failure, LEDGER_ERROR, EILSEQ)) {
    drop_spoilt(round, candidate, failure);
    return true;
  }
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

static void add_missing(Round *round, const LedgerCandidate *candidate) {
  if (candidate->ino <= round->job->asked || candidate->is_absent) return;
  const IndexStep step = {.ino = candidate->ino, .uid = candidate->uid, .size = candidate->size};
  g_array_append_val(round->job->missing, step);
  round->missing_bytes += candidate->size;
}

// What the archive has under another name is not put there twice.
static bool is_former(const Round *round, const LedgerCandidate *candidate) {
  g_autoptr(GError) error = NULL;
  Ledger *ledger = round->keeper->ledger;
  uint64_t former = candidate->has_digest ? ledger_find_former(ledger, candidate->ino) : 0;
  if (former == 0) return false;
  bool done = ledger_begin(ledger, &error) &&
              ledger_take_over(ledger, former, candidate->ino, &error) &&
              ledger_commit(ledger, &error);
  ledger_rollback(ledger);
  if (!done) {
    g_info("%s", error->message);
    return false;
  }
  body_remove(round->keeper->bodies, candidate->ino);
  g_array_append_val(round->job->recognised, candidate->ino);
  return true;
}

static bool take(Round *round, const LedgerCandidate *candidate) {
  bool is_here = false;
  if (ledger_keeps_other(round->keeper->ledger, candidate)) {
    g_info("archive: %s is another message there", candidate->id);
    return true;
  }
  if (is_former(round, candidate)) return true;
  if (!lay(round, candidate, &is_here, &round->job->error)) return false;
  if (is_here) {
    g_array_append_val(round->inos, candidate->ino);
    g_ptr_array_add(round->ids, candidate->id);
    round->laid_bytes += candidate->size;
  } else {
    add_missing(round, candidate);
  }
  return true;
}

static bool is_full(const Round *round) {
  return round->missing_bytes >= round->job->most_bytes || round->laid_bytes >= ROUND_LAID_BYTES;
}

// Who removes something waits for no more than the message under way: the next round goes on.
static void take_all(Round *round, const GArray *candidates) {
  KeeperJob *job = round->job;
  unsigned i = 0;
  for (; i < candidates->len && !is_full(round); i++) {
    if (i > 0 && queue_has_items(round->keeper->jobs)) break;
    const LedgerCandidate *candidate = &g_array_index(candidates, LedgerCandidate, i);
    if (!take(round, candidate)) return;
    job->reached = candidate->ino;
  }
  job->is_end = i == candidates->len && candidates->len < ROUND_MESSAGES && !is_full(round);
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

static void commit_round(const Round *round) {
  g_autoptr(GError) error = NULL;
  Keeper *keeper = round->keeper;
  const char *const *ids = (const char *const *)round->ids->pdata;
  if (archive_place(keeper->archive, ids, round->ids->len, &error) &&
      mark_and_keep(keeper, round->inos, &error)) {
    drop_bodies(keeper, round->inos);
    round->job->n_kept = round->inos->len;
  } else if (round->job->error == NULL) {
    round->job->error = g_steal_pointer(&error);
  }
}

void keeper_archive_round(Keeper *keeper, KeeperJob *job) {
  job->missing = g_array_new(FALSE, TRUE, sizeof(IndexStep));
  job->recognised = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  job->reached = job->after;
  g_autoptr(GArray) candidates =
      ledger_candidates(keeper->ledger, job->after, ROUND_MESSAGES, &job->error);
  if (candidates == NULL) return;
  g_autoptr(GArray) inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_autoptr(GPtrArray) ids = g_ptr_array_new();
  Round round = {.keeper = keeper, .job = job, .inos = inos, .ids = ids};
  take_all(&round, candidates);
  if (inos->len > 0) commit_round(&round);
}
