#include "cache/keeper.h"

#include <errno.h>

#include "cache/keeper_private.h"

#define LEDGER_NAME "mail.db"
#define ARCHIVE_NAME "archive"
// More removals than this do not share a commit, so that the first need not wait for too many.
#define BATCH_MAX 256

KeeperJob *keeper_job_new(KeeperTask task) {
  KeeperJob *job = g_new0(KeeperJob, 1);
  job->task = task;
  return job;
}

void keeper_job_free(KeeperJob *job) {
  if (job == NULL) return;
  g_clear_pointer(&job->ids, g_ptr_array_unref);
  g_clear_pointer(&job->missing, g_array_unref);
  g_clear_pointer(&job->recognised, g_array_unref);
  g_clear_pointer(&job->held, g_hash_table_unref);
  if (job->free_done_data != NULL && job->done_data != NULL) job->free_done_data(job->done_data);
  g_clear_error(&job->error);
  g_free(job->id);
  g_free(job);
}

static void free_job(gpointer job) {
  keeper_job_free(job);
}

// ---- Opening.

static LedgerFate fate_of(const char *id, gpointer ledger) {
  return ledger_fate(ledger, id);
}

static bool is_there(const char *id, uint64_t size, gpointer archive) {
  return archive_has(archive, id, size);
}

// Where the archive has mail, no ledger is made.
static bool open_ledger(Keeper *keeper, bool *is_new, GError **error) {
  const LedgerOptions wanted = {.path = keeper->ledger_path,
                                .index_path = keeper->index_path,
                                .owner = keeper->owner,
                                .may_make = archive_is_empty(keeper->archive)};
  keeper->ledger = ledger_open(&wanted, is_new, error);
  return keeper->ledger != NULL;
}

static void ignore_name(uint64_t parent, uint64_t ino, const char *name, gpointer data) {}
static void ignore_folder(uint64_t folder, gpointer data) {}
// Nothing is mounted yet.
static const IndexListener nobody = {ignore_name, ignore_name, ignore_folder, NULL};

// An index that is new gets the folder that the archive's mail lies in.
static bool make_folder(Index *index, const char *reserved, GError **error) {
  static const MailboxFolder inbox = {.name = LEDGER_FOLDER, .delimiter = '/'};
  return index_begin_tree(index, error) && index_put_folder(index, &inbox, reserved, error) &&
         index_end_tree(index, 0, &nobody, error);
}

static bool list_nothing(Index *index, const IndexFolder *folder, GError **error) {
  static const MailboxStatus status = {.uidvalidity = LEDGER_UIDVALIDITY};
  uint64_t generation;
  return index_new_generation(index, folder->ino, &generation, error) &&
         index_end_sync(index, folder->ino, generation, &status, true, 0, &nobody, error);
}

static bool prepare_folder(const KeeperOptions *options, GError **error) {
  g_autoptr(Index) index = index_open(options->index_path, INDEX_WRITE, error);
  g_auto(IndexFolder) folder = {0};
  if (index == NULL || !index_begin(index, error)) return false;
  if (index_folder_named(index, LEDGER_FOLDER, &folder) == INDEX_ABSENT &&
      !make_folder(index, options->reserved, error))
    return false;
  index_folder_clear(&folder);
  if (index_folder_named(index, LEDGER_FOLDER, &folder) != INDEX_FOUND) {
    g_set_error_literal(error, LEDGER_ERROR, EIO, "ledger: the index cannot be read");
    return false;
  }
  return (folder.generation > 0 || list_nothing(index, &folder, error)) &&
         index_commit(index, error);
}

// What is lost may come back with the directory: the ledger forgets nothing. On a full disk it is
// only told.
static void check_archive(Keeper *keeper, const KeeperOptions *options) {
  uint64_t n_lost = 0;
  g_autoptr(GError) error = NULL;
  if (!ledger_check(keeper->ledger, is_there, keeper->archive, &n_lost, &error))
    g_warning("%s", error->message);
  if (n_lost > 0)
    g_warning("%" G_GUINT64_FORMAT
              " archived messages are not in %s/%s any more, or not whole; "
              "what the server has of them still is archived again",
              n_lost, options->directory, ARCHIVE_NAME);
}

static void sweep(Keeper *keeper, const KeeperOptions *options) {
  unsigned n_aside = archive_sweep(keeper->archive, fate_of, keeper->ledger);
  if (n_aside > 0)
    g_message("%u files in %s/%s are of no message in %s; they lie in %s there now", n_aside,
              options->directory, ARCHIVE_NAME, LEDGER_NAME, ARCHIVE_ASIDE);
}

static bool restore_index(Keeper *keeper, const KeeperOptions *options, GError **error) {
  if (ledger_restore(keeper->ledger, options->keeps_forever, error)) return true;
  g_prefix_error(error,
                 "%s cannot be brought in line with the state directory: ", options->index_path);
  return false;
}

static bool restore(Keeper *keeper, const KeeperOptions *options, GError **error) {
  uint64_t n_kept;
  check_archive(keeper, options);
  return ledger_count_kept(keeper->ledger, &n_kept, error) &&
         (n_kept == 0 || prepare_folder(options, error)) && restore_index(keeper, options, error) &&
         (keeper->removals = ledger_removals(keeper->ledger, error)) != NULL;
}

static bool open_all(Keeper *keeper, const KeeperOptions *options, GError **error) {
  bool is_new;
  g_autoptr(GError) failure = NULL;
  if (open_ledger(keeper, &is_new, &failure)) {
    if (!restore(keeper, options, error)) return false;
    sweep(keeper, options);
    return true;
  }
  if (!is_new || !g_error_matches(failure, LEDGER_ERROR, ENOSPC)) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  g_message("%s; nothing is removed or archived before there is room", failure->message);
  keeper->removals = g_ptr_array_new_with_free_func(g_free);
  return true;
}

// ---- The thread.

static void answer(Keeper *keeper, KeeperJob *job) {
  post_send(keeper->answers, job);
}

// False: the job ends with why there is none.
static bool has_ledger(Keeper *keeper, KeeperJob *job) {
  bool is_new;
  if (keeper->ledger != NULL) return true;
  // It has nothing, but tells the index whether all is to be kept.
  if (open_ledger(keeper, &is_new, &job->error) &&
      ledger_restore(keeper->ledger, keeper->keeps_forever, &job->error))
    return true;
  g_clear_pointer(&keeper->ledger, ledger_free);
  return false;
}

static void do_job(Keeper *keeper, KeeperJob *job) {
  if (!has_ledger(keeper, job)) {
    answer(keeper, job);
    return;
  }
  switch (job->task) {
    case KEEPER_REMOVE:
      keeper_remove(keeper, &job, 1);
      break;
    case KEEPER_SETTLE:
      keeper_settle(keeper, job);
      break;
    case KEEPER_SHOW:
      keeper_show(keeper, job);
      break;
    case KEEPER_ARCHIVE:
      keeper_archive_round(keeper, job);
      break;
  }
  answer(keeper, job);
}

// Takes the first and all removals right behind it; what comes after those is returned.
static KeeperJob *do_removals(Keeper *keeper, KeeperJob *first) {
  KeeperJob *jobs[BATCH_MAX] = {first}, *next = NULL;
  unsigned count = 1;
  while (count < BATCH_MAX && (next = queue_pop(keeper->jobs, 0)) != NULL &&
         next->task == KEEPER_REMOVE)
    jobs[count++] = g_steal_pointer(&next);
  keeper_remove(keeper, jobs, count);
  for (unsigned i = 0; i < count; i++)
    answer(keeper, jobs[i]);
  return next;
}

static gpointer run(gpointer data) {
  Keeper *keeper = data;
  KeeperJob *job;
  while ((job = queue_pop(keeper->jobs, -1)) != NULL) {
    if (job->task == KEEPER_REMOVE && keeper->ledger != NULL) job = do_removals(keeper, job);
    if (job != NULL) do_job(keeper, job);
  }
  return NULL;
}

static void take_answer(gpointer item, gpointer data) {
  const Keeper *keeper = data;
  g_autoptr(KeeperJob) job = item;
  job->done(job, keeper->data);
}

Keeper *keeper_new(const KeeperOptions *options, GError **error) {
  g_autoptr(Keeper) keeper = g_new0(Keeper, 1);
  g_autofree char *archive = g_build_filename(options->directory, ARCHIVE_NAME, NULL);
  keeper->bodies = options->bodies;
  keeper->data = options->data;
  keeper->ledger_path = g_build_filename(options->directory, LEDGER_NAME, NULL);
  keeper->index_path = g_strdup(options->index_path);
  keeper->owner = g_strdup(options->owner);
  keeper->keeps_forever = options->keeps_forever;
  keeper->lamented = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  if ((keeper->archive = archive_new(archive, error)) == NULL || !open_all(keeper, options, error))
    return NULL;
  keeper->jobs = queue_new(free_job);
  keeper->answers = post_new(options->context, take_answer, keeper, free_job);
  keeper->thread = g_thread_new("keeper", run, keeper);
  return g_steal_pointer(&keeper);
}

void keeper_free(Keeper *keeper) {
  if (keeper == NULL) return;
  if (keeper->thread != NULL) {
    queue_close(keeper->jobs);
    g_thread_join(keeper->thread);
    queue_free(keeper->jobs);
    post_free(keeper->answers);
  }
  g_clear_pointer(&keeper->removals, g_ptr_array_unref);
  ledger_free(keeper->ledger);
  archive_free(keeper->archive);
  g_free(keeper->ledger_path);
  g_free(keeper->index_path);
  g_free(keeper->owner);
  g_hash_table_unref(keeper->lamented);
  g_free(keeper);
}

GPtrArray *keeper_take_removals(Keeper *keeper) {
  return g_steal_pointer(&keeper->removals);
}

void keeper_push(Keeper *keeper, KeeperJob *job) {
  queue_push(keeper->jobs, job);
}

Archive *keeper_archive(Keeper *keeper) {
  return keeper->archive;
}
