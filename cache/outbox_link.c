// Hard links. Programs that want no half-written file to be seen, and none overwritten, write under
// a name of their own, link that to the right one and remove theirs; some compare both with stat in
// between.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cache/outbox_private.h"

// A letter on its way would go twice; one of failed/ is retried by rename. Programs that link fall
// back to rename on EPERM.
static int check_source(const OutboxLetter *letter) {
  switch (letter->row.phase) {
    case OUTBOX_OPEN:
      return EBUSY;
    case OUTBOX_DRAFT:
      return letter->moving ? EBUSY : 0;
    case OUTBOX_HELD:
    case OUTBOX_QUEUED:
    case OUTBOX_SENDING:
    case OUTBOX_SENT_DATA:
    case OUTBOX_ACCEPTED:
    case OUTBOX_FAILED:
    case OUTBOX_KEPT:
      return EPERM;
  }
  return EPERM;
}

// Beside the draft, with its name taken already: nobody may touch either until the copy is on disk.
static OutboxLetter *make_twin(Outbox *outbox, OutboxLetter *draft, const char *name,
                               GError **error) {
  uint64_t number;
  if (!outbox_new_number(outbox, &number, error)) return NULL;
  OutboxRow row;
  outbox_row_copy(&row, &draft->row);
  row.id = number;
  row.ino = outbox_ino_of_number(number);
  g_free(row.name);
  row.name = g_strdup(name);
  g_clear_pointer(&row.message_id, g_free);
  g_clear_pointer(&row.origin, g_free);
  row.date = 0;
  row.ctime_ns = draft->row.ctime_ns = MAX(g_get_real_time() * 1000, draft->row.ctime_ns + 1);
  OutboxLetter *twin = outbox_table_add(outbox->table, &row);
  twin->size = draft->size;
  twin->revision = 1;
  twin->writer = draft->writer;
  if (draft->twin == 0) draft->twin = draft->row.ino;
  twin->twin = draft->twin;
  twin->moving = draft->moving = true;
  draft->pins++;
  outbox_table_link(outbox->table, twin);
  outbox_touch(outbox, OUTBOX_INO);
  return twin;
}

static void queue_twin(Outbox *outbox, OutboxLetter *twin) {
  outbox_prepare_queued(outbox, &twin->row);
  twin->commit++;
  twin->checked = twin->revision;
  outbox_hurry(outbox);
  outbox_agenda_add(outbox, twin, outbox_now_us(outbox));
  outbox_run_agenda(outbox);
}

static void free_draft(Outbox *outbox, OutboxLetter *draft) {
  draft->moving = false;
  draft->pins--;
  outbox_store_label(outbox, draft, true);
}

static void take_link(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  const OutboxErrand *errand = job->detail;
  OutboxLetter *twin = errand->letter;
  g_autoptr(GError) refused = outbox_refusal_of(job);
  free_draft(outbox, job->done_data);
  twin->moving = false;
  if (job->error != NULL || refused != NULL) {
    twin->unstored = false;
    outbox_unlink_letter(outbox, twin, NULL, NULL);
  } else {
    twin->journaled = true;
    twin->synced = twin->revision;
    bool changed = twin->row.ctime_ns != job->row.ctime_ns;
    if (job->row.phase == OUTBOX_QUEUED) queue_twin(outbox, twin);
    if (changed) outbox_store_label(outbox, twin, true);
  }
  outbox_end_errand(outbox, job, job->error != NULL ? job->error : refused);
}

static void link_draft(Outbox *outbox, OutboxLetter *draft, const char *name, bool commits,
                       OutboxDone done, gpointer data) {
  g_autoptr(GError) error = NULL;
  int fd = outbox_file_open(outbox->letters_fd, draft->row.id, O_RDONLY);
  OutboxLetter *twin = fd >= 0 ? make_twin(outbox, draft, name, &error) : NULL;
  if (twin == NULL) {
    if (fd < 0) outbox_set_error(&error, errno, name, g_strerror(errno));
    if (fd >= 0) close(fd);
    done(error, data);
    return;
  }
  if (commits) outbox_set_defaults(outbox, &twin->row);
  SpoolJob *job = outbox_new_job(twin, SPOOL_PUT);
  job->copied_fd = fd;
  job->done_data = draft;
  if (commits) outbox_prepare_queued(outbox, &job->row);
  job->check = commits;
  job->sync = true;
  outbox_push(outbox, twin, job, take_link, done, data);
}

void outbox_link(Outbox *outbox, uint64_t ino, uint64_t new_parent, const char *new_name,
                 OutboxDone done, gpointer data) {
  g_autoptr(GError) error = NULL;
  OutboxLetter *letter = outbox_get_letter(outbox, ino, &error);
  if (letter == NULL) {
    done(error, data);
    return;
  }
  int code = letter->linked ? check_source(letter) : ENOENT;
  if (code == 0) code = outbox_check_place(outbox, new_parent, new_name, RENAME_NOREPLACE);
  bool commits = code == 0 && outbox_is_fit_name(outbox, letter, new_name);
  if (commits) code = letter->row.broken;
  if (code != 0)
    outbox_refuse(done, data, code, letter->row.name, "cannot be linked so");
  else
    link_draft(outbox, letter, new_name, commits, done, data);
}
