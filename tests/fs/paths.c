// Only what the kernel was told of has a path.
#include "fs/paths.h"

#include <glib.h>

#include "cache/inode.h"

static void test_paths(void) {
  Paths *paths = paths_new();
  g_autofree char *root = paths_find(paths, INODE_ROOT);
  g_assert_cmpstr(root, ==, ".");
  g_assert_true(paths_has(paths, INODE_ROOT));
  g_assert_null(paths_find(paths, 10));
  g_assert_false(paths_has(paths, 10));
  paths_told(paths, 11, 10, "2025");
  g_assert_null(paths_find(paths, 11));
  paths_told(paths, 10, INODE_ROOT, "Archive");
  g_autofree char *path = paths_find(paths, 11);
  g_assert_cmpstr(path, ==, "Archive/2025");
  paths_told(paths, 10, INODE_ROOT, "Old");
  g_autofree char *renamed = paths_find(paths, 11);
  g_assert_cmpstr(renamed, ==, "Old/2025");
  paths_free(paths);
}

// Two folders renamed into each other, of which the kernel was told one after the other.
static void test_circle(void) {
  Paths *paths = paths_new();
  paths_told(paths, 10, 11, "a");
  paths_told(paths, 11, 10, "b");
  g_assert_null(paths_find(paths, 10));
  paths_free(paths);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/paths/paths", test_paths);
  g_test_add_func("/paths/circle", test_circle);
  return g_test_run();
}
