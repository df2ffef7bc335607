// A DotStuffer writes a message as SMTP's DATA wants it (RFC 5321 4.5.2): a dot at the beginning of
// a line is doubled, and a line holding one dot ends it all. It takes the message in pieces, cut
// anywhere. A line break that is not CRLF becomes one (RFC 5321 2.3.8): no server downstream can
// be made to see an end of data, and then another command, where this one sees text.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

typedef struct {
  enum { DOT_STUFF_LINE_START, DOT_STUFF_TEXT, DOT_STUFF_CR } state;  // zeroed: the beginning
} DotStuffer;

// Appends the stuffed bytes to `out`.
void dot_stuffer_add(DotStuffer *stuffer, GByteArray *out, const char *bytes, size_t size);
// Appends what ends the message: its last line's CRLF if that is missing, and the final dot.
void dot_stuffer_end(DotStuffer *stuffer, GByteArray *out);
