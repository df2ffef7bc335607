#include "cache/outbox_spool_take.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/outbox.h"
#include "cache/outbox_letters.h"

// Taken in one round.
#define DROPS_MAX 64

static void fail(SpoolJob *job, int code, const char *doing) {
  if (job->error == NULL)
    g_set_error(&job->error, OUTBOX_ERROR, code, "%s/%s: cannot %s: %s", DROP_DIRECTORY,
                job->row.origin, doing, g_strerror(code));
}

void spool_take_list(const OutboxSpoolOptions *options, SpoolJob *job) {
  g_autoptr(GPtrArray) ids =
      drop_list(options->incoming_fd, job->row.origin, DROPS_MAX, &job->error);
  job->drops = g_ptr_array_new_with_free_func((GDestroyNotify)drop_free);
  for (unsigned i = 0; ids != NULL && i < ids->len; i++)
    g_ptr_array_add(job->drops, drop_read(options->incoming_fd, ids->pdata[i]));
}

static bool has_letter(int incoming_fd, const char *name) {
  struct stat status;
  return fstatat(incoming_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

bool spool_take_link(const OutboxSpoolOptions *options, SpoolJob *job) {
  char to[24];
  outbox_file_name(job->row.id, to);
  g_autofree char *letter = drop_file_name(job->row.origin, DROP_LETTER);
  g_autofree char *envelope = drop_file_name(job->row.origin, DROP_ENVELOPE);
  bool whole = has_letter(options->incoming_fd, letter);
  if (!whole && job->refused == NULL) {
    g_set_error(&job->refused, OUTBOX_ERROR, EINVAL, "it came without its text");
    job->row.phase = OUTBOX_DRAFT;
    job->check = false;
  }
  const char *from = whole ? letter : envelope;
  if (linkat(options->incoming_fd, from, options->letters_fd, to, 0) < 0)
    fail(job, errno, "put it beside the other letters");
  return job->error == NULL;
}

static void tell_step(const OutboxSpoolOptions *options) {
  if (options->after_step != NULL) options->after_step(options->step_data);
}

// The envelope last: as long as it is there, the row tells that it was taken.
static void unlink_drop(const OutboxSpoolOptions *options, SpoolJob *job) {
  g_autofree char *letter = drop_file_name(job->row.origin, DROP_LETTER);
  g_autofree char *envelope = drop_file_name(job->row.origin, DROP_ENVELOPE);
  unlinkat(options->incoming_fd, letter, 0);
  tell_step(options);
  if (unlinkat(options->incoming_fd, envelope, 0) < 0 && errno != ENOENT)
    fail(job, errno, "remove it there");
}

// One that was not taken is tried again as a whole.
static void unlink_copy(const OutboxSpoolOptions *options, const SpoolJob *job) {
  char name[24];
  outbox_file_name(job->row.id, name);
  unlinkat(options->letters_fd, name, 0);
}

void spool_take_finish(const OutboxSpoolOptions *options, SpoolJob *const *jobs, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    if (!jobs[i]->take) continue;
    jobs[i]->is_taken = jobs[i]->error == NULL;
    if (jobs[i]->is_taken)
      unlink_drop(options, jobs[i]);
    else
      unlink_copy(options, jobs[i]);
  }
  tell_step(options);
  int code = fsync(options->incoming_fd) < 0 ? errno : 0;
  for (unsigned i = 0; code != 0 && i < count; i++)
    if (jobs[i]->take && jobs[i]->is_taken) fail(jobs[i], code, "remove it there");
}
