// What makes a letter durable, and the end of its being written: flush, fsync, release.
#include <errno.h>

#include "cache/outbox_private.h"
#include "cache/outbox_process.h"
#include "cache/outbox_rules.h"

static void answer(OutboxDone done, gpointer data) {
  if (done != NULL) done(NULL, data);
}

// A letter refused here is on disk all the same, so that nothing is lost whatever its writer does.
static void take_flush(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  const OutboxErrand *errand = job->detail;
  OutboxLetter *letter = errand->letter;
  g_autoptr(GError) refused = outbox_refusal_of(job);
  if (job->error == NULL) letter->synced = errand->revision;
  if (job->error == NULL && refused == NULL && job->check) letter->checked = errand->revision;
  outbox_end_errand(outbox, job, job->error != NULL ? job->error : refused);
}

static void save(OutboxHandle *handle, bool check, OutboxDone done, gpointer data) {
  Outbox *outbox = handle->outbox;
  OutboxLetter *letter = handle->letter;
  if (letter->row.broken != 0) {
    g_autoptr(GError) error = NULL;
    outbox_set_error(&error, letter->row.broken, letter->row.name, "it is not whole");
    done(error, data);
    return;
  }
  bool synced = letter->journaled && letter->synced == letter->revision;
  if (!letter->linked || letter->size == 0 || (synced && !check)) {
    answer(done, data);
    return;
  }
  outbox_set_defaults(outbox, &letter->row);
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->check = check;
  job->sync = !synced;
  job->put_refused = true;
  outbox_push(outbox, letter, job, take_flush, done, data);
}

// Another process than the opener's (a child that inherited it) says nothing of the letter's end.
static bool is_to_be_checked(const OutboxHandle *handle, bool by_opener) {
  const OutboxLetter *letter = handle->letter;
  return by_opener && letter->row.phase == OUTBOX_OPEN && letter->checked != letter->revision &&
         outbox_name_is_sendable(letter->row.name);
}

void outbox_flush(OutboxHandle *handle, pid_t pid, OutboxDone done, gpointer data) {
  if (!handle->writes) {
    answer(done, data);
    return;
  }
  pid_t closer = outbox_process_of_closing(pid, &handle->killed);
  bool by_opener = handle->process.id != 0 && closer == handle->process.id;
  // A shell closes last what the program it ran for it wrote.
  if (handle->killed && closer == outbox_process_of(handle->writer)) handle->is_half = true;
  handle->killed |= handle->is_half;
  handle->flushed = by_opener ? handle->letter->revision : 0;
  save(handle, !handle->killed && is_to_be_checked(handle, by_opener), done, data);
}

void outbox_fsync(OutboxHandle *handle, OutboxDone done, gpointer data) {
  if (handle->writes)
    save(handle, false, done, data);
  else
    answer(done, data);
}

// Whoever still has it open may write on: a letter that grew since, or whose opener lives, may be
// half of what is meant.
static bool is_closed(const OutboxHandle *handle) {
  return handle->writes && handle->flushed != 0 && handle->flushed == handle->letter->revision &&
         outbox_process_of(handle->process.id) == 0;
}

OutboxHandle *outbox_find_closed(Outbox *outbox) {
  GHashTableIter iter;
  gpointer handle;
  g_hash_table_iter_init(&iter, outbox->handles);
  while (g_hash_table_iter_next(&iter, &handle, NULL))
    if (is_closed(handle)) return handle;
  return NULL;
}

// What is half written stays so, whoever closes it last, and whatever it is called then.
static void note_killed(const OutboxHandle *handle) {
  OutboxLetter *letter = handle->letter;
  bool is_half = handle->killed && letter->size > 0;
  if (is_half && letter->row.broken == 0) letter->row.broken = ECANCELED;
}

void outbox_release(OutboxHandle *handle, OutboxDone done, gpointer data) {
  Outbox *outbox = handle->outbox;
  OutboxLetter *letter = handle->letter;
  bool wrote = handle->writes;
  if (letter != NULL && wrote) note_killed(handle);
  g_hash_table_remove(outbox->handles, handle);
  if (letter != NULL) {
    letter->handles--;
    outbox_close_idle(letter);
  }
  if (letter != NULL && wrote && --letter->writers == 0 && letter->linked) {
    outbox_close_letter(outbox, letter, done, data);
    return;
  }
  if (letter != NULL) outbox_table_let_go(outbox->table, letter);
  answer(done, data);
}
