#include "cache/outbox_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/letter.h"
#include "cache/outbox.h"
#include "cache/outbox_batch.h"
#include "cache/outbox_inline.h"
#include "cache/outbox_letters.h"
#include "cache/outbox_reserve.h"
#include "cache/outbox_spool_take.h"

#define COPIED_AT_ONCE (1 << 30)
// Whoever copies many letters flushes the next within that.
#define PATIENCE_US 3000
// How many letters settle at once, beside others that are made durable and while nothing is to do.
#define SETTLE_BESIDE 16
#define SETTLE_IDLE 64

struct OutboxSpool {
  OutboxSpoolOptions options;
  OutboxReserve *reserve;  // the thread's, as the next
  OutboxInline *letters;   // small letters
  Queue *jobs;
  OutboxBatch *batch;  // of them; the thread's
  Post *answers;
  pthread_t thread;
};

SpoolJob *spool_job_new(SpoolChange change) {
  SpoolJob *job = g_new0(SpoolJob, 1);
  job->change = change;
  job->copied_fd = -1;
  return job;
}

void spool_job_free(SpoolJob *job) {
  if (job == NULL) return;
  outbox_row_clear(&job->row);
  if (job->recipients != NULL) g_ptr_array_unref(job->recipients);
  if (job->drops != NULL) g_ptr_array_unref(job->drops);
  if (job->detail != NULL) job->free_detail(job->detail);
  if (job->copied_fd >= 0) close(job->copied_fd);
  if (job->content != NULL) g_bytes_unref(job->content);
  g_clear_error(&job->refused);
  g_clear_error(&job->error);
  g_free(job);
}

static void fail_job(SpoolJob *job, int code, const char *doing) {
  if (job->error == NULL)
    g_set_error(&job->error, OUTBOX_ERROR, code, "letter %" PRIu64 ": cannot %s: %s", job->row.id,
                doing, g_strerror(code));
}

// 0, or the errno of what went wrong.
static int copy_bytes(int from, int to) {
  off_t at = 0;
  ssize_t sent;
  do
    sent = sendfile(to, from, &at, COPIED_AT_ONCE);
  while (sent > 0 || (sent < 0 && errno == EINTR));
  return sent < 0 ? errno : 0;
}

static bool copy_file(OutboxSpool *spool, SpoolJob *job) {
  int fd = outbox_file_open(spool->options.letters_fd, job->row.id, O_WRONLY | O_CREAT | O_EXCL);
  int code = fd < 0 ? errno : copy_bytes(job->copied_fd, fd);
  if (fd >= 0) close(fd);
  if (code != 0) fail_job(job, code, "copy it");
  return code == 0;
}

static void check_size(SpoolJob *job, uint64_t size) {
  if (job->max_size > 0 && size > job->max_size)
    g_set_error(&job->refused, OUTBOX_ERROR, EMSGSIZE,
                "it has %" PRIu64 " bytes, the server takes %" PRIu64, size, job->max_size);
}

static void check_letter(SpoolJob *job, int fd) {
  const LetterDefaults defaults = {
      .from = job->row.from,
      .message_id = job->row.message_id,
      .date = job->row.date,
      .envelope_from = job->row.envelope.from,
      .recipients = (const char *const *)job->row.envelope.recipients,
  };
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  if (letter != NULL)
    check_size(job, letter_size(letter));
  else if (g_error_matches(error, LETTER_ERROR, LETTER_ERROR_INVALID))
    g_set_error(&job->refused, OUTBOX_ERROR, EINVAL, "%s", error->message);
  else
    g_set_error(&job->error, OUTBOX_ERROR, EIO, "%s", error->message);
}

static bool has_row(const SpoolJob *job) {
  bool changes = job->change != SPOOL_NO_CHANGE && job->change != SPOOL_LIST;
  return changes && job->error == NULL && (job->refused == NULL || job->put_refused);
}

// By its bytes beside its row, where it is small. One whose row is not stored is nobody's promise.
static void make_durable(SpoolJob *job, int fd) {
  if (!has_row(job)) return;
  if (job->change == SPOOL_PUT) job->content = outbox_inline_read(fd);
  if (job->content != NULL || fsync(fd) == 0) return;
  job->unsynced = errno;
  fail_job(job, job->unsynced, "write it to the disk");
}

// What is done to a letter's file before its row is stored.
static void prepare(OutboxSpool *spool, SpoolJob *job) {
  if (job->change == SPOOL_LIST) spool_take_list(&spool->options, job);
  if (job->take && !spool_take_link(&spool->options, job)) return;
  if (job->copied_fd >= 0 && !copy_file(spool, job)) return;
  if (!job->check && !job->sync) return;
  int fd = outbox_file_open(spool->options.letters_fd, job->row.id, O_RDWR);
  if (fd < 0) {
    fail_job(job, errno, "open its file");
    return;
  }
  if (job->check) check_letter(job, fd);
  if (job->sync) make_durable(job, fd);
  close(fd);
  if (job->take && job->refused != NULL) job->row.phase = OUTBOX_DRAFT;
}

static bool put(OutboxJournal *journal, const SpoolJob *job, GError **error) {
  if (!outbox_journal_put(journal, &job->row, job->recipients, error)) return false;
  if (job->content != NULL)
    return outbox_journal_put_content(journal, job->row.id, job->content, error);
  return !job->sync || outbox_journal_drop_content(journal, job->row.id, error);
}

static bool apply(OutboxJournal *journal, const SpoolJob *job, GError **error) {
  switch (job->change) {
    case SPOOL_NO_CHANGE:
    case SPOOL_LIST:
      return true;
    case SPOOL_PUT:
      return put(journal, job, error);
    case SPOOL_RELABEL:
      return outbox_journal_relabel(journal, &job->row, error);
    case SPOOL_ADVANCE:
      return outbox_journal_advance(journal, job->row.id, job->row.phase, job->recipients, error);
    case SPOOL_COPY:
      return outbox_journal_note_copy(journal, &job->row, error);
    case SPOOL_REMOVE:
      return outbox_journal_remove(journal, job->row.id, error);
    case SPOOL_RESERVE:
      return outbox_journal_reserve(journal, job->row.id, error);
  }
  return true;
}

// All rows of the jobs in one transaction.
static bool store_rows(OutboxSpool *spool, SpoolJob *const *jobs, unsigned count, GError **error) {
  OutboxJournal *journal = spool->options.journal;
  bool durable = false;
  unsigned rows = 0;
  for (unsigned i = 0; i < count; i++) {
    if (!has_row(jobs[i])) continue;
    rows++;
    durable |= !jobs[i]->relaxed;
  }
  if (rows == 0) return true;
  bool ok = outbox_journal_begin(journal, durable, error);
  for (unsigned i = 0; ok && i < count; i++)
    if (has_row(jobs[i])) ok = apply(journal, jobs[i], error);
  if (ok && outbox_journal_commit(journal, error)) return true;
  outbox_journal_rollback(journal);
  return false;
}

// The row may have room where the bytes beside it have none.
static bool sync_instead(OutboxSpool *spool, SpoolJob *job) {
  if (job->content == NULL) return false;
  int fd = outbox_file_open(spool->options.letters_fd, job->row.id, O_RDWR);
  bool synced = fd >= 0 && fsync(fd) == 0 && fsync(spool->options.letters_fd) == 0;
  if (fd >= 0) close(fd);
  if (synced) g_clear_pointer(&job->content, g_bytes_unref);
  return synced;
}

static void store_each(OutboxSpool *spool, SpoolJob *const *jobs, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    g_autoptr(GError) error = NULL;
    bool stored = store_rows(spool, &jobs[i], 1, &error);
    if (!stored && jobs[i]->vital && outbox_reserve_give_up(spool->reserve)) {
      g_clear_error(&error);
      stored = store_rows(spool, &jobs[i], 1, &error);
    }
    if (!stored && jobs[i]->vital && sync_instead(spool, jobs[i])) {
      g_clear_error(&error);
      stored = store_rows(spool, &jobs[i], 1, &error);
    }
    if (!stored && jobs[i]->error == NULL) jobs[i]->error = g_steal_pointer(&error);
  }
}

static bool syncs_file(const SpoolJob *job) {
  return job->sync && job->content == NULL;
}

static void sync_directory(OutboxSpool *spool, SpoolJob *const *jobs, unsigned count) {
  if (fsync(spool->options.letters_fd) == 0) return;
  int code = errno;
  for (unsigned i = 0; i < count; i++)
    if (syncs_file(jobs[i]) || jobs[i]->change == SPOOL_REMOVE)
      fail_job(jobs[i], code, "write its directory to the disk");
}

// Where the row could not be removed, on a full disk, the letter is gone all the same.
static void remove_file(OutboxSpool *spool, SpoolJob *job) {
  char name[24];
  outbox_file_name(job->row.id, name);
  int letters_fd = spool->options.letters_fd;
  if (job->error != NULL) {
    if (outbox_file_bury(letters_fd, job->row.id)) g_clear_error(&job->error);
  } else if (unlinkat(letters_fd, name, 0) < 0 && errno != ENOENT) {
    fail_job(job, errno, "remove its file");
  }
}

static void note_inline(OutboxSpool *spool, const SpoolJob *job) {
  if (job->error != NULL && !job->is_taken) return;
  if (job->content != NULL)
    outbox_inline_add(spool->letters, job->row.id, g_bytes_get_size(job->content));
  else if (job->change == SPOOL_REMOVE || (job->change == SPOOL_PUT && job->sync && has_row(job)))
    outbox_inline_remove(spool->letters, job->row.id);
}

static void answer(OutboxSpool *spool, SpoolJob *job) {
  note_inline(spool, job);
  if (job->reply != NULL)
    queue_push(job->reply, job);
  else
    post_send(spool->answers, job);
}

static void tell_step(OutboxSpool *spool) {
  if (spool->options.after_step != NULL) spool->options.after_step(spool->options.step_data);
}

// What its file becomes once its row is stored is part of it.
static bool has_file_to_end(const SpoolJob *job) {
  return job->change == SPOOL_REMOVE || job->take;
}

// Those whose row is all there is to them, first: `jobs` has the others then, that many.
static unsigned answer_plain(OutboxSpool *spool, SpoolJob **jobs, unsigned count) {
  unsigned left = 0;
  for (unsigned i = 0; i < count; i++) {
    if (has_file_to_end(jobs[i]))
      jobs[left++] = jobs[i];
    else
      answer(spool, jobs[i]);
  }
  return left;
}

static void end_files(OutboxSpool *spool, SpoolJob *const *jobs, unsigned count) {
  bool takes = false;
  for (unsigned i = 0; i < count; i++) {
    if (jobs[i]->change == SPOOL_REMOVE) remove_file(spool, jobs[i]);
    takes |= jobs[i]->take;
  }
  if (takes) spool_take_finish(&spool->options, jobs, count);
  if (count > 0) tell_step(spool);
}

static void prepare_all(OutboxSpool *spool, SpoolJob *const *jobs, unsigned count) {
  bool syncs = false;
  for (unsigned i = 0; i < count; i++) {
    prepare(spool, jobs[i]);
    syncs |= syncs_file(jobs[i]);
  }
  if (syncs) sync_directory(spool, jobs, count);
}

static void take_unsynced(SpoolJob *job, gpointer data) {
  OutboxSpool *spool = job->done_data;
  spool->options.unsynced(job->row.id, job->unsynced, data);
}

static void tell_unsynced(uint64_t id, int code, gpointer data) {
  OutboxSpool *spool = data;
  SpoolJob *job = spool_job_new(SPOOL_NO_CHANGE);
  job->row.id = id;
  job->unsynced = code;
  job->done = take_unsynced;
  job->done_data = spool;
  post_send(spool->answers, job);
}

static void settle(OutboxSpool *spool, unsigned most) {
  outbox_inline_settle(spool->letters, most, tell_unsynced, spool);
  tell_step(spool);
}

static void commit_batch(OutboxSpool *spool, SpoolJob **jobs, unsigned count) {
  prepare_all(spool, jobs, count);
  tell_step(spool);
  g_autoptr(GError) error = NULL;
  if (store_rows(spool, jobs, count, &error))
    outbox_reserve_keep(spool->reserve);
  else
    store_each(spool, jobs, count);
  tell_step(spool);
  unsigned left = answer_plain(spool, jobs, count);
  end_files(spool, jobs, left);
  for (unsigned i = 0; i < left; i++)
    answer(spool, jobs[i]);
  if (outbox_inline_is_full(spool->letters)) settle(spool, SETTLE_BESIDE);
}

// 0: the end. Whoever comes while letters settle waits for some of them at most.
static unsigned take_batch(OutboxSpool *spool, SpoolJob **jobs) {
  while (true) {
    int idle_ms = outbox_inline_idle_ms(spool->letters);
    unsigned count = outbox_batch_take(spool->batch, jobs, idle_ms);
    if (count > 0 || idle_ms < 0) return count;
    settle(spool, SETTLE_IDLE);
  }
}

static void *run_spool(void *data) {
  OutboxSpool *spool = data;
  SpoolJob *jobs[OUTBOX_BATCH_MAX];
  unsigned count;
  outbox_reserve_keep(spool->reserve);
  while ((count = take_batch(spool, jobs)) > 0)
    commit_batch(spool, jobs, count);
  return NULL;
}

static void take_answer(gpointer item, gpointer data) {
  OutboxSpool *spool = data;
  g_autoptr(SpoolJob) job = item;
  if (job->done != NULL)
    job->done(job, spool->options.data);
  else if (job->error != NULL)
    g_warning("outbox: %s", job->error->message);
}

OutboxSpool *outbox_spool_new(const OutboxSpoolOptions *options) {
  OutboxSpool *spool = g_new0(OutboxSpool, 1);
  spool->options = *options;
  spool->reserve = outbox_reserve_new(options->reserve_path);
  spool->letters = outbox_inline_new(options->journal, options->letters_fd);
  spool->jobs = queue_new((GDestroyNotify)spool_job_free);
  spool->batch = outbox_batch_new(spool->jobs, PATIENCE_US);
  spool->answers = post_new(options->context, take_answer, spool, (GDestroyNotify)spool_job_free);
  (void)LETTER_ERROR;  // a quark makes itself at its first use: not in two threads at once
  int failed = pthread_create(&spool->thread, NULL, run_spool, spool);
  if (failed != 0) g_error("outbox: cannot start a thread: %s", g_strerror(failed));
  return spool;
}

void outbox_spool_free(OutboxSpool *spool) {
  if (spool == NULL) return;
  queue_close(spool->jobs);
  pthread_join(spool->thread, NULL);
  outbox_batch_free(spool->batch);
  queue_free(spool->jobs);
  post_free(spool->answers);
  outbox_inline_free(spool->letters);
  outbox_journal_free(spool->options.journal);
  outbox_reserve_free(spool->reserve);
  g_free(spool);
}

void outbox_spool_push(OutboxSpool *spool, SpoolJob *job) {
  queue_push(spool->jobs, job);
}
