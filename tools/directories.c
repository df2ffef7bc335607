#include "tools/directories.h"

#include <glib.h>

static char *xdg_directory(const char *variable, const char *below_home) {
  const char *value = g_getenv(variable);
  if (value != NULL && g_path_is_absolute(value)) return g_build_filename(value, "mailfs", NULL);
  g_autofree char *directory = g_build_filename(g_get_home_dir(), below_home, "mailfs", NULL);
  return g_canonicalize_filename(directory, "/");
}

char *directories_config(void) {
  return xdg_directory("XDG_CONFIG_HOME", ".config");
}

char *directories_cache(void) {
  return xdg_directory("XDG_CACHE_HOME", ".cache");
}

char *directories_state(void) {
  return xdg_directory("XDG_STATE_HOME", ".local/state");
}
