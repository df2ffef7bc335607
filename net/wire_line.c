#include "net/wire_line.h"

#include <string.h>

#include <glib.h>

#define PRINTABLE_MAX_BYTES 1000
#define STRUCK_OUT "***"

static size_t without_line_end(const char *bytes, size_t size) {
  while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r'))
    size--;
  return size;
}

char *wire_line_printable(const char *bytes, size_t size) {
  size = without_line_end(bytes, size);
  GString *line = g_string_sized_new(MIN(size, PRINTABLE_MAX_BYTES));
  for (size_t i = 0; i < size;) {
    gunichar character = g_utf8_get_char_validated(bytes + i, (gssize)(size - i));
    bool is_valid = character != (gunichar)-1 && character != (gunichar)-2 && character != 0;
    size_t width = is_valid ? (size_t)g_unichar_to_utf8(character, NULL) : 1;
    if (line->len + width > PRINTABLE_MAX_BYTES) break;
    if (is_valid && g_unichar_isspace(character))
      g_string_append_c(line, ' ');
    else if (is_valid && g_unichar_isprint(character))
      g_string_append_len(line, bytes + i, (gssize)width);
    else
      g_string_append_c(line, '?');
    i += width;
  }
  return g_string_free(line, FALSE);
}

static size_t word_end(const char *bytes, size_t size, size_t at) {
  while (at < size && bytes[at] != ' ' && bytes[at] != '\r' && bytes[at] != '\n')
    at++;
  return at;
}

static bool is_login_word(const char *word, size_t length) {
  static const char *const words[] = {"AUTH", "AUTHENTICATE", "LOGIN", "PASS", "APOP"};
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
    if (strlen(words[i]) == length && g_ascii_strncasecmp(words[i], word, length) == 0) return true;
  }
  return false;
}

// Where the word of a login ends in the line, 0 if it is none.
static size_t login_end(const char *bytes, size_t size) {
  size_t first = word_end(bytes, size, 0);
  if (is_login_word(bytes, first)) return first;
  if (first == size || bytes[first] != ' ') return 0;
  size_t second = word_end(bytes, size, first + 1);
  return is_login_word(bytes + first + 1, second - first - 1) ? second : 0;
}

static bool begins_with(const char *bytes, size_t size, const char *word) {
  size_t length = strlen(word);
  return size >= length && g_ascii_strncasecmp(bytes, word, length) == 0;
}

// How much of what is sent to an HTTP proxy may be shown.
static size_t proxy_end(const char *bytes, size_t size) {
  static const char field[] = "authorization:";
  if (begins_with(bytes, size, "CONNECT ")) {
    const char *line_end = memchr(bytes, '\n', size);
    return line_end != NULL ? (size_t)(line_end - bytes) + 1 : size;
  }
  for (size_t i = 0; i < size; i++) {
    if (begins_with(bytes + i, size - i, field)) return i + strlen(field);
  }
  return size;
}

bool wire_line_is_login(const char *bytes, size_t size) {
  return login_end(bytes, size) > 0;
}

char *wire_line_redacted(const char *bytes, size_t size, bool in_login) {
  size_t shown = login_end(bytes, size);
  if (shown == 0 && in_login) return g_strdup(STRUCK_OUT);
  if (shown == 0) shown = proxy_end(bytes, size);
  g_autofree char *start = wire_line_printable(bytes, shown);
  bool is_whole = without_line_end(bytes, size) <= shown;
  return is_whole ? g_steal_pointer(&start) : g_strconcat(start, " " STRUCK_OUT, NULL);
}
