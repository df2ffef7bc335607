// From being written to being held or failed.
#include <errno.h>
#include <string.h>

#include "cache/letter.h"
#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

bool outbox_stands_alone(const OutboxLetter *letter, OutboxProcess process) {
  bool same_writer = outbox_process_is(letter->writer, process);
  switch (letter->row.phase) {
    case OUTBOX_OPEN:
      return !same_writer && outbox_name_is_sendable(letter->row.name);
    case OUTBOX_DRAFT:
      return !same_writer && letter->size > 0 && outbox_name_is_sendable(letter->row.name);
    case OUTBOX_HELD:
      return !same_writer;
    case OUTBOX_QUEUED:
    case OUTBOX_SENDING:
    case OUTBOX_SENT_DATA:
      return true;
    case OUTBOX_ACCEPTED:
    case OUTBOX_FAILED:
    case OUTBOX_KEPT:
      return false;
  }
  return false;
}

static void take_next_name(Outbox *outbox, OutboxLetter *letter) {
  char *name = outbox_table_free_name(outbox->table, letter->row.directory, letter->row.name, 1);
  outbox_table_unlink(outbox->table, letter);
  g_free(letter->row.name);
  letter->row.name = name;
  letter->aside = true;
  outbox_table_link(outbox->table, letter);
  outbox_store_label(outbox, letter, false);
  outbox_tell_changed(outbox, letter->row.directory);
}

bool outbox_step_aside(Outbox *outbox, OutboxLetter *letter, bool keep_ino, GError **error) {
  uint64_t number = 0;
  if (!keep_ino && !outbox_new_number(outbox, &number, error)) return false;
  if (!keep_ino) outbox_table_renumber(outbox->table, letter, outbox_ino_of_number(number));
  if (letter->row.phase == OUTBOX_DRAFT)
    outbox_fail(outbox, letter, false,
                "another program took its name while an editor was at work on it", NULL, NULL,
                NULL);
  else
    take_next_name(outbox, letter);
  return true;
}

// A Message-ID stays the letter's through all tries, also when it was written on in between.
void outbox_set_defaults(const Outbox *outbox, OutboxRow *row) {
  if (row->from == NULL) row->from = g_strdup(outbox->from);
  if (row->message_id == NULL) row->message_id = letter_make_message_id(row->from);
  if (row->date == 0) row->date = outbox_now_s(outbox);
}

bool outbox_is_locked(const Outbox *outbox, const char *name) {
  g_autofree char *lock = outbox_lock_name(name, 0);
  for (unsigned i = 1; lock != NULL; i++) {
    if (outbox_table_find(outbox->table, OUTBOX_INO, lock) != NULL) return true;
    g_free(lock);
    lock = outbox_lock_name(name, i);
  }
  return false;
}

bool outbox_is_fit_name(const Outbox *outbox, const OutboxLetter *letter, const char *name) {
  return letter->size > 0 && outbox_name_is_sendable(name) && !outbox_is_locked(outbox, name);
}

void outbox_place_failed(Outbox *outbox, OutboxLetter *letter, const char *note) {
  char *name = outbox_table_free_name(outbox->table, OUTBOX_FAILED_INO, letter->row.name, 0);
  if (letter->linked) outbox_table_unlink(outbox->table, letter);
  g_free(letter->row.name);
  letter->row.name = name;
  letter->row.directory = OUTBOX_FAILED_INO;
  letter->row.phase = OUTBOX_FAILED;
  g_free(letter->row.error);
  letter->row.error = g_strdup(note);
  outbox_table_link(outbox->table, letter);
  outbox_table_set_note(outbox->table, letter, note);
}

void outbox_fail(Outbox *outbox, OutboxLetter *letter, bool by_server, const char *reason,
                 const GPtrArray *outcomes, OutboxDone done, gpointer data) {
  g_autofree char *name = g_strdup(letter->row.name);
  g_autofree char *note = outbox_report(outbox, letter, by_server, reason, outcomes);
  outbox_agenda_remove(outbox, letter);
  letter->commit++;
  outbox_place_failed(outbox, letter, note);
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_FAILED);
  outbox_store(outbox, letter, done, data);
  const char *end = letter->row.perhaps_sent ? "perhaps not sent" : "not sent";
  // Our own words about a letter may quote it; the server's are the user's only hint.
  if (by_server)
    g_message("outbox: %s was %s: %s", name, end, reason);
  else
    g_message("outbox: %s was %s: see %s/%s%s", name, end, OUTBOX_FAILED_NAME, letter->row.name,
              OUTBOX_ERROR_SUFFIX);
  outbox_tell_removed(outbox, OUTBOX_INO, letter->row.ino, name);
  outbox_tell_changed(outbox, OUTBOX_INO);
  outbox_tell_changed(outbox, OUTBOX_FAILED_INO);
  // Some may have got it.
  outbox_copy(outbox, letter);
}

static void hold(Outbox *outbox, OutboxLetter *letter) {
  bool now = outbox_is_drained(outbox, letter);
  int64_t delay_us = now ? 0 : (int64_t)outbox->options.send_delay_ms * 1000;
  outbox_agenda_add(outbox, letter, outbox_now_us(outbox) + delay_us);
  outbox_run_agenda(outbox);
}

// The disk has it, or the letter is unfit. If it was touched again meanwhile, that decides.
static void take_commit(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  const OutboxErrand *errand = job->detail;
  OutboxLetter *letter = errand->letter;
  bool current = letter->linked && letter->commit == errand->commit;
  if (job->error == NULL && job->refused == NULL)
    letter->checked = letter->synced = errand->revision;
  if (current && job->error != NULL)
    outbox_fail(outbox, letter, false, job->error->message, NULL, NULL, NULL);
  else if (current && job->refused != NULL)
    outbox_fail(outbox, letter, false, job->refused->message, NULL, NULL, NULL);
  else if (current)
    hold(outbox, letter);
  outbox_end_errand(outbox, job, job->error);
}

static void commit(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  letter->row.phase = OUTBOX_HELD;
  letter->row.queued_at = outbox_now_s(outbox);
  letter->row.date = letter->row.queued_at;
  letter->row.attempts = 0;
  outbox_set_defaults(outbox, &letter->row);
  letter->commit++;
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->check = letter->checked != letter->revision;
  job->sync = letter->synced != letter->revision;
  // A close does not wait for the release behind it.
  job->patient = !job->check && !job->sync;
  outbox_push(outbox, letter, job, take_commit, done, data);
}

static void keep(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  if (letter->row.phase != OUTBOX_FAILED) letter->row.phase = OUTBOX_DRAFT;
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->sync = true;
  outbox_push(outbox, letter, job, NULL, done, data);
}

// Its name went to another before it had any bytes: nobody's file.
static void drop(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  g_autofree char *name = g_strdup(letter->row.name);
  outbox_unlink_letter(outbox, letter, done, data);
  outbox_tell_removed(outbox, OUTBOX_INO, letter->row.ino, name);
}

static char *broken_reason(int broken) {
  if (broken == ECANCELED)
    return g_strdup("the program that wrote it was killed before it had finished");
  if (broken == EOWNERDEAD) return g_strdup(OUTBOX_UNFINISHED);
  return g_strdup_printf("it is not whole, a part could not be written: %s", g_strerror(broken));
}

static void fail_broken(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  g_autofree char *reason = broken_reason(letter->row.broken);
  outbox_fail(outbox, letter, false, reason, NULL, done, data);
}

typedef struct {
  uint64_t id;
  OutboxLetter *letter;
} Search;

static bool look_at(OutboxLetter *letter, gpointer data) {
  Search *search = data;
  if (letter->row.id == search->id) search->letter = letter;
  return search->letter == NULL;
}

static OutboxLetter *find_by_id(const Outbox *outbox, uint64_t id) {
  Search search = {.id = id};
  outbox_table_from(outbox->table, 0, look_at, &search);
  return search.letter;
}

bool outbox_fail_if_broken(Outbox *outbox, OutboxLetter *letter) {
  if (letter->row.broken == 0) return false;
  fail_broken(outbox, letter, NULL, NULL);
  return true;
}

void outbox_take_unsynced(uint64_t id, int code, gpointer data) {
  Outbox *outbox = data;
  OutboxLetter *letter = find_by_id(outbox, id);
  // What was written since is made durable anew.
  if (letter == NULL || letter->synced != letter->revision) return;
  if (letter->row.broken == 0) letter->row.broken = code;
  if (!letter->linked || letter->moving) return;
  if (letter->row.phase == OUTBOX_HELD || letter->row.phase == OUTBOX_QUEUED)
    fail_broken(outbox, letter, NULL, NULL);
  else if (letter->row.phase != OUTBOX_SENDING)
    outbox_store(outbox, letter, NULL, NULL);
}

void outbox_close_letter(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  if (letter->aside && letter->size == 0)
    drop(outbox, letter, done, data);
  else if (letter->row.phase == OUTBOX_FAILED ||
           !outbox_is_fit_name(outbox, letter, letter->row.name))
    keep(outbox, letter, done, data);
  else if (letter->row.broken != 0)
    fail_broken(outbox, letter, done, data);
  else
    commit(outbox, letter, done, data);
}

void outbox_reopen_letter(Outbox *outbox, OutboxLetter *letter) {
  outbox_agenda_remove(outbox, letter);
  letter->commit++;
  letter->row.phase = OUTBOX_OPEN;
  outbox_tell_drains(outbox, letter, OUTBOX_FATE_LEFT);
}

void outbox_lock_gone(Outbox *outbox, const char *name) {
  g_autofree char *target = outbox_lock_target(name);
  OutboxLetter *letter =
      target != NULL ? outbox_table_find(outbox->table, OUTBOX_INO, target) : NULL;
  if (letter != NULL && letter->row.phase == OUTBOX_DRAFT && letter->writers == 0 &&
      !letter->moving && outbox_is_fit_name(outbox, letter, target))
    outbox_close_letter(outbox, letter, NULL, NULL);
}
