// What an ImapParser tells of a stream, as text, for tests that compare it: the text must not
// depend on how the stream was cut.
#pragma once

#include <stddef.h>

#include "net/imap_response.h"

// Feeds the stream in pieces of 1 to `max_piece` bytes, chosen by `seed`; 0: all at once. A line an
// event, to be freed:
//
//   * 12 FETCH (UID 7 FLAGS (\Seen) RFC822.SIZE NIL "text" <too long>)
//   begin BODY[] of * 12 FETCH (UID 7 BODY[]), then the bytes and `end`, each on its own line
//   range 4:18, then as a value `<set>`
//   a1 NO [INUSE] {value} text
//   BAD * 12 FETCH (UID 7)
//   FATAL
char *imap_events_print(const ImapLimits *limits, const char *bytes, size_t size, size_t max_piece,
                        unsigned seed);
