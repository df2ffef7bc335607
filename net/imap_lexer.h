// An ImapLexer cuts the bytes of an IMAP server (RFC 3501 section 9) into tokens. It is a pure
// machine: bytes are fed as they arrive, cut anywhere, and tokens taken until it asks for more. It
// keeps no more than one unfinished atom or line of text; strings and sets pass through in pieces.
//
//   feed ─> next ─> ATOM | OPEN | CLOSE | EOL | TEXT
//                   STRING ─> PIECE ... ─> STRING_END
//                   RANGE ... ─> RANGE                     a set of UIDs, where one is expected
//                   BAD ─> imap_lexer_skip_line ─> EOL     one bad line is one bad line
//                   MORE ─> feed
//                   FATAL                                  the rest of the stream cannot be read
//
// More is accepted than the RFC allows, because servers send it: LF alone ends a line, any byte may
// stand in an atom or a string, a CR or a tab separates like a space.
// No I/O, no clock; any one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "net/uid_set.h"

typedef struct ImapLexer ImapLexer;

typedef enum {
  IMAP_TOKEN_MORE,    // all that was fed is used up
  IMAP_TOKEN_ATOM,    // bytes, size; `BODY[HEADER (A B)]<0>` is one atom
  IMAP_TOKEN_OPEN,    // (
  IMAP_TOKEN_CLOSE,   // )
  IMAP_TOKEN_STRING,  // a quoted string, literal or literal8 begins
  IMAP_TOKEN_PIECE,   // bytes, size: more of it, never empty
  IMAP_TOKEN_STRING_END,
  IMAP_TOKEN_RANGE,  // range: one of a set such as `41,43:116`
  IMAP_TOKEN_TEXT,   // bytes, size: the rest of a line, which is over
  IMAP_TOKEN_EOL,    // the line is over
  IMAP_TOKEN_BAD,    // not IMAP, or an atom over the limit: skip the line
  IMAP_TOKEN_FATAL,  // a literal over the limit
} ImapTokenType;

typedef struct {
  ImapTokenType type;
  const char *bytes;  // until the next call
  size_t size;
  UidRange range;
} ImapToken;

// Atoms beyond `max_atom` bytes are BAD, text is cut there; a literal that announces more than
// `max_literal` bytes is FATAL.
ImapLexer *imap_lexer_new(size_t max_atom, uint64_t max_literal);
void imap_lexer_free(ImapLexer *lexer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapLexer, imap_lexer_free)

// Lends `size` bytes until MORE is answered; only then may it be called again.
void imap_lexer_feed(ImapLexer *lexer, const char *bytes, size_t size);
ImapToken imap_lexer_next(ImapLexer *lexer);

// Where an atom with a digit at its start would begin, a set of UIDs does (RFC 7162 section 7:
// uid-set): it is told range by range, and may be of any length. Holds until it is called again.
void imap_lexer_expect_set(ImapLexer *lexer, bool is_expected);
// The next token is TEXT: what is left of the line, as it stands. Between tokens only.
void imap_lexer_take_line(ImapLexer *lexer);
// The next token is EOL: what is left of the line, with the literals announced at line ends, is
// dropped. After BAD, or between tokens.
void imap_lexer_skip_line(ImapLexer *lexer);
// Takes back what was fed and is not read yet, which becomes somebody else's: between tokens only.
// It lives as long as what was fed.
const char *imap_lexer_take_rest(ImapLexer *lexer, size_t *size);
