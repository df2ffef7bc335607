#include "cache/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/mime.h"
#include "cache/outbox_inline.h"
#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

#define RESERVE_NAME "reserve"
// How long it is believed how large a letter the server takes.
#define MAX_SIZE_US (INT64_C(3600) * G_USEC_PER_SEC)

G_DEFINE_QUARK(mailfs_outbox_error, outbox_error)

bool outbox_set_error(GError **error, int code, const char *name, const char *what) {
  g_set_error(error, OUTBOX_ERROR, code, "outbox: %s: %s", name, what);
  return false;
}

static int open_letters(const char *directory, GError **error) {
  g_autofree char *path = g_build_filename(directory, OUTBOX_LETTERS_NAME, NULL);
  int fd = mkdir(path, 0700) < 0 && errno != EEXIST
               ? -1
               : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) outbox_set_error(error, errno, path, g_strerror(errno));
  return fd;
}

static bool open_spool(Outbox *outbox, GError **error) {
  outbox->letters_fd = open_letters(outbox->options.directory, error);
  if (outbox->letters_fd < 0) return false;
  outbox->incoming_fd = drop_directory_open(outbox->options.directory, error);
  if (outbox->incoming_fd < 0) return false;
  g_autofree char *path = g_build_filename(outbox->options.directory, OUTBOX_JOURNAL_NAME, NULL);
  g_autofree char *reserve = g_build_filename(outbox->options.directory, RESERVE_NAME, NULL);
  // A full disk has no room even to read the journal, but for this; the spool sets it aside again.
  unlink(reserve);
  g_autoptr(OutboxJournal) journal = outbox_journal_open(path, error);
  if (journal == NULL || !outbox_inline_restore(journal, outbox->letters_fd, error) ||
      !outbox_recover(outbox, journal, error))
    return false;
  const OutboxSpoolOptions options = {
      .journal = g_steal_pointer(&journal),
      .letters_fd = outbox->letters_fd,
      .incoming_fd = outbox->incoming_fd,
      .reserve_path = reserve,
      .context = outbox->context,
      .data = outbox,
      .unsynced = outbox_take_unsynced,
      .after_step = outbox->options.after_step,
      .step_data = outbox->options.data,
  };
  outbox->spool = outbox_spool_new(&options);
  return true;
}

Outbox *outbox_open(const OutboxOptions *options, GMainContext *context, GError **error) {
  mime_init();
  g_autoptr(Outbox) outbox = g_new0(Outbox, 1);
  outbox->options = *options;
  outbox->from = g_strdup(options->from);
  outbox->server = account_server(options->smtp);
  outbox->context = g_main_context_ref(context);
  outbox->table = outbox_table_new();
  outbox->agenda = outbox_agenda_new(outbox);
  outbox->intake = outbox_intake_new();
  outbox->kept = outbox_kept_new(outbox);
  outbox->under_way = g_ptr_array_new();
  outbox->copyings = g_ptr_array_new_with_free_func(outbox_copying_free);
  outbox->copy_folder = g_strdup(options->copy_folder);
  outbox->options.copy_folder = outbox->copy_folder;
  outbox->drains = g_ptr_array_new();
  outbox->handles = g_hash_table_new_full(NULL, NULL, outbox_handle_free, NULL);
  outbox->letters_fd = outbox->incoming_fd = -1;
  outbox_touch(outbox, OUTBOX_INO);
  outbox_touch(outbox, OUTBOX_FAILED_INO);
  return open_spool(outbox, error) ? g_steal_pointer(&outbox) : NULL;
}

void outbox_start(Outbox *outbox) {
  g_assert(outbox->courier == NULL);
  const CourierOptions options = {
      .account = outbox->options.smtp,
      .open_sender =
          outbox->options.open_sender != NULL ? outbox->options.open_sender : sender_open,
      .spool = outbox->spool,
      .letters_fd = outbox->letters_fd,
      .context = outbox->context,
      .done = outbox_take_result,
      .data = outbox,
  };
  outbox->courier = courier_new(&options);
  outbox_copy_what_is_left(outbox);
  outbox_run_agenda(outbox);
  outbox_start_intake(outbox);
}

// With the courier, all but its label is the courier's to store.
static void store_again(Outbox *outbox, OutboxLetter *letter) {
  letter->unstored = false;
  if (letter->row.phase == OUTBOX_SENDING)
    outbox_store_label(outbox, letter, false);
  else
    outbox_store(outbox, letter, NULL, NULL);
}

// While it is renamed, the row on its way is the one to stay.
static bool is_to_store(const OutboxLetter *letter) {
  return letter->unstored && letter->linked && !letter->moving;
}

static bool store_unstored(OutboxLetter *letter, gpointer outbox) {
  if (is_to_store(letter)) store_again(outbox, letter);
  return true;
}

// The courier hands its last news to the spool, so it goes first.
void outbox_free(Outbox *outbox) {
  if (outbox == NULL) return;
  courier_free(outbox->courier);
  outbox_table_from(outbox->table, 0, store_unstored, outbox);
  outbox_kept_free(outbox->kept);
  outbox_spool_free(outbox->spool);
  outbox_agenda_free(outbox->agenda);
  outbox_intake_free(outbox->intake);
  g_hash_table_unref(outbox->handles);
  outbox_table_free(outbox->table);
  g_ptr_array_unref(outbox->under_way);
  g_ptr_array_unref(outbox->copyings);
  g_free(outbox->copy_folder);
  g_ptr_array_unref(outbox->drains);
  if (outbox->letters_fd >= 0) close(outbox->letters_fd);
  if (outbox->incoming_fd >= 0) close(outbox->incoming_fd);
  g_main_context_unref(outbox->context);
  g_free(outbox->note_name);
  g_free(outbox->server);
  g_free(outbox->from);
  g_free(outbox);
}

void outbox_set_listener(Outbox *outbox, const OutboxListener *listener, gpointer data) {
  outbox->listener = *listener;
  outbox->listener_data = data;
}

static int64_t *changed_of(const Outbox *outbox, uint64_t directory) {
  return (int64_t *)&outbox->changed_ns[directory == OUTBOX_INO ? 0 : 1];
}

void outbox_touch(Outbox *outbox, uint64_t directory) {
  int64_t *changed_ns = changed_of(outbox, directory);
  *changed_ns = MAX(g_get_real_time() * 1000, *changed_ns + 1);
}

int64_t outbox_directory_mtime_ns(const Outbox *outbox, uint64_t directory) {
  return *changed_of(outbox, directory);
}

void outbox_tell_changed(Outbox *outbox, uint64_t directory) {
  outbox_touch(outbox, directory);
  if (outbox->listener.changed != NULL) outbox->listener.changed(directory, outbox->listener_data);
}

void outbox_tell_removed(Outbox *outbox, uint64_t directory, uint64_t ino, const char *name) {
  outbox_touch(outbox, directory);
  if (outbox->listener.removed != NULL)
    outbox->listener.removed(directory, ino, name, outbox->listener_data);
}

static void take_reserved(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  outbox->reserving = false;
  if (job->error == NULL)
    outbox->reserved = job->row.id;
  else
    g_warning("outbox: %s", job->error->message);
}

bool outbox_new_number(Outbox *outbox, uint64_t *number, GError **error) {
  if (!outbox->reserving && outbox->reserved - outbox->next_number < OUTBOX_NUMBERS_BLOCK / 2) {
    SpoolJob *job = spool_job_new(SPOOL_RESERVE);
    job->row.id = outbox->reserved + OUTBOX_NUMBERS_BLOCK;
    job->done = take_reserved;
    outbox->reserving = true;
    outbox_spool_push(outbox->spool, job);
  }
  if (outbox->next_number == outbox->reserved)
    return outbox_set_error(error, ENOSPC, "a new file", "no number is set aside for it");
  *number = outbox->next_number++;
  return true;
}

uint64_t outbox_ino_of_number(uint64_t number) {
  return INODE_OUTBOX_BASE + 2 * number;
}

uint64_t outbox_max_size(const Outbox *outbox) {
  return outbox_now_us(outbox) - outbox->max_size_us < MAX_SIZE_US ? outbox->max_size : 0;
}

SpoolJob *outbox_new_job(const OutboxLetter *letter, SpoolChange change) {
  SpoolJob *job = spool_job_new(change);
  outbox_row_copy(&job->row, &letter->row);
  bool is_rewritten = letter->row.phase == OUTBOX_FAILED && letter->writers > 0;
  if (is_rewritten && job->row.broken == 0) job->row.broken = EOWNERDEAD;
  job->recipients = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  for (unsigned i = 0; i < letter->recipients->len; i++)
    g_ptr_array_add(job->recipients,
                    outbox_recipient_copy(g_ptr_array_index(letter->recipients, i)));
  return job;
}

static bool find_unstored(OutboxLetter *letter, gpointer found) {
  if (is_to_store(letter)) *(OutboxLetter **)found = letter;
  return *(OutboxLetter **)found == NULL;
}

// One at a time: when that has succeeded, the next.
static void store_next_unstored(Outbox *outbox) {
  OutboxLetter *letter = NULL;
  outbox_table_from(outbox->table, 0, find_unstored, &letter);
  outbox->unstored = letter != NULL;
  if (letter != NULL) store_again(outbox, letter);
}

static void note_stored(Outbox *outbox, OutboxLetter *letter, const SpoolJob *job) {
  if (job->error == NULL) {
    if (outbox->unstored) store_next_unstored(outbox);
  } else if (job->change == SPOOL_PUT || job->change == SPOOL_RELABEL) {
    letter->unstored = outbox->unstored = true;
  }
}

static void answer_plainly(SpoolJob *job, gpointer data) {
  const OutboxErrand *errand = job->detail;
  if (job->error != NULL)
    g_warning("outbox: %s", job->error->message);
  else if (job->sync)
    errand->letter->synced = errand->revision;
  outbox_end_errand(data, job, job->error);
}

static void take_answer(SpoolJob *job, gpointer data) {
  const OutboxErrand *errand = job->detail;
  if (job->unsynced != 0) errand->letter->row.broken = job->unsynced;
  note_stored(data, errand->letter, job);
  if (errand->answered != NULL)
    errand->answered(job, data);
  else
    answer_plainly(job, data);
}

// What is stored is what a crash would leave: while the letter is being written, its note is not
// that yet.
static void renew_note(const Outbox *outbox, OutboxLetter *letter, SpoolJob *job) {
  bool is_stored = job->change == SPOOL_PUT && job->row.phase == OUTBOX_FAILED;
  if (!is_stored || letter->note == NULL || job->row.broken == letter->note_broken) return;
  g_free(job->row.error);
  job->row.error = outbox_report_anew(outbox, letter, job->row.broken);
  if (job->row.broken != letter->row.broken) return;
  g_free(letter->row.error);
  letter->row.error = g_strdup(job->row.error);
  outbox_table_set_note(outbox->table, letter, job->row.error);
}

void outbox_push(Outbox *outbox, OutboxLetter *letter, SpoolJob *job, OutboxAnswered answered,
                 OutboxDone done, gpointer data) {
  OutboxErrand *errand = g_new0(OutboxErrand, 1);
  *errand = (OutboxErrand){letter, letter->revision, letter->commit, answered, done, data};
  renew_note(outbox, letter, job);
  letter->pins++;
  job->max_size = outbox_max_size(outbox);
  job->detail = errand;
  job->free_detail = g_free;
  job->done = take_answer;
  outbox_spool_push(outbox->spool, job);
}

void outbox_end_errand(Outbox *outbox, SpoolJob *job, const GError *error) {
  OutboxErrand *errand = job->detail;
  errand->letter->pins--;
  outbox_table_let_go(outbox->table, errand->letter);
  if (errand->done != NULL) errand->done(error, errand->data);
}

GError *outbox_refusal_of(const SpoolJob *job) {
  if (job->refused == NULL) return NULL;
  const char *name = job->row.name;
  // Our own words about a letter may quote it.
  g_debug("outbox: %s: %s", name, job->refused->message);
  g_message("outbox: %s cannot be sent as it is", name);
  return g_error_new(OUTBOX_ERROR, job->refused->code, "outbox: %s: %s", name,
                     job->refused->message);
}

void outbox_store(Outbox *outbox, OutboxLetter *letter, OutboxDone done, gpointer data) {
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->vital = letter->row.phase == OUTBOX_FAILED;
  job->sync = letter->synced != letter->revision;
  outbox_push(outbox, letter, job, NULL, done, data);
}

void outbox_store_label(Outbox *outbox, OutboxLetter *letter, bool relaxed) {
  if (!letter->journaled || !letter->linked) return;
  SpoolJob *job = outbox_new_job(letter, SPOOL_RELABEL);
  job->relaxed = relaxed;
  outbox_push(outbox, letter, job, NULL, NULL, NULL);
}
