// mv from another file system, install and others remove what has the name that they want, and then
// create it. That takes the name as O_TRUNC and rename do, so the letter goes on, as NAME+1. It is
// known only afterwards, when they create theirs or find that another was faster: a letter of
// another program that is removed loses its name at once, as rm wants it, but is kept for a moment,
// also in the journal: where the program ends in between it is not known what was meant, and the
// next start finds it, see outbox_recover.c. One that is still written stays open, and is in the
// journal as that if it is there at all.
#include <string.h>

#include "cache/outbox_private.h"
#include "cache/outbox_rules.h"

// How long after it was told that the file is gone a program may create its own.
#define KEPT_US G_USEC_PER_SEC
#define KEPT_MAX 16

typedef struct {
  OutboxProcess process;  // that removed it
  OutboxLetter *letter;   // pinned
  OutboxPhase phase;      // that it had
  int64_t due_us;         // likewise
  int64_t until_us;       // 0: the removal is not on disk yet
} Kept;

struct OutboxKept {
  Outbox *outbox;
  GQueue letters;  // of Kept *, the oldest first
  GSource *clock;
};

static void forget_oldest(OutboxKept *letters) {
  g_autofree Kept *kept = g_queue_pop_head(&letters->letters);
  kept->letter->pins--;
  outbox_remove_letter(letters->outbox, kept->letter, NULL, NULL);
}

void outbox_forget_kept(Outbox *outbox) {
  OutboxKept *letters = outbox->kept;
  int64_t now_us = outbox_now_us(outbox);
  const Kept *oldest;
  while ((oldest = g_queue_peek_head(&letters->letters)) != NULL && oldest->until_us != 0 &&
         oldest->until_us <= now_us)
    forget_oldest(letters);
  bool runs = oldest != NULL && oldest->until_us != 0 && outbox->options.now_us == NULL;
  g_source_set_ready_time(letters->clock, runs ? oldest->until_us : -1);
}

static gboolean dispatch_clock(GSource *source, GSourceFunc unused, gpointer unused_data) {
  outbox_forget_kept((*(OutboxKept **)(source + 1))->outbox);
  return G_SOURCE_CONTINUE;
}

OutboxKept *outbox_kept_new(Outbox *outbox) {
  static GSourceFuncs functions = {.dispatch = dispatch_clock};
  OutboxKept *letters = g_new0(OutboxKept, 1);
  letters->outbox = outbox;
  g_queue_init(&letters->letters);
  letters->clock = g_source_new(&functions, sizeof(GSource) + sizeof(OutboxKept *));
  *(OutboxKept **)(letters->clock + 1) = letters;
  g_source_attach(letters->clock, outbox->context);
  return letters;
}

void outbox_kept_free(OutboxKept *letters) {
  if (letters == NULL) return;
  while (!g_queue_is_empty(&letters->letters))
    forget_oldest(letters);
  g_source_destroy(letters->clock);
  g_source_unref(letters->clock);
  g_free(letters);
}

static GList *find_letter(const OutboxKept *letters, const OutboxLetter *letter) {
  for (GList *at = letters->letters.head; at != NULL; at = at->next)
    if (((const Kept *)at->data)->letter == letter) return at;
  return NULL;
}

// It cannot be kept, so it is just removed, which needs no room on the disk.
static void remove_instead(Outbox *outbox, GList *found, OutboxErrand *errand) {
  g_autofree Kept *kept = found->data;
  g_queue_delete_link(&outbox->kept->letters, found);
  kept->letter->pins--;
  outbox_remove_letter(outbox, kept->letter, errand->done, errand->data);
  errand->done = NULL;
}

// The program is told now; it may have gone on in another of its threads.
static void take_kept(SpoolJob *job, gpointer data) {
  Outbox *outbox = data;
  OutboxErrand *errand = job->detail;
  GList *found = find_letter(outbox->kept, errand->letter);
  if (found != NULL && job->error != NULL) {
    errand->letter->unstored = false;
    remove_instead(outbox, found, errand);
  } else if (found != NULL) {
    ((Kept *)found->data)->until_us = outbox_now_us(outbox) + KEPT_US;
    outbox_forget_kept(outbox);
  }
  outbox_end_errand(outbox, job, NULL);
}

static Kept *keep(Outbox *outbox, OutboxLetter *letter, OutboxProcess process) {
  Kept *kept = g_new0(Kept, 1);
  *kept = (Kept){process, letter, letter->row.phase, letter->due_us, 0};
  letter->pins++;
  outbox_unname_letter(outbox, letter);
  if (g_queue_get_length(&outbox->kept->letters) == KEPT_MAX) forget_oldest(outbox->kept);
  g_queue_push_tail(&outbox->kept->letters, kept);
  return kept;
}

static void keep_open(Outbox *outbox, OutboxLetter *letter, OutboxProcess process, OutboxDone done,
                      gpointer data) {
  Kept *kept = keep(outbox, letter, process);
  kept->until_us = outbox_now_us(outbox) + KEPT_US;
  outbox_forget_kept(outbox);
  if (done != NULL) done(NULL, data);
}

static void keep_waiting(Outbox *outbox, OutboxLetter *letter, OutboxProcess process,
                         OutboxDone done, gpointer data) {
  keep(outbox, letter, process);
  letter->row.phase = OUTBOX_KEPT;
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->sync = letter->synced != letter->revision;
  outbox_push(outbox, letter, job, take_kept, done, data);
}

bool outbox_keep_removed(Outbox *outbox, OutboxLetter *letter, OutboxProcess process,
                         OutboxDone done, gpointer data) {
  bool waits = letter->row.phase == OUTBOX_HELD || letter->row.phase == OUTBOX_QUEUED;
  bool is_open = letter->row.phase == OUTBOX_OPEN && letter->writers > 0 &&
                 outbox_name_is_sendable(letter->row.name);
  bool is_own = process.id == 0 || outbox_process_is(process, letter->writer);
  if (is_own || outbox_is_locked(outbox, letter->row.name)) return false;
  if (is_open)
    keep_open(outbox, letter, process, done, data);
  else if (waits)
    keep_waiting(outbox, letter, process, done, data);
  return is_open || waits;
}

static GList *find_kept(const OutboxKept *letters, const char *name, OutboxProcess process) {
  for (GList *at = letters->letters.head; at != NULL; at = at->next) {
    const Kept *kept = at->data;
    bool is_his = outbox_process_is(kept->process, process);
    if (is_his && strcmp(kept->letter->row.name, name) == 0) return at;
  }
  return NULL;
}

// What was still written goes on, or is committed if its writer has closed it meanwhile.
static void resume(Outbox *outbox, OutboxLetter *letter) {
  if (letter->writers == 0)
    outbox_close_letter(outbox, letter, NULL, NULL);
  else if (letter->journaled || letter->size > 0)
    outbox_store(outbox, letter, NULL, NULL);
}

// Its time may not have been set yet when it was removed.
static int64_t due_again(const Outbox *outbox, const Kept *kept) {
  int64_t now_us = outbox_now_us(outbox);
  bool was_held = kept->phase == OUTBOX_HELD && kept->due_us == 0;
  return was_held ? now_us + (int64_t)outbox->options.send_delay_ms * 1000
                  : MAX(kept->due_us, now_us);
}

static void bring_back(Outbox *outbox, const Kept *kept) {
  OutboxLetter *letter = kept->letter;
  char *name = outbox_table_free_name(outbox->table, OUTBOX_INO, letter->row.name, 1);
  g_free(letter->row.name);
  letter->row.name = name;
  letter->row.phase = kept->phase;
  letter->aside = true;
  letter->commit++;
  letter->pins--;
  outbox_table_link(outbox->table, letter);
  if (kept->phase == OUTBOX_OPEN) {
    resume(outbox, letter);
  } else {
    outbox_store(outbox, letter, NULL, NULL);
    outbox_agenda_add(outbox, letter, due_again(outbox, kept));
  }
  outbox_run_agenda(outbox);
  outbox_tell_changed(outbox, OUTBOX_INO);
}

void outbox_return_removed(Outbox *outbox, const char *name, OutboxProcess process) {
  outbox_forget_kept(outbox);
  GList *found = find_kept(outbox->kept, name, process);
  if (found == NULL) return;
  g_autofree Kept *kept = found->data;
  g_queue_delete_link(&outbox->kept->letters, found);
  bring_back(outbox, kept);
}

void outbox_seen(Outbox *outbox, const char *name, pid_t pid) {
  if (!g_queue_is_empty(&outbox->kept->letters))
    outbox_return_removed(outbox, name, outbox_process_find(pid));
}
