// Text as quoted-printable (RFC 2045 section 6.7), byte by byte: lines of at most 76 characters,
// hard line ends kept. A "-" that begins a line is encoded too, so that no line that is broken here
// can look like a MIME boundary. A value; begin with a zeroed one.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  unsigned column;
  char held;  // a blank that has to be encoded if the line ends behind it; 0: none
} LetterQuoted;

// Enough for what one call gives.
#define LETTER_QUOTED_MAX 16

// Takes the next byte of the text, whose lines end in LF or CRLF. Writes what is to be sent, with
// CRLF, and returns how much.
size_t letter_quoted_put(LetterQuoted *quoted, char byte, char out[LETTER_QUOTED_MAX]);
// The text ends; a line that lacks its end still lacks it.
size_t letter_quoted_end(LetterQuoted *quoted, char out[LETTER_QUOTED_MAX]);
