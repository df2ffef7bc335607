// Who sends a letter and who gets it, as its header and those who hand it over say.
#pragma once

#include <glib.h>

#include "cache/letter.h"
#include "cache/letter_header.h"

// LetterDefaults.from, in an error.
#define LETTER_OWN_ADDRESS "account's own address"

// The newest Resent block (RFC 5322 section 3.6.6): fields [first, last) of a header, lines that
// follow each other. A letter with one is sent on by somebody else; what stands below belongs to
// those who had it before. None: both are 0.
typedef struct {
  unsigned first, last;
} LetterBlock;

LetterBlock letter_find_resent(const LetterHeader *header, const char *bytes);
// The block's first field of that name; NULL: none.
const LetterField *letter_block_find(LetterBlock block, const LetterHeader *header,
                                     const char *bytes, const char *name);

// The envelope's recipients (of char *), each once, in order: those of `defaults`, or of To, Cc
// and Bcc, or only of `resent` if there is such a block. LETTER_ERROR_INVALID: none, too many, or
// broken.
GPtrArray *letter_envelope_recipients(const LetterHeader *header, const char *bytes,
                                      LetterBlock resent, const LetterDefaults *defaults,
                                      GError **error);
// The envelope's sender: that of `defaults`; else Resent-Sender or Resent-From where there is such
// a block; else Sender or From, the first of these that is there; else the account's own address.
// LETTER_ERROR_INVALID: that one is broken.
char *letter_envelope_from(const LetterHeader *header, const char *bytes, LetterBlock resent,
                           const LetterDefaults *defaults, GError **error);
