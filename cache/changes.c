#include "cache/changes.h"

struct Changes {
  GArray *removed;  // of ChangesRemoved
  GArray *folders;  // of uint64_t
};

static void clear_removed(gpointer removed) {
  g_free(((ChangesRemoved *)removed)->name);
}

Changes *changes_new(void) {
  Changes *changes = g_new0(Changes, 1);
  changes->removed = g_array_new(FALSE, FALSE, sizeof(ChangesRemoved));
  g_array_set_clear_func(changes->removed, clear_removed);
  changes->folders = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  return changes;
}

void changes_free(Changes *changes) {
  if (changes == NULL) return;
  g_array_free(changes->removed, TRUE);
  g_array_free(changes->folders, TRUE);
  g_free(changes);
}

void changes_add_removed(Changes *changes, uint64_t parent, uint64_t ino, const char *name) {
  ChangesRemoved removed = {.parent = parent, .ino = ino, .name = g_strdup(name)};
  g_array_append_val(changes->removed, removed);
  changes_add_folder(changes, parent);
}

void changes_add_folder(Changes *changes, uint64_t folder) {
  for (unsigned i = 0; i < changes->folders->len; i++)
    if (g_array_index(changes->folders, uint64_t, i) == folder) return;
  g_array_append_val(changes->folders, folder);
}

const ChangesRemoved *changes_removed(const Changes *changes, unsigned *n) {
  *n = changes->removed->len;
  return (const ChangesRemoved *)(gpointer)changes->removed->data;
}

const uint64_t *changes_folders(const Changes *changes, unsigned *n) {
  *n = changes->folders->len;
  return (const uint64_t *)(gpointer)changes->folders->data;
}
