// Renaming and removing.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cache/outbox_private.h"
#include "cache/outbox_process.h"
#include "cache/outbox_rules.h"

void outbox_refuse(OutboxDone done, gpointer data, int code, const char *name, const char *what) {
  g_autoptr(GError) error = NULL;
  outbox_set_error(&error, code, name, what);
  if (done != NULL) done(error, data);
}

void outbox_remove_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  SpoolJob *job = spool_job_new(SPOOL_REMOVE);
  job->row.id = letter->row.id;
  // What is known to be accepted would be removed at the next start, too.
  job->relaxed = job->patient = letter->row.phase == OUTBOX_ACCEPTED && letter->is_recorded;
  outbox_push(outbox, letter, job, NULL, done, data);
}

void outbox_unname_letter(Outbox *outbox, OutboxLetter *letter) {
  outbox_agenda_remove(outbox, letter);
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_LEFT);
  letter->commit++;
  outbox_table_unlink(outbox->table, letter);
  outbox_touch(outbox, letter->row.directory);
}

void outbox_unlink_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  g_autofree char *name = g_strdup(letter->row.name);
  uint64_t directory = letter->row.directory;
  outbox_unname_letter(outbox, letter);
  outbox_remove_letter(outbox, letter, done, data);
  if (directory == OUTBOX_INO) outbox_lock_gone(outbox, name);
}

static void unlink_note(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  outbox_table_set_note(outbox->table, letter, NULL);
  outbox_touch(outbox, OUTBOX_FAILED_INO);
  g_clear_pointer(&letter->row.error, g_free);
  if (letter->linked) {
    outbox_store(outbox, letter, done, data);
    return;
  }
  outbox_table_let_go(outbox->table, letter);
  if (done != NULL) done(NULL, data);
}

void outbox_unlink(Outbox *outbox, uint64_t parent, const char *name, pid_t pid, OutboxDone done,
                   gpointer data) {
  OutboxLetter *letter = outbox_table_find(outbox->table, parent, name);
  if (letter == NULL)
    outbox_refuse(done, data, ENOENT, name, "no such letter");
  else if (letter->moving)
    outbox_refuse(done, data, EBUSY, name, "is being renamed");
  else if (outbox_name_is_note(name))
    unlink_note(outbox, letter, done, data);
  else if (!outbox_recall(outbox, letter))
    outbox_refuse(done, data, EBUSY, name, "is being sent");
  else if (parent != OUTBOX_INO ||
           !outbox_keep_removed(outbox, letter, outbox_process_find(pid), done, data))
    outbox_unlink_letter(outbox, letter, done, data);
  outbox_run_agenda(outbox);
}

// What stands where a letter is to be renamed to: a letter goes on, anything else is replaced. So
// is a draft by an editor that saves to a file beside it.
static void clear_place(Outbox *outbox, const OutboxLetter *moved, const char *name) {
  OutboxLetter *letter = outbox_table_find(outbox->table, OUTBOX_INO, name);
  if (letter == NULL) return;
  bool is_draft = letter->row.phase == OUTBOX_DRAFT;
  OutboxProcess process = is_draft ? moved->writer : (OutboxProcess){0};
  if (outbox_stands_alone(letter, process))
    outbox_step_aside(outbox, letter, true, NULL);
  else
    outbox_unlink_letter(outbox, letter, NULL, NULL);
}

static void drop_note(Outbox *outbox, OutboxLetter *letter) {
  if (letter->note == NULL) return;
  g_autofree char *name = g_strconcat(letter->row.name, OUTBOX_ERROR_SUFFIX, NULL);
  outbox_table_set_note(outbox->table, letter, NULL);
  outbox_tell_removed(outbox, OUTBOX_FAILED_INO, letter->row.ino + 1, name);
}

static void take_name(Outbox *outbox, OutboxLetter *letter, const char *new_name) {
  g_autofree char *old_name = g_strdup(letter->row.name);
  uint64_t old_directory = letter->row.directory;
  clear_place(outbox, letter, new_name);
  drop_note(outbox, letter);
  outbox_table_unlink(outbox->table, letter);
  g_free(letter->row.name);
  letter->row.name = g_strdup(new_name);
  letter->row.directory = OUTBOX_INO;
  letter->aside = false;
  outbox_table_link(outbox->table, letter);
  outbox_touch(outbox, old_directory);
  outbox_touch(outbox, OUTBOX_INO);
  if (old_directory == OUTBOX_INO) outbox_lock_gone(outbox, old_name);
}

// A letter that is taken out of the queue, or was never in it, by its new name.
static void set_phase(Outbox *outbox, OutboxLetter *letter, const char *new_name) {
  bool stays = letter->row.phase == OUTBOX_OPEN ||
               (outbox_phase_is_waiting(letter->row.phase) && outbox_name_is_sendable(new_name));
  if (stays) return;
  outbox_agenda_remove(outbox, letter);
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_LEFT);
  letter->commit++;
  letter->row.phase = OUTBOX_DRAFT;
  g_clear_pointer(&letter->row.error, g_free);
}

// Cannot be refused, so it is done at once; the answer waits for the disk.
static void rename_plainly(Outbox *outbox, OutboxLetter *letter, const char *new_name,
                           OutboxDone done, gpointer data) {
  set_phase(outbox, letter, new_name);
  take_name(outbox, letter, new_name);
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->sync = letter->synced != letter->revision;
  outbox_push(outbox, letter, job, NULL, done, data);
}

// What a server refused it may take now; what it has accepted stays settled.
static void forget_refusals(GPtrArray *recipients) {
  for (unsigned i = recipients->len; i-- > 0;) {
    const OutboxRecipient *recipient = g_ptr_array_index(recipients, i);
    if (recipient->verdict != SENDER_ACCEPTED) g_ptr_array_remove_index(recipients, i);
  }
}

void outbox_prepare_queued(const Outbox *outbox, OutboxRow *row) {
  row->phase = OUTBOX_QUEUED;
  row->queued_at = outbox_now_s(outbox);
  row->attempts = 0;
  row->next_try = 0;
  g_clear_pointer(&row->error, g_free);
  outbox_set_defaults(outbox, row);
}

static void queue_letter(Outbox *outbox, OutboxLetter *letter, const char *new_name) {
  take_name(outbox, letter, new_name);
  outbox_prepare_queued(outbox, &letter->row);
  forget_refusals(letter->recipients);
  letter->commit++;
  letter->journaled = true;
  outbox_hurry(outbox);
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox));
  outbox_run_agenda(outbox);
}

static void take_commit(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  const OutboxErrand *errand = job->detail;
  OutboxLetter *letter = errand->letter;
  g_autoptr(GError) refused = outbox_refusal_of(job);
  letter->moving = false;
  if (job->error == NULL && refused == NULL) {
    letter->checked = letter->synced = errand->revision;
    queue_letter(outbox, letter, job->row.name);
  }
  bool changed = letter->row.ctime_ns != job->row.ctime_ns;
  if (changed) outbox_store_label(outbox, letter, true);
  outbox_end_errand(outbox, job, job->error != NULL ? job->error : refused);
}

// From a name that is never sent, or from failed/: the caller sees whether it can be sent.
static void rename_and_commit(Outbox *outbox, OutboxLetter *letter, const char *new_name,
                              OutboxDone done, gpointer data) {
  letter->moving = true;
  outbox_set_defaults(outbox, &letter->row);
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  g_free(job->row.name);
  job->row.name = g_strdup(new_name);
  job->row.directory = OUTBOX_INO;
  outbox_prepare_queued(outbox, &job->row);
  forget_refusals(job->recipients);
  job->check = letter->checked != letter->revision;
  job->sync = letter->synced != letter->revision;
  outbox_push(outbox, letter, job, take_commit, done, data);
}

int outbox_check_place(Outbox *outbox, uint64_t directory, const char *name, unsigned flags) {
  if (directory != OUTBOX_INO) return EPERM;
  if (strlen(name) > OUTBOX_NAME_MAX) return ENAMETOOLONG;
  if (!outbox_name_is_allowed(name) || (flags & ~(unsigned)RENAME_NOREPLACE) != 0) return EINVAL;
  if (strcmp(name, OUTBOX_FAILED_NAME) == 0) return EEXIST;
  const OutboxLetter *there = outbox_table_find(outbox->table, directory, name);
  if (there == NULL) return 0;
  if ((flags & RENAME_NOREPLACE) != 0) return EEXIST;
  return there->moving ? EBUSY : 0;
}

// 0, or the errno that stands against moving the letter.
static int check_letter(const OutboxLetter *letter, const char *name) {
  if (letter == NULL) return ENOENT;
  if (outbox_name_is_note(name)) return EPERM;
  bool edited = letter->row.phase == OUTBOX_FAILED && letter->writers > 0;
  return letter->moving || edited ? EBUSY : 0;
}

void outbox_rename(Outbox *outbox, uint64_t parent, const char *name, uint64_t new_parent,
                   const char *new_name, unsigned flags, OutboxDone done, gpointer data) {
  OutboxLetter *letter = outbox_table_find(outbox->table, parent, name);
  int code = check_letter(letter, name);
  bool same = parent == new_parent && strcmp(name, new_name) == 0 && flags == 0;
  if (code == 0 && !same) code = outbox_check_place(outbox, new_parent, new_name, flags);
  if (code == 0 && !same && !outbox_recall(outbox, letter)) code = EBUSY;
  if (code != 0) {
    outbox_refuse(done, data, code, name, "cannot be renamed so");
    return;
  }
  bool closed = letter->row.phase == OUTBOX_DRAFT || letter->row.phase == OUTBOX_FAILED;
  bool commits = !same && closed && outbox_is_fit_name(outbox, letter, new_name);
  if (same)
    done(NULL, data);
  else if (commits && letter->row.broken != 0)
    outbox_refuse(done, data, letter->row.broken, name, "it is not whole");
  else if (commits)
    rename_and_commit(outbox, letter, new_name, done, data);
  else
    rename_plainly(outbox, letter, new_name, done, data);
  outbox_run_agenda(outbox);
}
