// A DotUnstuffer reads what a POP3 server sends behind a +OK (RFC 1939 3) and gives the message as
// it was before: of two dots at the beginning of a line one is dropped, and a line that holds one
// dot ends it all. It takes the stream in pieces, cut anywhere, and keeps none of it.
//
// How the first line ends tells what a line end is: after a CRLF only CRLF is, so that no dot
// behind a bare LF within a message can be made to look like its end, and what follows like
// replies; after a bare LF each LF is, since there are servers that know no other.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  enum {
    DOT_UNSTUFF_LINE_START,
    DOT_UNSTUFF_TEXT,
    DOT_UNSTUFF_CR,      // the last byte told is a CR
    DOT_UNSTUFF_DOT,     // a dot at the beginning of a line was taken, and not told
    DOT_UNSTUFF_DOT_CR,  // and a CR behind it
    DOT_UNSTUFF_OVER,
  } state;  // zeroed: the beginning
  enum { DOT_UNSTUFF_UNKNOWN, DOT_UNSTUFF_CRLF, DOT_UNSTUFF_LF } line_end;
} DotUnstuffer;

// Takes bytes, and returns how many; perhaps none, but then it tells some. `*run` are bytes of the
// message, which live as long as `bytes`, perhaps none (`*run_size` 0). To be called until all are
// taken or the message is over: what is left then belongs to the next reply. `size` is not 0.
size_t dot_unstuffer_take(DotUnstuffer *unstuffer, const char *bytes, size_t size, const char **run,
                          size_t *run_size);
bool dot_unstuffer_is_over(const DotUnstuffer *unstuffer);
