// What a Letter holds: shared by the files letter*.c only.
#pragma once

#include "cache/letter.h"

// Bytes [start, end) of the file that are not sent: whole lines.
typedef struct {
  uint64_t start, end;
  uint64_t line, lines;  // the first one's number, from 1; how many
} LetterCut;

struct Letter {
  char *from;
  GPtrArray *recipients;  // of char *, NULL-terminated
  char *prefix;           // header lines put in front, with CRLF
  GArray *cuts;           // of LetterCut, rising
  uint64_t size;
  bool has_8bit, needs_utf8;
};
