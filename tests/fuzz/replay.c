// Runs a fuzz target over each file of a folder, so that the suite replays the seeds without
// libFuzzer: replay FOLDER.
#include <stdio.h>
#include <stdlib.h>

#include <glib.h>

#include "tests/fuzz/fuzz.h"

static void run_file(const char *folder, const char *name) {
  g_autofree char *path = g_build_filename(folder, name, NULL);
  g_autofree char *bytes = NULL;
  gsize size = 0;
  g_autoptr(GError) error = NULL;
  if (!g_file_get_contents(path, &bytes, &size, &error)) g_error("%s", error->message);
  // Exactly its size, without the NUL that GLib puts behind, so that reading beyond it is noticed.
  g_autofree uint8_t *input = g_memdup2(bytes, size);
  printf("%s\n", path);
  fflush(stdout);
  LLVMFuzzerTestOneInput(input, size);
}

int main(int argc, char **argv) {
  g_autoptr(GError) error = NULL;
  if (argc != 2) g_error("usage: %s FOLDER", argv[0]);
  g_autoptr(GDir) dir = g_dir_open(argv[1], 0, &error);
  if (!dir) g_error("%s", error->message);
  unsigned count = 0;
  for (const char *name; (name = g_dir_read_name(dir)); count++)
    run_file(argv[1], name);
  return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
