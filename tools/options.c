#include "tools/options.h"

#include <string.h>
#include <unistd.h>

#include "tools/exit_code.h"
#include "tools/option_value.h"

static void *field_of(const Options *options, const Option *option) {
  return (char *)options + option->offset;
}

static void set_initial(Options *options, const Option *option) {
  if (option->initial == NULL) return;
  g_autoptr(GError) error = NULL;
  if (!option_value_parse(option, option->initial, "/", field_of(options, option), &error))
    g_error("default of %s: %s", option->name, error->message);
}

Options *options_new(void) {
  Options *options = g_new0(Options, 1);
  options->uid = getuid();
  options->gid = getgid();
  size_t n_options;
  const Option *table = options_table(&n_options);
  for (size_t i = 0; i < n_options; i++)
    set_initial(options, &table[i]);
  return options;
}

void options_free(Options *options) {
  if (options == NULL) return;
  size_t n_options;
  const Option *table = options_table(&n_options);
  for (size_t i = 0; i < n_options; i++)
    option_value_clear(&table[i], field_of(options, &table[i]));
  g_free(options);
}

// The value, if there is one, is not shown: it could be a password put where none belongs.
static bool refuse(const char *name, const char *why, GError **error) {
  g_autofree char *printable = g_utf8_make_valid(name, -1);
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "%s: %s", printable, why);
  return false;
}

static bool refuse_unknown(const char *name, GError **error) {
  bool is_secret = strstr(name, "pass") != NULL || strstr(name, "token") != NULL;
  return refuse(name,
                is_secret ? "there is no such option (a password comes from password_command or "
                            "password_file)"
                          : "there is no such option",
                error);
}

bool option_check_name(const char *name, OptionPlace place, GError **error) {
  const Option *option = option_find(name);
  if (option == NULL) return refuse_unknown(name, error);
  if (option->place == OPTION_COMMAND_LINE && place != OPTION_COMMAND_LINE)
    return refuse(name, "this belongs to -o only", error);
  return true;
}

bool options_set(Options *options, const char *name, const char *value, OptionPlace place,
                 const char *directory, GError **error) {
  if (place == OPTION_COMMAND_LINE && option_is_ignored(name)) return true;
  if (!option_check_name(name, place, error)) return false;
  const Option *option = option_find(name);
  if (value == NULL && option->kind != OPTION_SWITCH) return refuse(name, "needs a value", error);
  Option seen = *option;
  if (option->kind == OPTION_SECRET_FILE && options->needs_no_secrets) seen.kind = OPTION_PATH;
  if (option_value_parse(&seen, value != NULL ? value : "on", directory, field_of(options, option),
                         error))
    return true;
  g_prefix_error(error, "%s: ", name);
  return false;
}

// The next item of a list, newly allocated, with `\,` turned into a comma; *list moves past it.
static char *take_item(const char **list) {
  GString *item = g_string_new(NULL);
  const char *p = *list;
  for (; *p != '\0' && *p != ','; p++) {
    if (*p == '\\' && (p[1] == ',' || p[1] == '\\')) p++;
    g_string_append_c(item, *p);
  }
  *list = *p == ',' ? p + 1 : p;
  return g_string_free(item, FALSE);
}

bool options_set_list(Options *options, const char *list, const char *directory, GError **error) {
  while (*list != '\0') {
    g_autofree char *item = take_item(&list);
    if (*item == '\0') continue;
    char *value = strchr(item, '=');
    if (value != NULL) *value++ = '\0';
    if (options_set(options, item, value, OPTION_COMMAND_LINE, directory, error)) continue;
    g_prefix_error(error, "-o ");
    return false;
  }
  return true;
}

bool options_set_url(Options *options, const char *url, GError **error) {
  if (options->imap != NULL || options->pop3 != NULL) {
    g_set_error(error, EXIT_ERROR, EX_USAGE,
                "the account is a URL: imap= and pop3= have no place beside it");
    return false;
  }
  const char *key = g_ascii_strncasecmp(url, "pop3", 4) == 0 ? "pop3" : "imap";
  g_autoptr(GError) reason = NULL;
  if (options_set(options, key, url, OPTION_COMMAND_LINE, "/", &reason)) return true;
  g_set_error(error, EXIT_ERROR, EX_USAGE, "ACCOUNT: %s", reason->message);
  return false;
}

static void append_for_fuse(GString *list, const Options *options, const Option *option) {
  const void *field = field_of(options, option);
  const char *comma = list->len > 0 ? "," : "";
  if (option->kind == OPTION_SWITCH) {
    if (*(const bool *)field) g_string_append_printf(list, "%s%s", comma, option->name);
  } else if (option->kind == OPTION_SIZE) {
    uint64_t number = *(const uint64_t *)field;
    if (number > 0)
      g_string_append_printf(list, "%s%s=%" G_GUINT64_FORMAT, comma, option->name, number);
  } else {
    const char *text = *(char *const *)field;
    if (text != NULL) g_string_append_printf(list, "%s%s=%s", comma, option->name, text);
  }
}

char *options_for_fuse(const Options *options) {
  g_autoptr(GString) list = g_string_new(NULL);
  size_t n_options;
  const Option *table = options_table(&n_options);
  for (size_t i = 0; i < n_options; i++) {
    if (table[i].place == OPTION_FUSE) append_for_fuse(list, options, &table[i]);
  }
  return list->len > 0 ? g_string_free(g_steal_pointer(&list), FALSE) : NULL;
}
