// What a Letter holds: shared by the files letter*.c only.
#pragma once

#include "cache/letter.h"

// Bytes [start, end) of the file that are not sent.
typedef struct {
  uint64_t start, end;
} LetterCut;

struct Letter {
  char *from;
  GPtrArray *recipients;  // of char *, NULL-terminated
  char *message_id;
  char *prefix;  // header lines put in front, with CRLF
  GArray *cuts;  // of LetterCut, rising
  uint64_t size;
  bool has_8bit, needs_utf8;
};
