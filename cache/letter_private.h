// What a Letter holds: shared by the files letter*.c only.
#pragma once

#include "cache/letter.h"
#include "cache/letter_envelope.h"
#include "cache/letter_header.h"

// What is given out differently from how it stands in the file: bytes [start, end), whole lines.
typedef struct {
  uint64_t start, end;  // equal: something is put in between only
  char *text;           // given out first, with CRLF line ends; NULL: nothing
  bool is_hidden;       // not sent, but in the copy it stays
  bool encodes;         // given out quoted-printable; else it falls away
} LetterEdit;

struct Letter {
  char *from;
  GPtrArray *recipients;  // of char *, NULL-terminated
  const char *id_field;
  char *id;
  GArray *edits;  // of LetterEdit, rising by start, then end; they do not overlap
  uint64_t size, copy_size;
  bool has_8bit, needs_utf8;
};

// Takes ownership of `edit.text`.
void letter_add_edit(Letter *letter, LetterEdit edit);
// Adds the edits that a letter's header needs: what must not be seen falls away, what it lacks is
// put in. LETTER_ERROR_INVALID: the account's own address is no address, and would be needed.
bool letter_complete(Letter *letter, const LetterHeader *header, const char *bytes,
                     LetterBlock resent, const LetterDefaults *defaults, GError **error);

// Like pread, but tries again when interrupted: LETTER_ERROR_IO.
ssize_t letter_pread(int fd, void *buffer, size_t size, uint64_t offset, GError **error);
