#include <string.h>

#include "cache/name.h"
#include "net/imap_utf7.h"

// Between a cut name and the hash of the raw one. An escape never begins like this.
#define MARK "%~"
#define HASH_DIGITS 16

// As a file name, but of any length.
static GString *escape(const char *raw) {
  g_autofree char *decoded = imap_utf7_decode(raw);
  GString *name = g_string_new(NULL);
  for (const char *at = decoded != NULL ? decoded : raw; *at != '\0'; at++) {
    bool held = *at != '/' && *at != '%' && (*at != '&' || decoded != NULL);
    if (held)
      g_string_append_c(name, *at);
    else
      g_string_append_printf(name, "%%%02X", (unsigned char)*at);
  }
  return name;
}

// All bytes of the first character, so that what was UTF-8 still is.
static void escape_first(GString *name) {
  g_autoptr(GString) escaped = g_string_new(NULL);
  size_t size = 0;
  do {
    g_string_append_printf(escaped, "%%%02X", (unsigned char)name->str[size]);
    size++;
  } while (((unsigned char)name->str[size] & 0xC0) == 0x80);
  g_string_erase(name, 0, (gssize)size);
  g_string_prepend(name, escaped->str);
}

static bool is_like_a_message(const char *name) {
  size_t suffix = strlen(".eml");
  size_t size = strlen(name);
  return size > suffix && g_str_has_suffix(name, ".eml") &&
         g_ascii_isdigit(name[size - suffix - 1]);
}

static bool is_reserved(const char *name, const char *reserved) {
  return reserved != NULL && strcmp(name, reserved) == 0;
}

// Where to cut at most `max` bytes: in no UTF-8 character and in no escape.
static size_t cut_at(const char *name, size_t max) {
  size_t size = max;
  while (size > 0 && ((unsigned char)name[size] & 0xC0) == 0x80)
    size--;
  if (size >= 1 && name[size - 1] == '%') return size - 1;
  if (size >= 2 && name[size - 2] == '%') return size - 2;
  return size;
}

static void mark(GString *name, const char *raw) {
  size_t room = NAME_FOLDER_MAX - strlen(MARK) - HASH_DIGITS;
  if (name->len > room) g_string_truncate(name, cut_at(name->str, room));
  g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, raw, -1);
  g_string_append(name, MARK);
  g_string_append_len(name, hash, HASH_DIGITS);
}

char *name_folder(const char *raw, const char *reserved) {
  GString *name = escape(raw);
  bool special = strcmp(name->str, ".") == 0 || strcmp(name->str, "..") == 0;
  bool clashes = is_reserved(name->str, reserved) || is_like_a_message(name->str);
  // One that begins with an escape already would look like another folder's if that were escaped.
  if ((special || clashes) && name->str[0] != '%') escape_first(name);
  if (name->len == 0 || name->len > NAME_FOLDER_MAX || is_reserved(name->str, reserved))
    mark(name, raw);
  return g_string_free(name, FALSE);
}

char *name_folder_distinct(const char *raw) {
  GString *name = escape(raw);
  mark(name, raw);
  return g_string_free(name, FALSE);
}

char **name_folder_levels(const char *server_name, char delimiter) {
  const char separator[2] = {delimiter, '\0'};
  return g_strsplit(server_name, delimiter != '\0' ? separator : "/", delimiter != '\0' ? -1 : 1);
}

char *name_folder_display(const char *raw) {
  char *decoded = imap_utf7_decode(raw);
  return decoded != NULL ? decoded : g_utf8_make_valid(raw, -1);
}

// The one folder whose name has no case.
static char *with_inbox(const char *path) {
  size_t length = strlen("INBOX");
  bool is_inbox = g_ascii_strncasecmp(path, "INBOX", length) == 0 &&
                  (path[length] == '\0' || path[length] == '/');
  return g_strconcat(is_inbox ? "INBOX" : "", path + (is_inbox ? length : 0), NULL);
}

bool name_folder_wanted(const char *path, const char *const *globs) {
  g_autofree char *name = with_inbox(path);
  bool wanted = false;
  bool only_excluding = true;
  for (size_t i = 0; globs != NULL && globs[i] != NULL; i++) {
    bool excludes = globs[i][0] == '!';
    g_autofree char *glob = with_inbox(globs[i] + excludes);
    bool matches = g_pattern_match_simple(glob, name);
    if (matches && excludes) return false;
    only_excluding = only_excluding && excludes;
    wanted = wanted || matches;
  }
  return wanted || only_excluding;
}
