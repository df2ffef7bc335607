#include "tools/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/directories.h"
#include "tools/exit_code.h"

#define MAX_BYTES (1u << 20)

struct Config {
  char *path;
  GString *text;
  GKeyFile *keys;
  char **sections;
};

static bool refuse(const char *path, const char *why, GError **error) {
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "%s: %s", path, why);
  return false;
}

// -- Reading.

static bool check_file(int fd, const char *path, GError **error) {
  struct stat status;
  if (fstat(fd, &status) < 0) return refuse(path, g_strerror(errno), error);
  if (!S_ISREG(status.st_mode)) return refuse(path, "this is not a regular file", error);
  if (status.st_uid != geteuid())
    return refuse(path, "this file belongs to another user; it could run any command as you",
                  error);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return refuse(path, "others may write to this file, which runs commands (try chmod go-w)",
                  error);
  if (status.st_size > MAX_BYTES) return refuse(path, "this file is too large", error);
  return true;
}

static bool read_all(int fd, Config *config, GError **error) {
  char buffer[4096];
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got == 0) return true;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return refuse(config->path, g_strerror(errno), error);
    if (config->text->len + (size_t)got > MAX_BYTES)
      return refuse(config->path, "this file is too large", error);
    g_string_append_len(config->text, buffer, got);
  }
}

// Checked through the descriptor, so that what was checked is what is read.
static bool read_file(Config *config, GError **error) {
  int fd = open(config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return refuse(config->path, g_strerror(errno), error);
  bool is_read = check_file(fd, config->path, error) && read_all(fd, config, error);
  close(fd);
  return is_read;
}

// -- Lines. GKeyFile does not tell them.

// Where the line after `at` begins; the end of the text after the last.
static size_t next_line(const GString *text, size_t at) {
  const char *end = memchr(text->str + at, '\n', text->len - at);
  return end != NULL ? (size_t)(end - text->str) + 1 : text->len;
}

static bool loads(const GString *text, size_t length, GKeyFile *keys, GError **error) {
  return length == 0 ||
         g_key_file_load_from_data(keys, text->str, length, G_KEY_FILE_KEEP_TRANSLATIONS, error);
}

// The line that GKeyFile does not like: the first with which what precedes it does not load.
static unsigned bad_line(const GString *text) {
  g_autoptr(GArray) ends = g_array_new(FALSE, FALSE, sizeof(size_t));
  for (size_t at = 0; at < text->len;) {
    at = next_line(text, at);
    g_array_append_val(ends, at);
  }
  unsigned good = 0;
  unsigned bad = ends->len;
  while (bad - good > 1) {
    unsigned middle = good + (bad - good) / 2;
    g_autoptr(GKeyFile) keys = g_key_file_new();
    if (loads(text, g_array_index(ends, size_t, middle - 1), keys, NULL))
      good = middle;
    else
      bad = middle;
  }
  return bad;
}

static bool is_section(const char *line, const char *section) {
  size_t length = strlen(section);
  return line[0] == '[' && strncmp(line + 1, section, length) == 0 && line[1 + length] == ']';
}

static bool is_key(const char *line, const char *key) {
  size_t length = strlen(key);
  if (strncmp(line, key, length) != 0) return false;
  return line[length + strspn(line + length, " \t")] == '=';
}

// The last line that sets the key, which is the one that counts; 0: none.
static unsigned line_of(const Config *config, const char *section, const char *key) {
  unsigned found = 0;
  unsigned number = 1;
  bool is_inside = false;
  for (size_t at = 0; at < config->text->len; at = next_line(config->text, at), number++) {
    const char *line = config->text->str + at;
    line += strspn(line, " \t\r");
    if (*line == '[') is_inside = is_section(line, section);
    if (is_inside && is_key(line, key)) found = number;
  }
  return found;
}

static void prefix_line(const Config *config, const char *section, const char *key,
                        GError **error) {
  g_prefix_error(error, "%s:%u: ", config->path, line_of(config, section, key));
}

// -- Loading.

static bool parse(Config *config, GError **error) {
  g_autoptr(GError) reason = NULL;
  if (strlen(config->text->str) != config->text->len)
    return refuse(config->path, "this is not a text file", error);
  if (loads(config->text, config->text->len, config->keys, &reason)) {
    config->sections = g_key_file_get_groups(config->keys, NULL);
    return true;
  }
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "%s:%u: this line is neither [SECTION] nor KEY=VALUE",
              config->path, bad_line(config->text));
  return false;
}

static bool check_keys(const Config *config, const char *section, GError **error) {
  g_auto(GStrv) keys = g_key_file_get_keys(config->keys, section, NULL, NULL);
  for (char **key = keys; *key != NULL; key++) {
    g_autoptr(GError) reason = NULL;
    if (option_check_name(*key, OPTION_ANYWHERE, &reason)) continue;
    prefix_line(config, section, *key, &reason);
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
  }
  return true;
}

char *config_default_path(void) {
  g_autofree char *directory = directories_config();
  return g_build_filename(directory, "config", NULL);
}

Config *config_load(const char *path, GError **error) {
  g_autoptr(Config) config = g_new0(Config, 1);
  config->path = g_strdup(path);
  config->text = g_string_new(NULL);
  config->keys = g_key_file_new();
  if (!read_file(config, error) || !parse(config, error)) return NULL;
  for (char **section = config->sections; *section != NULL; section++) {
    if (!check_keys(config, *section, error)) return NULL;
  }
  return g_steal_pointer(&config);
}

void config_free(Config *config) {
  if (config == NULL) return;
  g_free(config->path);
  if (config->text != NULL) g_string_free(config->text, TRUE);
  g_clear_pointer(&config->keys, g_key_file_unref);
  g_strfreev(config->sections);
  g_free(config);
}

const char *const *config_sections(const Config *config) {
  return (const char *const *)config->sections;
}

static bool apply_key(const Config *config, const char *section, const char *key,
                      const char *directory, Options *options, GError **error) {
  g_autoptr(GError) reason = NULL;
  g_autofree char *value = g_key_file_get_string(config->keys, section, key, &reason);
  if (reason == NULL) return options_set(options, key, value, OPTION_ANYWHERE, directory, error);
  g_set_error(error, EXIT_ERROR, EX_CONFIG,
              "%s: not UTF-8, or a backslash that begins none of \\s \\n \\t \\r \\\\", key);
  return false;
}

bool config_apply(const Config *config, const char *section, Options *options, GError **error) {
  g_auto(GStrv) keys = g_key_file_get_keys(config->keys, section, NULL, NULL);
  if (keys == NULL) {
    g_set_error(error, EXIT_ERROR, EX_CONFIG, "%s: there is no section [%s]", config->path,
                section);
    return false;
  }
  g_autofree char *directory = g_path_get_dirname(config->path);
  for (char **key = keys; *key != NULL; key++) {
    if (apply_key(config, section, *key, directory, options, error)) continue;
    prefix_line(config, section, *key, error);
    return false;
  }
  return true;
}
