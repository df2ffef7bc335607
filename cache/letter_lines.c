#include "cache/letter_lines.h"

#include <inttypes.h>
#include <string.h>

// RFC 5322 section 2.1.1, without the line end.
#define LINE_MAX_BYTES 998

typedef struct {
  const Letter *letter;
  uint64_t offset;  // of the line that is read, in the file
  uint64_t number;  // its own, from 1
  uint64_t length;  // so far, with its line end
  bool after_cr;
  unsigned edit;  // the first that does not lie before it
} Lines;

static bool refuse(const Lines *lines, const char *what, GError **error) {
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "line %" PRIu64 " %s", lines->number,
              what);
  return false;
}

static bool falls_away(Lines *lines) {
  const GArray *edits = lines->letter->edits;
  for (; lines->edit < edits->len; lines->edit++) {
    const LetterEdit *edit = &g_array_index(edits, LetterEdit, lines->edit);
    if (edit->end > lines->offset) return edit->start <= lines->offset;
  }
  return false;
}

static bool end_line(Lines *lines, uint64_t length, GError **error) {
  if (length > LINE_MAX_BYTES && !falls_away(lines))
    return refuse(lines, "is longer than 998 bytes", error);
  lines->offset += lines->length;
  lines->number++;
  lines->length = 0;
  lines->after_cr = false;
  return true;
}

// `bytes` are of one line, up to its end if it is there.
static bool add(Lines *lines, const char *bytes, size_t size, GError **error) {
  bool ends = bytes[size - 1] == '\n';
  size_t text = size - ends;
  if (lines->after_cr && text > 0)
    return refuse(lines, "has a carriage return that ends no line", error);
  if (memchr(bytes, '\0', text) != NULL) return refuse(lines, "contains a NUL byte", error);
  const char *cr = memchr(bytes, '\r', text);
  if (cr != NULL && cr + 1 < bytes + text)
    return refuse(lines, "has a carriage return that ends no line", error);
  lines->after_cr |= cr != NULL;
  lines->length += size;
  return !ends || end_line(lines, lines->length - 1 - lines->after_cr, error);
}

static bool end_file(Lines *lines, GError **error) {
  if (lines->after_cr) return refuse(lines, "has a carriage return that ends no line", error);
  return lines->length == 0 || end_line(lines, lines->length, error);
}

bool letter_check_lines(const Letter *letter, int fd, GError **error) {
  Lines lines = {.letter = letter, .number = 1};
  char buffer[16384];
  uint64_t offset = 0;
  ssize_t got;
  while ((got = letter_pread(fd, buffer, sizeof buffer, offset, error)) > 0) {
    size_t size;
    for (char *at = buffer; at < buffer + got; at += size) {
      size_t left = (size_t)(buffer + got - at);
      const char *newline = memchr(at, '\n', left);
      size = newline != NULL ? (size_t)(newline - at) + 1 : left;
      if (!add(&lines, at, size, error)) return false;
    }
    offset += (uint64_t)got;
  }
  return got == 0 && end_file(&lines, error);
}
