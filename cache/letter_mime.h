// Follows a letter's MIME structure line by line, to tell in which part each line stands. Knows the
// boundaries of the multiparts that are open, at most 100, the header that is being read, at most
// 64 KiB of it, and at most 1,000 texts with lines that are too long; what goes beyond is opaque.
// Nothing here recurses.
#pragma once

#include "cache/letter_part.h"

// RFC 5322 section 2.1.1, without the line end.
#define LETTER_LINE_MAX 998
// How much of a line letter_mime_line wants to see.
#define LETTER_LINE_SEEN 1024

// A text with a line that is too long: its body is bytes [start, end) of the file, whole lines.
typedef struct {
  LetterPart part;
  uint64_t start, end;
  bool is_letter;  // it is the letter's whole body
} LetterText;

typedef struct LetterMime LetterMime;

// `header` is the letter's own, of which `bytes` are; `start` is where its body begins.
LetterMime *letter_mime_new(const LetterHeader *header, const char *bytes, uint64_t start);
void letter_mime_free(LetterMime *mime);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LetterMime, letter_mime_free)

// A line of the body stands at `offset`: `size` bytes with its line end, `length` without; `line`
// has the first LETTER_LINE_SEEN of them. NULL, or where in the letter it stands that no line may
// be so long: "in a header".
const char *letter_mime_line(LetterMime *mime, uint64_t offset, const char *line, uint64_t size,
                             uint64_t length);
// The file ends. The texts with such lines (of LetterText), in order; they stay the LetterMime's.
const GArray *letter_mime_end(LetterMime *mime, uint64_t end);
