#include "scratch.h"

#include <stdio.h>

#include <glib.h>

void scratch_remove(const char *path) {
  g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
    g_autofree char *inner = g_build_filename(path, name, NULL);
    scratch_remove(inner);
  }
  remove(path);
}

static void copy_file(const char *from, const char *to) {
  g_autofree char *bytes = NULL;
  size_t size;
  // A letter may be removed by now: then it is not in the copy either.
  if (g_file_get_contents(from, &bytes, &size, NULL))
    g_assert_true(
        g_file_set_contents_full(to, bytes, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

void scratch_copy(const char *from, const char *to) {
  g_assert_cmpint(g_mkdir_with_parents(to, 0700), ==, 0);
  g_autoptr(GDir) directory = g_dir_open(from, 0, NULL);
  const char *name;
  while ((name = g_dir_read_name(directory)) != NULL) {
    g_autofree char *source = g_build_filename(from, name, NULL);
    g_autofree char *target = g_build_filename(to, name, NULL);
    if (g_file_test(source, G_FILE_TEST_IS_DIR))
      scratch_copy(source, target);
    else
      copy_file(source, target);
  }
}
