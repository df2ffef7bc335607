#include "cache/letter_lines.h"

#include <inttypes.h>
#include <string.h>

#include "cache/letter_mime.h"
#include "cache/letter_text.h"

typedef struct {
  const Letter *letter;
  LetterMime *mime;
  uint64_t body_at;
  uint64_t offset;  // of the line that is read, in the file
  uint64_t number;  // its own, from 1
  uint64_t size;    // so far, with its line end
  bool after_cr;
  unsigned edit;  // the first that does not lie before it
  size_t seen_size;
  char seen[LETTER_LINE_SEEN];
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
  const char *where = NULL;
  if (lines->offset >= lines->body_at)
    where = letter_mime_line(lines->mime, lines->offset, lines->seen, lines->size, length);
  else if (length > LETTER_LINE_MAX && !falls_away(lines))
    where = "in its header";
  if (where != NULL) {
    g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID,
                "line %" PRIu64 " is longer than %d bytes, %s", lines->number, LETTER_LINE_MAX,
                where);
    return false;
  }
  lines->offset += lines->size;
  lines->number++;
  lines->size = lines->seen_size = 0;
  lines->after_cr = false;
  return true;
}

static void see(Lines *lines, const char *bytes, size_t size) {
  size_t part = MIN(size, sizeof lines->seen - lines->seen_size);
  memcpy(lines->seen + lines->seen_size, bytes, part);
  lines->seen_size += part;
  lines->size += size;
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
  see(lines, bytes, size);
  return !ends || end_line(lines, lines->size - 1 - lines->after_cr, error);
}

static bool end_file(Lines *lines, GError **error) {
  if (lines->after_cr) return refuse(lines, "has a carriage return that ends no line", error);
  return lines->size == 0 || end_line(lines, lines->size, error);
}

static bool read_lines(Lines *lines, int fd, GError **error) {
  char buffer[16384];
  uint64_t offset = 0;
  ssize_t got;
  while ((got = letter_pread(fd, buffer, sizeof buffer, offset, error)) > 0) {
    size_t size;
    for (char *at = buffer; at < buffer + got; at += size) {
      size_t left = (size_t)(buffer + got - at);
      const char *newline = memchr(at, '\n', left);
      size = newline != NULL ? (size_t)(newline - at) + 1 : left;
      if (!add(lines, at, size, error)) return false;
    }
    offset += (uint64_t)got;
  }
  return got == 0 && end_file(lines, error);
}

static bool encode_texts(Letter *letter, int fd, const GArray *texts, GError **error) {
  for (unsigned i = 0; i < texts->len; i++)
    if (!letter_encode_text(letter, fd, &g_array_index(texts, LetterText, i), error)) return false;
  return true;
}

bool letter_check_lines(Letter *letter, int fd, const LetterHeader *header, const char *bytes,
                        size_t size, GError **error) {
  uint64_t body_at = letter_header_body(header, bytes, size);
  g_autoptr(LetterMime) mime = letter_mime_new(header, bytes, body_at);
  Lines lines = {.letter = letter, .mime = mime, .body_at = body_at, .number = 1};
  if (!read_lines(&lines, fd, error)) return false;
  return encode_texts(letter, fd, letter_mime_end(mime, lines.offset), error);
}
