// Copies of what was sent, for the Sent folder; and whether a letter was sent at all, where a
// server that keeps copies by itself can tell.
//
// A letter that was sent to somebody is copied once: `copied` in its row says that it was. Until
// then the letter stays in the journal, without a name if all have got it, and what a crash
// interrupts is taken up again at the next start; it is looked for first then.
#include <fcntl.h>
#include <unistd.h>

#include "cache/copy.h"
#include "cache/outbox_private.h"

// One letter, on its way into its folder.
typedef struct {
  Outbox *outbox;
  OutboxLetter *letter;  // pinned
  GSource *retry;        // NULL: the saver has it
  unsigned attempts;
  bool looks_first;
  char *message_id;  // of what was copied last
} Copying;

void outbox_copying_free(gpointer data) {
  Copying *copying = data;
  if (copying->retry != NULL) {
    g_source_destroy(copying->retry);
    g_source_unref(copying->retry);
  }
  g_free(copying->message_id);
  g_free(copying);
}

static bool was_sent(const OutboxLetter *letter) {
  for (unsigned i = 0; i < letter->recipients->len; i++) {
    const OutboxRecipient *recipient = g_ptr_array_index(letter->recipients, i);
    if (recipient->verdict == SENDER_ACCEPTED) return true;
  }
  return false;
}

static Copy *new_copy(Outbox *outbox, const OutboxLetter *letter) {
  const OutboxRow *row = &letter->row;
  int fd = outbox_file_open(outbox->letters_fd, row->id, O_RDONLY);
  if (fd < 0) return NULL;
  const LetterDefaults defaults = {.from = row->from,
                                   .message_id = row->message_id,
                                   .date = row->date,
                                   .envelope_from = row->envelope.from,
                                   .recipients = (const char *const *)row->envelope.recipients};
  Copy *copy = copy_new(outbox->options.copy_folder, fd, &defaults);
  copy->sent_at = outbox_now_s(outbox);
  close(fd);
  return copy;
}

// The rest of its row may be the courier's by now, or a rename's.
static void store_copy(Outbox *outbox, OutboxLetter *letter) {
  SpoolJob *job = spool_job_new(SPOOL_COPY);
  job->row.id = letter->row.id;
  job->row.copied = letter->row.copied;
  job->row.accepted_at = letter->row.accepted_at;
  outbox_push(outbox, letter, job, NULL, NULL, NULL);
}

// `is_kept`: there is nothing left to do for it.
static void end(Copying *copying, bool is_kept) {
  Outbox *outbox = copying->outbox;
  OutboxLetter *letter = copying->letter;
  letter->pins--;
  letter->copying = false;
  letter->row.copied |= is_kept;
  g_ptr_array_remove_fast(outbox->copyings, copying);
  if (letter->row.phase == OUTBOX_ACCEPTED)
    outbox_remove_letter(outbox, letter, NULL, NULL);
  else if (letter->linked && is_kept)
    store_copy(outbox, letter);
  else
    outbox_table_let_go(outbox->table, letter);
}

static void ask(Copying *copying);

static gboolean ask_again(gpointer data) {
  Copying *copying = data;
  g_clear_pointer(&copying->retry, g_source_unref);
  ask(copying);
  return G_SOURCE_REMOVE;
}

// As long as a letter is tried to be sent, its copy is tried to be kept; it begins when somebody
// has got it, or when that is first known.
static bool is_too_late(Outbox *outbox, OutboxLetter *letter) {
  int64_t now = outbox_now_s(outbox);
  if (letter->row.accepted_at == 0) letter->row.accepted_at = now;
  return now - letter->row.accepted_at >= (int64_t)outbox->options.send_lifetime_s;
}

static void take_failure(Copying *copying, const Copy *copy, const GError *error) {
  Outbox *outbox = copying->outbox;
  const char *name = copying->letter->row.name;
  copying->looks_first |= copy->uncertain;
  if (is_too_late(outbox, copying->letter)) {
    g_message("outbox: %s was sent, but no copy could be kept: %s", name, error->message);
    end(copying, false);
    return;
  }
  if (copying->attempts++ == 0)
    g_info("outbox: %s was sent, a copy is to be kept later: %s", name, error->message);
  if (copying->attempts == 1) store_copy(outbox, copying->letter);
  outbox_record_accepted(outbox, copying->letter);
  int64_t wait_ms = outbox_retry_delay_us(outbox, copying->attempts) / 1000;
  copying->retry = g_timeout_source_new((guint)MIN(wait_ms, G_MAXINT));
  g_source_set_callback(copying->retry, ask_again, copying, NULL);
  g_source_attach(copying->retry, outbox->context);
}

static void take_answer(const Copy *copy, const GError *error, gpointer data) {
  Copying *copying = data;
  const char *message_id = copying->letter->row.message_id;
  bool is_written_anew = g_strcmp0(copying->message_id, message_id) != 0;
  if (error == NULL && is_written_anew)
    ask(copying);
  else if (error == NULL)
    end(copying, true);
  else
    take_failure(copying, copy, error);
}

// A letter whose file is gone was removed by its sender meanwhile; one written anew may be another
// that nobody has got.
static void ask(Copying *copying) {
  const OutboxOptions *options = &copying->outbox->options;
  const OutboxLetter *letter = copying->letter;
  Copy *copy = was_sent(letter) ? new_copy(copying->outbox, letter) : NULL;
  if (copy == NULL) {
    end(copying, false);
    return;
  }
  copy->looks_first = copying->looks_first;
  g_free(copying->message_id);
  copying->message_id = g_strdup(letter->row.message_id);
  options->save_copy(copy, take_answer, copying, options->saver);
}

bool outbox_wants_copy(const Outbox *outbox, const OutboxLetter *letter) {
  return outbox->options.save_copy != NULL && !letter->row.copied && was_sent(letter);
}

void outbox_copy(Outbox *outbox, OutboxLetter *letter) {
  if (!outbox_wants_copy(outbox, letter) || letter->copying) return;
  Copying *copying = g_new0(Copying, 1);
  copying->outbox = outbox;
  copying->letter = letter;
  copying->looks_first = letter->perhaps_copied;
  letter->copying = true;
  letter->pins++;
  g_ptr_array_add(outbox->copyings, copying);
  ask(copying);
}

static bool copy_again(OutboxLetter *letter, gpointer letters) {
  letter->perhaps_copied = !letter->row.copied && was_sent(letter);
  bool is_at_rest = letter->row.phase == OUTBOX_ACCEPTED || letter->row.phase == OUTBOX_FAILED;
  if (is_at_rest) g_ptr_array_add(letters, letter);
  return true;
}

void outbox_copy_what_is_left(Outbox *outbox) {
  g_autoptr(GPtrArray) letters = g_ptr_array_new();
  outbox_table_from(outbox->table, 0, copy_again, letters);
  for (unsigned i = 0; i < letters->len; i++)
    outbox_copy(outbox, g_ptr_array_index(letters, i));
}

// ---- Was it sent?

typedef struct {
  Outbox *outbox;
  uint64_t id;
} Look;

static void take_look(const Copy *copy, const GError *error, gpointer data) {
  g_autofree Look *look = data;
  outbox_take_look(look->outbox, look->id, error == NULL && copy->outcome == COPY_FOUND);
}

bool outbox_look_first(Outbox *outbox, OutboxLetter *letter) {
  const OutboxOptions *options = &outbox->options;
  bool can_tell = options->save_copy != NULL && options->copy_folder == NULL;
  if (!letter->row.perhaps_sent || letter->has_looked || !can_tell) return false;
  Copy *copy = new_copy(outbox, letter);
  if (copy == NULL) return false;
  Look *look = g_new0(Look, 1);
  *look = (Look){outbox, letter->row.id};
  letter->has_looked = true;
  copy->only_looks = true;
  options->save_copy(copy, take_look, look, options->saver);
  return true;
}
