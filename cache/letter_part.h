// What a part of a MIME message is, as far as its header says (RFC 2045, RFC 2046) and as far as
// matters for lines that are too long. Where readers may disagree on a header (a field twice, an
// unknown encoding), the part is opaque, and so stays as it is.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/letter_header.h"

typedef enum {
  LETTER_PART_OPAQUE,
  LETTER_PART_TEXT,       // not encoded yet
  LETTER_PART_MULTIPART,  // of the parts between its boundaries
  LETTER_PART_MESSAGE,    // its body is a message, with a header of its own
} LetterPartKind;

typedef struct {
  LetterPartKind kind;
  const char
      *why;  // OPAQUE: where a line stands that cannot be encoded: "in a part that is no text"
  char *boundary;  // MULTIPART
  bool is_digest;  // MULTIPART: its parts are messages if they do not say what they are
  bool is_sealed;  // MULTIPART: signed or encrypted, so that no byte within may change
  // TEXT, as offsets in the file: its Content-Transfer-Encoding field; both are `header_end`, where
  // a field can be put in, if it has none.
  uint64_t encoding_start, encoding_end, header_end;
  bool lacks_version,
      lacks_type;  // TEXT: it is a message without MIME-Version, without Content-Type
} LetterPart;

// `header` may be NULL: it is broken. Its bytes stand at `offset` in the file. `is_message`: it is
// a message's header, not a part's.
LetterPart letter_part_read(const LetterHeader *header, const char *bytes, uint64_t offset,
                            bool is_message, bool in_digest);
void letter_part_clear(LetterPart *part);
