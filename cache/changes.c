#include "cache/changes.h"

struct Changes {
  GArray *removed, *added;  // of ChangesName
  GArray *folders, *stale;  // of uint64_t
  uint64_t first;           // of the folders, the one that was never listed before; 0: none
};

static void clear_name(gpointer name) {
  g_free(((ChangesName *)name)->name);
}

static GArray *new_names(void) {
  GArray *names = g_array_new(FALSE, FALSE, sizeof(ChangesName));
  g_array_set_clear_func(names, clear_name);
  return names;
}

Changes *changes_new(void) {
  Changes *changes = g_new0(Changes, 1);
  changes->removed = new_names();
  changes->added = new_names();
  changes->folders = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  changes->stale = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  return changes;
}

void changes_free(Changes *changes) {
  if (changes == NULL) return;
  g_array_unref(changes->removed);
  g_array_unref(changes->added);
  g_array_unref(changes->folders);
  g_array_unref(changes->stale);
  g_free(changes);
}

static void add_name(GArray *names, uint64_t parent, uint64_t ino, const char *name) {
  ChangesName entry = {.parent = parent, .ino = ino, .name = g_strdup(name)};
  g_array_append_val(names, entry);
}

void changes_add_removed(Changes *changes, uint64_t parent, uint64_t ino, const char *name) {
  add_name(changes->removed, parent, ino, name);
  changes_add_folder(changes, parent);
}

void changes_add_added(Changes *changes, uint64_t parent, uint64_t ino, const char *name) {
  add_name(changes->added, parent, ino, name);
}

void changes_add_folder(Changes *changes, uint64_t folder) {
  for (unsigned i = changes->folders->len; i > 0; i--)
    if (g_array_index(changes->folders, uint64_t, i - 1) == folder) return;
  g_array_append_val(changes->folders, folder);
}

void changes_add_first(Changes *changes, uint64_t folder) {
  changes_add_folder(changes, folder);
  changes->first = folder;
}

void changes_add_stale(Changes *changes, uint64_t folder) {
  g_array_append_val(changes->stale, folder);
}

static gconstpointer elements(const GArray *array, unsigned *n) {
  *n = array->len;
  return array->data;
}

const ChangesName *changes_removed(const Changes *changes, unsigned *n) {
  return elements(changes->removed, n);
}

const ChangesName *changes_added(const Changes *changes, unsigned *n) {
  return elements(changes->added, n);
}

const uint64_t *changes_folders(const Changes *changes, unsigned *n) {
  return elements(changes->folders, n);
}

uint64_t changes_first(const Changes *changes) {
  return changes->first;
}

const uint64_t *changes_stale(const Changes *changes, unsigned *n) {
  return elements(changes->stale, n);
}
