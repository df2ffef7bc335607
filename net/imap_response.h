// An ImapParser turns the bytes of an IMAP server into responses (RFC 3501 sections 7 and 9). It is
// a pure machine over an ImapLexer: bytes are fed as they arrive, cut anywhere, and events taken
// until it asks for more. Its memory is taken at creation and does not grow; message bodies, the
// string behind a `BODY[...]` item of a FETCH, pass through it and are never kept; nor are the UIDs
// of SEARCH, ESEARCH ALL and VANISHED, which may be as many as a folder has messages.
//
//   feed ─> next ─> RESPONSE                                     a whole line, as values
//                   BODY_BEGIN ─> BODY_BYTES ... ─> BODY_END     on the way to its RESPONSE
//                   RANGE ...                                    likewise
//                   BAD      the line was not IMAP; it was skipped, the next one is read as usual
//                   MORE ─> feed
//                   FATAL    nothing more can be read from this stream
//
// No I/O, no clock; any one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "net/imap_tree.h"
#include "net/uid_set.h"

typedef struct ImapParser ImapParser;

typedef struct {
  size_t response_bytes;   // all values of one response; a list that goes on beyond is BAD
  size_t string_bytes;     // one string; a longer one is read over and told as IMAP_TOO_LONG
  size_t atom_bytes;       // one atom; a longer one is BAD. Text of a status response is cut there
  uint64_t literal_bytes;  // what a literal may announce, bodies too; beyond is FATAL
  unsigned depth;          // lists within lists; deeper is BAD
} ImapLimits;

extern const ImapLimits imap_default_limits;

// One line of the server. `* 12 FETCH (UID 7)` has tag "*", number 12, name "FETCH" and one value;
// `a1 NO [INUSE] Busy` has tag "a1", name "NO", code "INUSE" and text "Busy".
typedef struct {
  const char *tag;          // "*" untagged, "+" continuation; NULL only if BAD came that early
  int64_t number;           // -1: none
  const char *name;         // in upper case; NULL for a continuation
  const ImapValue *values;  // the first; NULL: none. Always NULL where there is text
  // Status responses (OK NO BAD BYE PREAUTH) and continuations; else all NULL.
  const char *text;        // as the server wrote it
  const char *code;        // in upper case; NULL: none
  const char *code_value;  // what stands behind the code within the brackets; "" for nothing
} ImapResponse;

typedef enum {
  IMAP_EVENT_MORE,
  IMAP_EVENT_RESPONSE,
  IMAP_EVENT_BODY_BEGIN,  // `response` as far as it came; its newest value names the item
  IMAP_EVENT_BODY_BYTES,
  IMAP_EVENT_BODY_END,
  IMAP_EVENT_RANGE,  // of UIDs: `response` as far as it came
  IMAP_EVENT_BAD,    // `response` as far as it came; a body that began without END is incomplete
  IMAP_EVENT_FATAL,
} ImapEventType;

// Everything lives until the next call.
typedef struct {
  ImapEventType type;
  const ImapResponse *response;  // RESPONSE, BAD, BODY_BEGIN, RANGE
  const char *item;              // BODY_BEGIN: "BODY[]"
  const char *bytes;             // BODY_BYTES: within what was fed
  size_t size;
  UidRange range;  // RANGE
} ImapEvent;

ImapParser *imap_parser_new(const ImapLimits *limits);
void imap_parser_free(ImapParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapParser, imap_parser_free)

// Lends `size` bytes until MORE is answered; only then may it be called again.
void imap_parser_feed(ImapParser *parser, const char *bytes, size_t size);
ImapEvent imap_parser_next(ImapParser *parser);
// Takes back what was fed and is not read yet, after a RESPONSE: the stream goes on in another
// form.
const char *imap_parser_take_rest(ImapParser *parser, size_t *size);
