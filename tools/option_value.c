#include "tools/option_value.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "net/account.h"
#include "net/secret.h"
#include "tools/exit_code.h"

typedef bool (*ParseFunc)(const Option *option, const char *text, const char *directory,
                          void *field, GError **error);

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool refuse(GError **error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  va_end(arguments);
  g_set_error_literal(error, EXIT_ERROR, EX_CONFIG, message);
  return false;
}

static void replace_text(void *field, char *text) {
  char **place = field;
  g_free(*place);
  *place = text;
}

static bool has_control(const char *text) {
  for (const char *p = text; *p != '\0'; p++) {
    if (g_ascii_iscntrl(*p)) return true;
  }
  return false;
}

static bool is_made_of(const char *text, const char *others) {
  for (const char *p = text; *p != '\0'; p++) {
    if (!g_ascii_isalnum(*p) && strchr(others, *p) == NULL) return false;
  }
  return true;
}

// -- Text.

static bool parse_text(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  // libfuse takes a comma for the next option.
  if (option->place == OPTION_FUSE && strpbrk(text, ",\\") != NULL)
    return refuse(error, "must not hold a comma or a backslash");
  replace_text(field, g_strdup(text));
  return true;
}

static bool parse_word(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  if (!is_made_of(text, "-_"))
    return refuse(error, "'%s' is not a word of letters, digits, - and _", text);
  replace_text(field, g_strdup(text));
  return true;
}

static bool parse_command(const Option *option, const char *text, const char *directory,
                          void *field, GError **error) {
  replace_text(field, g_strdup(text));
  return true;
}

static char *absolute_path(const char *text, const char *directory) {
  if (strcmp(text, "~") == 0 || g_str_has_prefix(text, "~/")) {
    g_autofree char *below_home = g_build_filename(g_get_home_dir(), text + 1, NULL);
    return g_canonicalize_filename(below_home, "/");
  }
  return g_canonicalize_filename(text, directory);
}

static bool parse_path(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  replace_text(field, absolute_path(text, directory));
  return true;
}

static bool parse_secret_file(const Option *option, const char *text, const char *directory,
                              void *field, GError **error) {
  g_autofree char *path = absolute_path(text, directory);
  g_autoptr(GError) reason = NULL;
  g_autoptr(Secret) secret = secret_new_from_file(path, &reason);
  if (secret == NULL) return refuse(error, "%s", reason->message);
  replace_text(field, g_steal_pointer(&path));
  return true;
}

static bool parse_address(const Option *option, const char *text, const char *directory,
                          void *field, GError **error) {
  const char *at = strrchr(text, '@');
  if (at == NULL || at == text || at[1] == '\0' || strpbrk(text, " <>(),;:\\\"") != NULL)
    return refuse(error, "'%s' is not an address like alice@example.org", text);
  replace_text(field, g_strdup(text));
  return true;
}

static bool parse_file_name(const Option *option, const char *text, const char *directory,
                            void *field, GError **error) {
  if (*text == '.' || *text == '-' || strchr(text, '/') != NULL || strlen(text) > NAME_MAX)
    return refuse(error,
                  "'%s' is not a directory's name: at most %d bytes, no /, no . or - in front",
                  text, NAME_MAX);
  replace_text(field, g_strdup(text));
  return true;
}

static bool parse_globs(const Option *option, const char *text, const char *directory, void *field,
                        GError **error) {
  g_autoptr(GPtrArray) globs = g_ptr_array_new_with_free_func(g_free);
  g_auto(GStrv) words = g_strsplit_set(text, " :", -1);
  for (char **word = words; *word != NULL; word++) {
    if (**word != '\0') g_ptr_array_add(globs, g_strdup(*word));
  }
  g_ptr_array_add(globs, NULL);
  char ***place = field;
  g_strfreev(*place);
  *place = (char **)g_ptr_array_free(g_steal_pointer(&globs), FALSE);
  return true;
}

static bool parse_choice(const Option *option, const char *text, const char *directory, void *field,
                         GError **error) {
  if (!g_strv_contains(option->choices, text)) {
    g_autofree char *choices = g_strjoinv(", ", (char **)option->choices);
    return refuse(error, "'%s' is none of %s", text, choices);
  }
  replace_text(field, g_strdup(text));
  return true;
}

// -- Servers.

// The URL itself could hold a password in spite of all warnings, so only its scheme is shown.
static bool parse_server(AccountProtocol protocol, const char *text, void *field, GError **error) {
  static const char *const names[] = {
      [ACCOUNT_IMAP] = "imaps://user@host or imap://user@host",
      [ACCOUNT_POP3] = "pop3s://user@host or pop3://user@host",
      [ACCOUNT_SMTP] = "smtps://user@host or smtp://user@host",
  };
  const char *colon = strstr(text, "://");
  g_autofree char *scheme = colon != NULL ? g_strndup(text, (size_t)(colon - text)) : NULL;
  const char *shown = scheme != NULL && is_made_of(scheme, "+-.") ? scheme : "...";
  g_autoptr(GError) reason = NULL;
  g_autoptr(Account) account = account_new_from_url(text, &reason);
  if (account == NULL) return refuse(error, "%s://...: %s", shown, reason->message);
  if (account->protocol != protocol)
    return refuse(error, "%s://... will not do here: write %s", shown, names[protocol]);
  replace_text(field, g_strdup(text));
  return true;
}

static bool parse_imap(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  return parse_server(ACCOUNT_IMAP, text, field, error);
}

static bool parse_pop3(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  return parse_server(ACCOUNT_POP3, text, field, error);
}

static bool parse_smtp(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  return parse_server(ACCOUNT_SMTP, text, field, error);
}

// -- Switches and numbers.

static bool parse_switch(const Option *option, const char *text, const char *directory, void *field,
                         GError **error) {
  static const char *const on[] = {"on", "yes", "true", "1", NULL};
  static const char *const off[] = {"off", "no", "false", "0", NULL};
  bool is_on = g_strv_contains(on, text);
  if (!is_on && !g_strv_contains(off, text))
    return refuse(error, "'%s' is neither on nor off", text);
  *(bool *)field = is_on;
  return true;
}

typedef struct {
  char letter;
  uint64_t factor;
} Unit;

static const Unit no_units[] = {{'\0', 1}};
static const Unit time_units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'\0', 1}};
static const Unit size_units[] = {
    {'k', 1ull << 10}, {'m', 1ull << 20}, {'g', 1ull << 30}, {'t', 1ull << 40}, {'\0', 1}};

// A number within the option's range, perhaps with one letter as its unit.
static bool parse_number(const Option *option, const char *text, unsigned base, const Unit *unit,
                         void *field) {
  char *end = NULL;
  errno = 0;
  uint64_t number = g_ascii_isdigit(*text) ? g_ascii_strtoull(text, &end, base) : 0;
  if (end == NULL || end == text || errno != 0) return false;
  while (unit->letter != '\0' && g_ascii_tolower(*end) != unit->letter)
    unit++;
  if (*end != '\0' && (unit->letter == '\0' || end[1] != '\0')) return false;
  if (*end != '\0' && number > UINT64_MAX / unit->factor) return false;
  if (*end != '\0') number *= unit->factor;
  if (number < option->least || number > option->most) return false;
  *(uint64_t *)field = number;
  return true;
}

static bool parse_count(const Option *option, const char *text, const char *directory, void *field,
                        GError **error) {
  return parse_number(option, text, 10, no_units, field) ||
         refuse(error, "'%s' is not a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                text, option->least, option->most);
}

static bool parse_duration(const Option *option, const char *text, const char *directory,
                           void *field, GError **error) {
  return parse_number(option, text, 10, time_units, field) ||
         refuse(error,
                "'%s' is not a time from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                " seconds, like 30, 2s or 5d",
                text, option->least, option->most);
}

static bool parse_size(const Option *option, const char *text, const char *directory, void *field,
                       GError **error) {
  return parse_number(option, text, 10, size_units, field) ||
         refuse(error, "'%s' is not a number of bytes like 64M or 5G", text);
}

static bool parse_octal(const Option *option, const char *text, const char *directory, void *field,
                        GError **error) {
  return parse_number(option, text, 8, no_units, field) ||
         refuse(error, "'%s' is not an octal number up to %04" G_GINT64_MODIFIER "o", text,
                option->most);
}

static const ParseFunc parsers[] = {
    [OPTION_TEXT] = parse_text,
    [OPTION_WORD] = parse_word,
    [OPTION_COMMAND] = parse_command,
    [OPTION_PATH] = parse_path,
    [OPTION_SECRET_FILE] = parse_secret_file,
    [OPTION_IMAP] = parse_imap,
    [OPTION_POP3] = parse_pop3,
    [OPTION_SMTP] = parse_smtp,
    [OPTION_ADDRESS] = parse_address,
    [OPTION_FILE_NAME] = parse_file_name,
    [OPTION_GLOBS] = parse_globs,
    [OPTION_CHOICE] = parse_choice,
    [OPTION_SWITCH] = parse_switch,
    [OPTION_COUNT] = parse_count,
    [OPTION_DURATION] = parse_duration,
    [OPTION_SIZE] = parse_size,
    [OPTION_OCTAL] = parse_octal,
};

static bool is_text(OptionKind kind) {
  return kind <= OPTION_FILE_NAME || kind == OPTION_CHOICE;
}

bool option_value_parse(const Option *option, const char *text, const char *directory, void *field,
                        GError **error) {
  bool may_be_unset =
      (is_text(option->kind) || option->kind == OPTION_GLOBS) && option->kind != OPTION_CHOICE;
  if (*text == '\0' && may_be_unset) {
    option_value_clear(option, field);
    return true;
  }
  bool is_path = option->kind == OPTION_PATH || option->kind == OPTION_SECRET_FILE;
  if (!is_path && !g_utf8_validate(text, -1, NULL)) return refuse(error, "is not UTF-8");
  if (has_control(text) && option->kind != OPTION_COMMAND)
    return refuse(error, "has a control character in its value");
  return parsers[option->kind](option, text, directory, field, error);
}

void option_value_clear(const Option *option, void *field) {
  if (is_text(option->kind))
    g_clear_pointer((char **)field, g_free);
  else if (option->kind == OPTION_GLOBS)
    g_clear_pointer((char ***)field, g_strfreev);
}
