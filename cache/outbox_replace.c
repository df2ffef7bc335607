// mv from another file system, install and others remove what has the name that they want, and then
// create it. That takes the name as O_TRUNC and rename do, so the letter goes on, as NAME+1. It is
// known only afterwards: a letter of another program that is removed is gone at once, as rm wants
// it, but its bytes are kept for a moment under another number, which a restart knows nothing of.
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"

// How long after removing it a program may create its file.
#define KEPT_MS 1000
#define KEPT_MAX 16

typedef struct {
  OutboxProcess process;  // that removed it
  OutboxRow row;          // with the number under which its bytes are kept
  GPtrArray *recipients;
  uint64_t size;
  int64_t due_us, until_us;
} Kept;

struct OutboxKept {
  Outbox *outbox;
  GQueue letters;  // of Kept *, the oldest first
  GSource *clock;
};

static void unlink_bytes(const Outbox *outbox, uint64_t id) {
  char name[24];
  outbox_file_name(id, name);
  unlinkat(outbox->letters_fd, name, 0);
}

static void free_kept(Kept *kept) {
  outbox_row_clear(&kept->row);
  g_ptr_array_unref(kept->recipients);
  g_free(kept);
}

static void forget_oldest(OutboxKept *letters) {
  Kept *kept = g_queue_pop_head(&letters->letters);
  unlink_bytes(letters->outbox, kept->row.id);
  free_kept(kept);
}

static void forget_late(OutboxKept *letters) {
  const Kept *oldest;
  while ((oldest = g_queue_peek_head(&letters->letters)) != NULL &&
         oldest->until_us <= g_get_monotonic_time())
    forget_oldest(letters);
  g_source_set_ready_time(letters->clock, oldest != NULL ? oldest->until_us : -1);
}

static gboolean dispatch_clock(GSource *source, GSourceFunc unused, gpointer unused_data) {
  forget_late(*(OutboxKept **)(source + 1));
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

void outbox_keep_removed(Outbox *outbox, OutboxLetter *letter, OutboxProcess process) {
  bool waits = letter->row.phase == OUTBOX_HELD || letter->row.phase == OUTBOX_QUEUED;
  if (!waits || process.id == 0 || outbox_process_is(process, letter->writer)) return;
  uint64_t number;
  char old_name[24], new_name[24];
  if (outbox_is_locked(outbox, letter->row.name) || !outbox_new_number(outbox, &number, NULL))
    return;
  outbox_file_name(letter->row.id, old_name);
  outbox_file_name(number, new_name);
  if (linkat(outbox->letters_fd, old_name, outbox->letters_fd, new_name, 0) < 0) return;
  Kept *kept = g_new0(Kept, 1);
  kept->process = process;
  outbox_row_copy(&kept->row, &letter->row);
  kept->row.id = number;
  kept->row.ino = outbox_ino_of_number(number);
  kept->recipients = g_ptr_array_ref(letter->recipients);
  kept->size = letter->size;
  kept->due_us = letter->due_us;
  kept->until_us = g_get_monotonic_time() + KEPT_MS * 1000;
  if (g_queue_get_length(&outbox->kept->letters) == KEPT_MAX) forget_oldest(outbox->kept);
  g_queue_push_tail(&outbox->kept->letters, kept);
  forget_late(outbox->kept);
}

static GList *find_kept(const OutboxKept *letters, const char *name, OutboxProcess process) {
  for (GList *at = letters->letters.head; at != NULL; at = at->next) {
    const Kept *kept = at->data;
    bool is_his = outbox_process_is(kept->process, process);
    if (is_his && strcmp(kept->row.name, name) == 0) return at;
  }
  return NULL;
}

static void bring_back(Outbox *outbox, Kept *kept) {
  char *name = outbox_table_free_name(outbox->table, OUTBOX_INO, kept->row.name, 1);
  g_free(kept->row.name);
  kept->row.name = name;
  OutboxLetter *letter = outbox_table_add(outbox->table, &kept->row);
  g_ptr_array_unref(letter->recipients);
  letter->recipients = g_ptr_array_ref(kept->recipients);
  letter->size = kept->size;
  letter->revision = letter->checked = letter->synced = 1;
  letter->aside = true;
  outbox_table_link(outbox->table, letter);
  letter->journaled = true;
  SpoolJob *job = outbox_new_job(letter, SPOOL_PUT);
  job->sync = true;
  outbox_push(outbox, letter, job, NULL, NULL, NULL);
  outbox_agenda_add(outbox, letter, MAX(kept->due_us, g_get_monotonic_time()));
  outbox_run_agenda(outbox);
  outbox_tell_changed(outbox, OUTBOX_INO);
}

void outbox_return_removed(Outbox *outbox, const char *name, OutboxProcess process) {
  forget_late(outbox->kept);
  GList *found = find_kept(outbox->kept, name, process);
  if (found == NULL) return;
  Kept *kept = found->data;
  g_queue_delete_link(&outbox->kept->letters, found);
  bring_back(outbox, kept);
  free_kept(kept);
}
