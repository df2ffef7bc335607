#include "cache/letter_mime.h"

#include <string.h>

#define DEPTH_MAX 100
#define HEADER_MAX (64u << 10)
#define TEXTS_MAX 1000

static const char outside[] = "outside of all parts";

typedef struct {
  char *boundary;
  size_t length;
  bool is_sealed;  // it or one around it
  bool is_digest;
} Level;

struct LetterMime {
  GArray *levels;  // of Level: the multiparts around the line, the innermost last
  bool in_header;
  bool in_message;     // the header is a message's
  bool in_digest;      // its part stands in a digest
  GString *header;     // its lines so far
  uint64_t header_at;  // in the file
  LetterPart part;     // whose body the line is of
  uint64_t body_at;
  bool is_letter;  // it is the whole letter
  bool is_long;    // it has a line that is too long
  GArray *texts;   // of LetterText
};

static void clear_level(void *data) {
  Level *level = data;
  g_free(level->boundary);
}

static void clear_text(void *data) {
  LetterText *text = data;
  letter_part_clear(&text->part);
}

static const Level *innermost(const LetterMime *mime) {
  unsigned depth = mime->levels->len;
  return depth > 0 ? &g_array_index(mime->levels, Level, depth - 1) : NULL;
}

static bool is_sealed(const LetterMime *mime) {
  const Level *level = innermost(mime);
  return level != NULL && level->is_sealed;
}

static void begin_header(LetterMime *mime, uint64_t at, bool is_message) {
  const Level *level = innermost(mime);
  mime->in_header = true;
  mime->in_message = is_message;
  mime->in_digest = !is_message && level != NULL && level->is_digest;
  mime->header_at = at;
  g_string_truncate(mime->header, 0);
}

static void set_opaque(LetterMime *mime, const char *why) {
  letter_part_clear(&mime->part);
  mime->part.why = why;
}

static void begin_multipart(LetterMime *mime) {
  LetterPart *part = &mime->part;
  if (mime->levels->len >= DEPTH_MAX) {
    set_opaque(mime, "in parts that are nested too deep");
    return;
  }
  Level level = {.boundary = g_steal_pointer(&part->boundary),
                 .is_sealed = part->is_sealed || is_sealed(mime),
                 .is_digest = part->is_digest};
  level.length = strlen(level.boundary);
  g_array_append_val(mime->levels, level);
  set_opaque(mime, outside);
}

// Its body begins at `at`.
static void begin_part(LetterMime *mime, LetterPart part, uint64_t at) {
  letter_part_clear(&mime->part);
  mime->part = part;
  mime->body_at = at;
  mime->in_header = false;
  if (part.kind == LETTER_PART_MULTIPART)
    begin_multipart(mime);
  else if (part.kind == LETTER_PART_MESSAGE)
    begin_header(mime, at, true);
  else if (is_sealed(mime))
    set_opaque(mime, "in what is signed or encrypted");
}

LetterMime *letter_mime_new(const LetterHeader *header, const char *bytes, uint64_t start) {
  LetterMime *mime = g_new0(LetterMime, 1);
  mime->levels = g_array_new(false, false, sizeof(Level));
  g_array_set_clear_func(mime->levels, clear_level);
  mime->texts = g_array_new(false, false, sizeof(LetterText));
  g_array_set_clear_func(mime->texts, clear_text);
  mime->header = g_string_new(NULL);
  begin_part(mime, letter_part_read(header, bytes, 0, true, false), start);
  mime->is_letter = mime->part.kind == LETTER_PART_TEXT;
  return mime;
}

void letter_mime_free(LetterMime *mime) {
  if (mime == NULL) return;
  letter_part_clear(&mime->part);
  g_array_unref(mime->levels);
  g_array_unref(mime->texts);
  g_string_free(mime->header, true);
  g_free(mime);
}

static void end_part(LetterMime *mime, uint64_t end) {
  if (mime->is_long) {
    LetterText text = {mime->part, mime->body_at, end, mime->is_letter};
    g_array_append_val(mime->texts, text);
    mime->part = (LetterPart){0};
  }
  mime->is_long = mime->is_letter = mime->in_header = false;
  set_opaque(mime, outside);
}

static bool is_boundary(const Level *level, const char *line, size_t length, bool *closes) {
  if (length < 2 + level->length || memcmp(line + 2, level->boundary, level->length) != 0)
    return false;
  const char *rest = line + 2 + level->length, *end = line + length;
  *closes = end - rest >= 2 && rest[0] == '-' && rest[1] == '-';
  if (*closes) rest += 2;
  while (rest < end && (*rest == ' ' || *rest == '\t'))
    rest++;
  return rest == end;
}

// The number of the multipart that the line divides or closes, from 1; 0: it is no boundary. An
// inner one that is still open then ends unclosed.
static unsigned find_boundary(const LetterMime *mime, const char *line, size_t length,
                              bool *closes) {
  if (length < 3 || line[0] != '-' || line[1] != '-') return 0;
  for (unsigned depth = mime->levels->len; depth > 0; depth--)
    if (is_boundary(&g_array_index(mime->levels, Level, depth - 1), line, length, closes))
      return depth;
  return 0;
}

static LetterHeader *scan_header(const GString *text) {
  if (text->len == 0) return letter_header_new();
  return text->len < HEADER_MAX ? letter_header_scan(text->str, text->len, NULL) : NULL;
}

static void end_header(LetterMime *mime, uint64_t body_at) {
  g_autoptr(LetterHeader) header = scan_header(mime->header);
  LetterPart part = letter_part_read(header, mime->header->str, mime->header_at, mime->in_message,
                                     mime->in_digest);
  begin_part(mime, part, body_at);
}

const char *letter_mime_line(LetterMime *mime, uint64_t offset, const char *line, uint64_t size,
                             uint64_t length) {
  bool closes = false, is_long = length > LETTER_LINE_MAX;
  unsigned depth = is_long ? 0 : find_boundary(mime, line, length, &closes);
  if (depth > 0) {
    end_part(mime, offset);
    g_array_set_size(mime->levels, closes ? depth - 1 : depth);
    if (!closes) begin_header(mime, offset + size, false);
  } else if (mime->in_header) {
    if (is_long) return "in a header";
    if (length == 0)
      end_header(mime, offset + size);
    else if (mime->header->len < HEADER_MAX)
      g_string_append_len(mime->header, line, (gssize)size);
  } else if (is_long) {
    if (mime->part.kind != LETTER_PART_TEXT) return mime->part.why;
    if (mime->texts->len >= TEXTS_MAX) return "in one of too many parts with such lines";
    mime->is_long = true;
  }
  return NULL;
}

const GArray *letter_mime_end(LetterMime *mime, uint64_t end) {
  end_part(mime, end);
  return mime->texts;
}
