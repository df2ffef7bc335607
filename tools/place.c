#include "tools/place.h"

#include <string.h>
#include <unistd.h>

#include "net/account.h"
#include "tools/config.h"
#include "tools/directories.h"
#include "tools/exit_code.h"
#include "tools/options.h"
#include "tools/settings.h"

// What the outbox leaves in a state directory.
#define TRACE "outbox.db"

void place_free(Place *place) {
  if (place == NULL) return;
  g_free(place->account);
  g_free(place->directory);
  g_free(place->from);
  g_free(place);
}

static bool has_trace(const char *directory) {
  g_autofree char *path = g_build_filename(directory, TRACE, NULL);
  return g_file_test(path, G_FILE_TEST_EXISTS);
}

static char *state_root(const PlaceHints *hints) {
  if (hints->state_dir == NULL) return directories_state();
  return g_canonicalize_filename(hints->state_dir, NULL);
}

// section NULL: the options hold a URL.
static Place *place_of(const char *account, const char *section, Options *options,
                       const PlaceHints *hints, GError **error) {
  if (hints->state_dir != NULL) {
    g_free(options->state_dir);
    options->state_dir = state_root(hints);
  }
  g_autoptr(Settings) settings = settings_new(section, NULL, options, error);
  if (settings == NULL) return NULL;
  Place *place = g_new0(Place, 1);
  place->account = g_strdup(account);
  place->directory = g_strdup(settings->state_directory);
  place->from = g_strdup(settings->from);
  place->sends = settings->smtp != NULL || has_trace(place->directory);
  return place;
}

static Place *place_of_url(const char *url, const PlaceHints *hints, GError **error) {
  g_autoptr(Options) options = options_new();
  return options_set_url(options, url, error) ? place_of(url, NULL, options, hints, error) : NULL;
}

static Place *place_of_section(const Config *config, const char *section, const PlaceHints *hints,
                               GError **error) {
  g_autoptr(Options) options = options_new();
  options->needs_no_secrets = true;
  return config_apply(config, section, options, error)
             ? place_of(section, section, options, hints, error)
             : NULL;
}

// *config NULL: there is no file, and none was asked for.
static bool load_config(const PlaceHints *hints, Config **config, GError **error) {
  g_autofree char *usual = config_default_path();
  const char *path = hints->config != NULL ? hints->config : usual;
  *config = NULL;
  if (hints->config == NULL && !g_file_test(path, G_FILE_TEST_EXISTS)) return true;
  *config = config_load(path, error);
  return *config != NULL;
}

// -- Without a configuration.

static Place *place_of_directory(const char *root, const char *name) {
  Place *place = g_new0(Place, 1);
  place->account = g_strdup(name);
  place->directory = g_build_filename(root, name, NULL);
  place->sends = has_trace(place->directory);
  return place;
}

static int compare_names(gconstpointer a, gconstpointer b) {
  const Place *left = *(Place *const *)a, *right = *(Place *const *)b;
  return strcmp(left->account, right->account);
}

static void add_directories(GPtrArray *places, const PlaceHints *hints) {
  g_autofree char *root = state_root(hints);
  g_autoptr(GDir) directory = g_dir_open(root, 0, NULL);
  const char *name;
  while (directory != NULL && (name = g_dir_read_name(directory)) != NULL) {
    g_autoptr(Place) place = place_of_directory(root, name);
    if (place->sends) g_ptr_array_add(places, g_steal_pointer(&place));
  }
  g_ptr_array_sort(places, compare_names);
}

// -- With one.

static void add_sections(GPtrArray *places, const Config *config, const PlaceHints *hints,
                         GError **wrong) {
  for (const char *const *section = config_sections(config); *section != NULL; section++) {
    g_autoptr(GError) failed = NULL;
    g_autoptr(Place) place = place_of_section(config, *section, hints, &failed);
    if (place != NULL && place->sends) g_ptr_array_add(places, g_steal_pointer(&place));
    if (failed != NULL && *wrong == NULL) *wrong = g_steal_pointer(&failed);
  }
}

GPtrArray *places_load(const PlaceHints *hints, GError **wrong, GError **error) {
  g_autoptr(Config) config = NULL;
  if (!load_config(hints, &config, error)) return NULL;
  g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func((GDestroyNotify)place_free);
  if (config != NULL)
    add_sections(places, config, hints, wrong);
  else
    add_directories(places, hints);
  if (places->len > 0) return g_steal_pointer(&places);
  if (*wrong != NULL)
    g_propagate_error(error, g_steal_pointer(wrong));
  else
    g_set_error(error, EXIT_ERROR, EX_CONFIG, "there is no account that can send: set smtp");
  return NULL;
}

static Place *find_only(const PlaceHints *hints, GError **error) {
  g_autoptr(GError) wrong = NULL;
  g_autoptr(GPtrArray) places = places_load(hints, &wrong, error);
  if (places == NULL) return NULL;
  if (places->len == 1 && wrong == NULL) return g_ptr_array_steal_index(places, 0);
  if (places->len == 1) {
    g_propagate_error(error, g_steal_pointer(&wrong));
    return NULL;
  }
  g_autoptr(GString) names = g_string_new(NULL);
  for (unsigned i = 0; i < places->len; i++) {
    const Place *place = g_ptr_array_index(places, i);
    g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", place->account);
  }
  g_set_error(error, EXIT_ERROR, EX_USAGE, "name the account with -a, one of: %s", names->str);
  return NULL;
}

// An account that was mounted from a file that we do not know of.
static Place *find_directory(const char *account, const PlaceHints *hints) {
  g_autofree char *root = state_root(hints);
  g_autofree char *name = account_escape_directory(account);
  g_autoptr(Place) place = place_of_directory(root, name);
  return place->sends ? g_steal_pointer(&place) : NULL;
}

Place *place_find(const char *account, const PlaceHints *hints, GError **error) {
  if (account == NULL) return find_only(hints, error);
  if (strstr(account, "://") != NULL) return place_of_url(account, hints, error);
  g_autoptr(Config) config = NULL;
  if (!load_config(hints, &config, error)) return NULL;
  if (config != NULL && g_strv_contains(config_sections(config), account))
    return place_of_section(config, account, hints, error);
  Place *place = find_directory(account, hints);
  if (place == NULL) g_set_error(error, EXIT_ERROR, EX_CONFIG, "there is no account '%s'", account);
  return place;
}
