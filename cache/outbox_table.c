#include "cache/outbox_table.h"

#include <string.h>
#include <unistd.h>

#include "cache/outbox.h"
#include "cache/outbox_rules.h"

struct OutboxTable {
  GTree *by_ino;         // uint64_t * (a letter's own) -> OutboxLetter *, owned
  GHashTable *names[2];  // outbox/ and failed/: char * (owned) -> OutboxLetter *
  GHashTable *notes;     // failed/: NAME, without the suffix, of letters that have a note
};

static int compare_inos(gconstpointer a, gconstpointer b, gpointer unused) {
  uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
  return left < right ? -1 : left > right;
}

static void free_letter(gpointer item) {
  OutboxLetter *letter = item;
  outbox_row_clear(&letter->row);
  g_ptr_array_unref(letter->recipients);
  g_free(letter->note);
  if (letter->fd >= 0) close(letter->fd);
  g_free(letter);
}

OutboxTable *outbox_table_new(void) {
  OutboxTable *table = g_new0(OutboxTable, 1);
  table->by_ino = g_tree_new_full(compare_inos, NULL, NULL, free_letter);
  for (unsigned i = 0; i < 2; i++)
    table->names[i] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  table->notes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return table;
}

void outbox_table_free(OutboxTable *table) {
  if (table == NULL) return;
  for (unsigned i = 0; i < 2; i++)
    g_hash_table_unref(table->names[i]);
  g_hash_table_unref(table->notes);
  g_tree_unref(table->by_ino);
  g_free(table);
}

OutboxLetter *outbox_table_add(OutboxTable *table, OutboxRow *row) {
  OutboxLetter *letter = g_new0(OutboxLetter, 1);
  letter->row = *row;
  *row = (OutboxRow){0};
  letter->recipients = g_ptr_array_new_with_free_func((GDestroyNotify)outbox_recipient_free);
  letter->fd = -1;
  g_tree_insert(table->by_ino, &letter->row.ino, letter);
  return letter;
}

void outbox_table_let_go(OutboxTable *table, OutboxLetter *letter) {
  if (!letter->linked && letter->note == NULL && letter->handles == 0 && letter->pins == 0)
    g_tree_remove(table->by_ino, &letter->row.ino);
}

OutboxLetter *outbox_table_get(const OutboxTable *table, uint64_t ino) {
  uint64_t even = ino & ~(uint64_t)1;
  return g_tree_lookup(table->by_ino, &even);
}

static GHashTable *names_of(const OutboxTable *table, uint64_t directory) {
  return table->names[directory == OUTBOX_INO ? 0 : 1];
}

OutboxLetter *outbox_table_find(const OutboxTable *table, uint64_t directory, const char *name) {
  if (!outbox_name_is_note(name)) return g_hash_table_lookup(names_of(table, directory), name);
  if (directory != OUTBOX_FAILED_INO) return NULL;
  g_autofree char *owner = g_strndup(name, strlen(name) - strlen(OUTBOX_ERROR_SUFFIX));
  return g_hash_table_lookup(table->notes, owner);
}

void outbox_table_from(const OutboxTable *table, uint64_t ino, OutboxTableEach each,
                       gpointer data) {
  GTreeNode *node = g_tree_lower_bound(table->by_ino, &ino);
  while (node != NULL) {
    GTreeNode *next = g_tree_node_next(node);
    if (!each(g_tree_node_value(node), data)) return;
    node = next;
  }
}

void outbox_table_link(OutboxTable *table, OutboxLetter *letter) {
  GHashTable *names = names_of(table, letter->row.directory);
  g_assert(!letter->linked && !g_hash_table_contains(names, letter->row.name));
  g_hash_table_insert(names, g_strdup(letter->row.name), letter);
  letter->linked = true;
}

void outbox_table_unlink(OutboxTable *table, OutboxLetter *letter) {
  g_assert(letter->linked);
  g_hash_table_remove(names_of(table, letter->row.directory), letter->row.name);
  letter->linked = false;
}

void outbox_table_set_note(OutboxTable *table, OutboxLetter *letter, const char *text) {
  if (letter->note != NULL) g_hash_table_remove(table->notes, letter->row.name);
  g_free(letter->note);
  letter->note = g_strdup(text);
  letter->note_ns = g_get_real_time() * 1000;
  letter->note_broken = letter->row.broken;
  if (text != NULL) g_hash_table_insert(table->notes, g_strdup(letter->row.name), letter);
}

typedef struct {
  uint64_t twin;
  unsigned count;
} Twins;

static bool count_twin(OutboxLetter *letter, gpointer data) {
  Twins *twins = data;
  if (letter->linked && letter->twin == twins->twin) twins->count++;
  return true;
}

unsigned outbox_table_links(const OutboxTable *table, const OutboxLetter *letter) {
  Twins twins = {.twin = letter->twin};
  if (letter->twin == 0) return letter->linked ? 1 : 0;
  outbox_table_from(table, 0, count_twin, &twins);
  return twins.count;
}

static bool part_twin(OutboxLetter *letter, gpointer data) {
  const Twins *twins = data;
  if (letter->twin == twins->twin) letter->twin = 0;
  return true;
}

void outbox_table_part(OutboxTable *table, OutboxLetter *letter) {
  Twins twins = {.twin = letter->twin};
  if (letter->twin != 0) outbox_table_from(table, 0, part_twin, &twins);
}

void outbox_table_renumber(OutboxTable *table, OutboxLetter *letter, uint64_t ino) {
  g_tree_steal(table->by_ino, &letter->row.ino);
  letter->row.ino = ino;
  g_tree_insert(table->by_ino, &letter->row.ino, letter);
}

static bool is_taken(const OutboxTable *table, uint64_t directory, const char *name) {
  return g_hash_table_contains(names_of(table, directory), name) ||
         (directory == OUTBOX_FAILED_INO && g_hash_table_contains(table->notes, name));
}

char *outbox_table_free_name(const OutboxTable *table, uint64_t directory, const char *name,
                             unsigned first) {
  for (unsigned n = first;; n++) {
    char *label = outbox_label(name, n);
    if (!is_taken(table, directory, label)) return label;
    g_free(label);
  }
}
