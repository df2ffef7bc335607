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
  if (job->free_done_data != NULL && job->done_data != NULL) job->free_done_data(job->done_data);
  g_clear_error(&job->error);
  g_free(job->id);
  g_free(job);
}

static void free_job(gpointer job) {
  keeper_job_free(job);
}

// ---- Opening.

static bool is_kept(const char *id, gpointer ledger) {
  uint64_t size;
  return ledger_has(ledger, id, &size);
}

static bool open_ledger(Keeper *keeper, bool *is_new, GError **error) {
  keeper->ledger = ledger_open(keeper->ledger_path, keeper->index_path, is_new, error);
  if (!*is_new || archive_is_empty(keeper->archive)) return keeper->ledger != NULL;
  g_clear_error(error);
  g_set_error(
      error, LEDGER_ERROR, EIO,
      "%s: the ledger that belongs to the mail in %s is lost; put it back, or move the mail "
      "away",
      keeper->ledger_path, ARCHIVE_NAME);
  return false;
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
  return (folder.listed || list_nothing(index, &folder, error)) && index_commit(index, error);
}

static bool restore(Keeper *keeper, const KeeperOptions *options, GError **error) {
  uint64_t n_kept;
  return ledger_count_kept(keeper->ledger, &n_kept, error) &&
         (n_kept == 0 || prepare_folder(options, error)) && ledger_restore(keeper->ledger, error) &&
         (keeper->removals = ledger_removals(keeper->ledger, error)) != NULL;
}

static bool open_all(Keeper *keeper, const KeeperOptions *options, GError **error) {
  bool is_new;
  g_autoptr(GError) failure = NULL;
  if (open_ledger(keeper, &is_new, &failure)) {
    if (!restore(keeper, options, error)) return false;
    archive_sweep(keeper->archive, is_kept, keeper->ledger);
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
  return keeper->ledger != NULL || open_ledger(keeper, &is_new, &job->error);
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
