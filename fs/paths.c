#include "fs/paths.h"

#include <string.h>

#include <glib.h>

#include "cache/inode.h"

// Deeper folders are not shown to anybody who watches: no server has them.
#define DEEPEST 256

typedef struct {
  uint64_t ino, parent;
  char *name;
} Place;

struct Paths {
  GHashTable *places;  // by ino
};

static void place_free(gpointer data) {
  Place *place = data;
  g_free(place->name);
  g_free(place);
}

Paths *paths_new(void) {
  Paths *paths = g_new0(Paths, 1);
  paths->places = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, place_free);
  return paths;
}

void paths_free(Paths *paths) {
  if (paths == NULL) return;
  g_hash_table_unref(paths->places);
  g_free(paths);
}

static const Place *find(const Paths *paths, uint64_t ino) {
  return g_hash_table_lookup(paths->places, &ino);
}

void paths_told(Paths *paths, uint64_t ino, uint64_t parent, const char *name) {
  const Place *known = find(paths, ino);
  if (known != NULL && known->parent == parent && strcmp(known->name, name) == 0) return;
  Place *place = g_new0(Place, 1);
  *place = (Place){.ino = ino, .parent = parent, .name = g_strdup(name)};
  g_hash_table_replace(paths->places, &place->ino, place);
}

bool paths_has(const Paths *paths, uint64_t ino) {
  return ino == INODE_ROOT || find(paths, ino) != NULL;
}

char *paths_find(const Paths *paths, uint64_t ino) {
  GString *path = g_string_new(ino == INODE_ROOT ? "." : NULL);
  for (unsigned depth = 0; ino != INODE_ROOT; depth++) {
    const Place *place = find(paths, ino);
    if (place == NULL || depth == DEEPEST) {
      g_string_free(path, TRUE);
      return NULL;
    }
    if (path->len > 0) g_string_prepend_c(path, '/');
    g_string_prepend(path, place->name);
    ino = place->parent;
  }
  return g_string_free(path, FALSE);
}
