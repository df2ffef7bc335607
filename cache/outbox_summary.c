#include "cache/outbox_summary.h"

#include <unistd.h>

#include "cache/drop.h"
#include "cache/outbox_private.h"

typedef struct {
  OutboxSummaryEach each;
  gpointer data;
  bool ended;
  // For outbox_summarize.
  Outbox *outbox;
  uint64_t after;
  // For outbox_peek.
  GHashTable *origins;  // char *: drops that are letters already; NULL: not known
} Walk;

static void show(Walk *walk, const OutboxRow *row, const GPtrArray *recipients, const char *state,
                 const char *next_try, const char *file) {
  bool failed = row->phase == OUTBOX_FAILED;
  g_autofree char *why =
      failed && row->error != NULL ? outbox_report_reason(row->error) : g_strdup(row->error);
  const OutboxSummary summary = {
      .ino = row->ino,
      .name = row->name,
      .is_failed = failed,
      .state = state,
      .why = why,
      .next_try = next_try,
      .file = file,
      .row = row,
      .recipients = recipients,
  };
  walk->ended = !walk->each(&summary, walk->data);
}

static void show_letter(Walk *walk, const OutboxRow *row, const GPtrArray *recipients,
                        const char *state, const char *next_try) {
  char name[24];
  outbox_file_name(row->id, name);
  g_autofree char *file = g_build_filename(OUTBOX_LETTERS_NAME, name, NULL);
  show(walk, row, recipients, state, next_try, file);
}

static bool walk_table(OutboxLetter *letter, gpointer data) {
  Walk *walk = data;
  if (!letter->linked || letter->row.ino <= walk->after) return true;
  g_autofree char *next_try = outbox_detail(walk->outbox, letter->row.ino, OUTBOX_NEXT_TRY);
  g_autofree char *state = outbox_detail(walk->outbox, letter->row.ino, OUTBOX_STATE);
  show_letter(walk, &letter->row, letter->recipients, state, next_try);
  return !walk->ended;
}

void outbox_summarize(Outbox *outbox, uint64_t after, OutboxSummaryEach each, gpointer data) {
  Walk walk = {.each = each, .data = data, .outbox = outbox, .after = after};
  outbox_table_from(outbox->table, after, walk_table, &walk);
}

// -- On the disk.

static void walk_journal(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Walk *walk = data;
  if (row->origin != NULL) g_hash_table_add(walk->origins, g_strdup(row->origin));
  bool sent = row->phase == OUTBOX_ACCEPTED;
  if (!walk->ended && !sent)
    show_letter(walk, row, recipients, outbox_phase_name(row->phase), NULL);
}

static bool peek_journal(const char *directory, Walk *walk, GError **error) {
  g_autofree char *path = g_build_filename(directory, OUTBOX_JOURNAL_NAME, NULL);
  if (!g_file_test(path, G_FILE_TEST_EXISTS)) return true;
  g_autoptr(OutboxJournal) journal = outbox_journal_open_to_read(path, error);
  return journal != NULL && outbox_journal_load(journal, walk_journal, walk, error);
}

static void show_drop(Walk *walk, int incoming_fd, const char *id) {
  g_autoptr(Drop) drop = drop_read(incoming_fd, id);
  g_autofree char *letter = drop_file_name(id, DROP_LETTER);
  g_autofree char *file = g_build_filename(DROP_DIRECTORY, letter, NULL);
  g_autoptr(GPtrArray) nobody = g_ptr_array_new();
  const OutboxRow row = {
      .name = drop->name != NULL ? drop->name : letter,
      .phase = OUTBOX_QUEUED,
      .envelope = drop->envelope,
      .origin = drop->id,
  };
  show(walk, &row, nobody, outbox_phase_name(row.phase), NULL, file);
}

// Listed before the journal is read: a drop that is taken in between is seen in one of them.
static GPtrArray *list_drops(int incoming_fd, GError **error) {
  return incoming_fd >= 0 ? drop_list(incoming_fd, NULL, G_MAXINT, error) : g_ptr_array_new();
}

static void show_drops(Walk *walk, int incoming_fd, const GPtrArray *ids) {
  for (unsigned i = 0; !walk->ended && i < ids->len; i++)
    if (walk->origins == NULL || !g_hash_table_contains(walk->origins, ids->pdata[i]))
      show_drop(walk, incoming_fd, ids->pdata[i]);
}

bool outbox_peek(const char *account_directory, OutboxSummaryEach each, gpointer data,
                 GError **error) {
  g_autoptr(GHashTable) origins = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Walk walk = {.each = each, .data = data, .origins = origins};
  int incoming_fd = drop_directory_find(account_directory);
  g_autoptr(GPtrArray) ids = list_drops(incoming_fd, error);
  bool ok = ids != NULL && peek_journal(account_directory, &walk, error);
  if (ok) show_drops(&walk, incoming_fd, ids);
  if (incoming_fd >= 0) close(incoming_fd);
  return ok;
}

bool outbox_peek_drops(const char *account_directory, OutboxSummaryEach each, gpointer data,
                       GError **error) {
  Walk walk = {.each = each, .data = data};
  int incoming_fd = drop_directory_find(account_directory);
  g_autoptr(GPtrArray) ids = list_drops(incoming_fd, error);
  if (ids != NULL) show_drops(&walk, incoming_fd, ids);
  if (incoming_fd >= 0) close(incoming_fd);
  return ids != NULL;
}
