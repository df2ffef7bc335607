#include "cache/letter_header.h"

#include <string.h>

#include "cache/letter.h"

static size_t line_end(const char *bytes, size_t size, size_t start) {
  const char *newline = memchr(bytes + start, '\n', size - start);
  return newline != NULL ? (size_t)(newline - bytes) + 1 : size;
}

static bool is_blank(const char *bytes, size_t start, size_t end) {
  size_t length = end - start;
  return (length == 1 && bytes[start] == '\n') ||
         (length == 2 && bytes[start] == '\r' && bytes[start + 1] == '\n');
}

static bool is_white(char c) {
  return c == ' ' || c == '\t';
}

bool letter_header_is_whole(const char *bytes, size_t size) {
  for (size_t start = 0; start < size;) {
    size_t end = line_end(bytes, size, start);
    if (is_blank(bytes, start, end)) return true;
    start = end;
  }
  return false;
}

// "From alice Mon Nov 23 03:43:00 2026", quoted by a ">" or not; but "From : alice@x.org" is a
// field in the way of RFC 5322 section 4.5.
static bool is_mbox_line(const char *bytes, size_t start, size_t end) {
  size_t at = start;
  if (at < end && bytes[at] == '>') at++;
  if (end - at < 5 || memcmp(bytes + at, "From ", 5) != 0) return false;
  at += 5;
  while (at < end && is_white(bytes[at]))
    at++;
  return at == end || bytes[at] != ':';
}

static size_t skip_mbox_lines(const char *bytes, size_t size) {
  size_t start = 0;
  while (start < size) {
    size_t end = line_end(bytes, size, start);
    if (!is_mbox_line(bytes, start, end)) break;
    start = end;
  }
  return start;
}

// Printable ASCII but the colon, then white space that is no part of the name, then the colon.
static bool scan_name(const char *bytes, size_t end, LetterField *field) {
  size_t at = field->start;
  while (at < end && bytes[at] > ' ' && bytes[at] < 127 && bytes[at] != ':')
    at++;
  field->name_length = at - field->start;
  while (at < end && is_white(bytes[at]))
    at++;
  field->value = at + 1;
  return field->name_length > 0 && at < end && bytes[at] == ':';
}

static bool scan_line(LetterHeader *header, const char *bytes, size_t start, size_t end) {
  GArray *fields = header->fields;
  if (is_white(bytes[start])) {
    if (fields->len == 0) return false;
    g_array_index(fields, LetterField, fields->len - 1).end = end;
    return true;
  }
  LetterField field = {.start = start, .end = end};
  if (!scan_name(bytes, end, &field)) return false;
  g_array_append_val(fields, field);
  return true;
}

static bool scan_lines(LetterHeader *header, const char *bytes, size_t size, GError **error) {
  unsigned line = 1;
  for (size_t i = 0; i < header->start; i++)
    if (bytes[i] == '\n') line++;
  size_t at = header->start;
  while (at < size) {
    size_t end = line_end(bytes, size, at);
    if (is_blank(bytes, at, end)) break;
    if (!scan_line(header, bytes, at, end)) {
      g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID,
                  header->fields->len == 0
                      ? "it does not begin with a header: line %u is no header field"
                      : "line %u is no header field, nor the empty line that ends the header",
                  line);
      return false;
    }
    at = end;
    line++;
  }
  header->end = at;
  if (header->fields->len > 0) return true;
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "it has no header");
  return false;
}

LetterHeader *letter_header_new(void) {
  LetterHeader *header = g_new0(LetterHeader, 1);
  header->fields = g_array_new(false, false, sizeof(LetterField));
  return header;
}

LetterHeader *letter_header_scan(const char *bytes, size_t size, GError **error) {
  g_autoptr(LetterHeader) header = letter_header_new();
  header->start = skip_mbox_lines(bytes, size);
  if (!scan_lines(header, bytes, size, error)) return NULL;
  if (memchr(bytes, '\0', header->end) != NULL) {
    g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its header contains a NUL byte");
    return NULL;
  }
  return g_steal_pointer(&header);
}

size_t letter_header_body(const LetterHeader *header, const char *bytes, size_t size) {
  return header->end < size ? line_end(bytes, size, header->end) : size;
}

void letter_header_free(LetterHeader *header) {
  if (header == NULL) return;
  g_array_unref(header->fields);
  g_free(header);
}

bool letter_field_is(const char *bytes, const LetterField *field, const char *name) {
  return strlen(name) == field->name_length &&
         g_ascii_strncasecmp(bytes + field->start, name, field->name_length) == 0;
}

const LetterField *letter_header_find(const LetterHeader *header, const char *bytes,
                                      const char *name) {
  for (unsigned i = 0; i < header->fields->len; i++) {
    const LetterField *field = &g_array_index(header->fields, LetterField, i);
    if (letter_field_is(bytes, field, name)) return field;
  }
  return NULL;
}

char *letter_field_value(const char *bytes, const LetterField *field) {
  char *value = g_strndup(bytes + field->value, field->end - field->value);
  g_strdelimit(value, "\r\n", ' ');
  return g_strstrip(value);
}
