#include "cache/mime.h"
#include "cache/name.h"

// GMime copes with what senders really do: words split inside a character, spaces in them, text
// stuck to them, bytes that are not of the charset they claim.
static char *decode(const char *raw) {
  GMimeParserOptions *options = mime_options_new();
  g_autofree char *text = mime_without_locale_charsets(raw);
  g_autofree char *decoded = g_mime_utils_header_decode_text(options, text);
  g_mime_parser_options_free(options);
  return g_utf8_make_valid(decoded, -1);
}

// Bidirectional controls among them: they would rewrite the line they are printed in.
static bool is_control(gunichar c) {
  GUnicodeType type = g_unichar_type(c);
  bool turns = c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
               (c >= 0x2066 && c <= 0x2069);
  return turns || type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR ||
         type == G_UNICODE_PARAGRAPH_SEPARATOR;
}

// Most header text is: there is nothing in it to decode or to leave out.
static bool is_plain(const char *raw) {
  for (const char *at = raw; *at != '\0'; at++)
    if (*at < ' ' || *at > '~' || (at[0] == '=' && at[1] == '?')) return false;
  return true;
}

char *name_header_text(const char *raw) {
  if (raw == NULL) return NULL;
  if (is_plain(raw)) return g_strdup(raw);
  g_autofree char *decoded = decode(raw);
  GString *text = g_string_new(NULL);
  bool gap = false;
  for (const char *at = decoded; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);
    if (is_control(c)) {
      gap = true;
      continue;
    }
    // A folded line's end is one gap with the space that follows it.
    if (gap && c != ' ' && text->len > 0) g_string_append_c(text, ' ');
    gap = false;
    g_string_append_unichar(text, c);
  }
  return g_string_free(text, FALSE);
}
