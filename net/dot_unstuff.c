#include "net/dot_unstuff.h"

#include <string.h>

#include <glib.h>

bool dot_unstuffer_is_over(const DotUnstuffer *unstuffer) {
  return unstuffer->state == DOT_UNSTUFF_OVER;
}

// Notes the line feed at bytes[at]; true if it ends a line.
static bool take_line_feed(DotUnstuffer *unstuffer, const char *bytes, size_t at) {
  bool is_crlf = at > 0 ? bytes[at - 1] == '\r' : unstuffer->state == DOT_UNSTUFF_CR;
  if (unstuffer->line_end == DOT_UNSTUFF_UNKNOWN)
    unstuffer->line_end = is_crlf ? DOT_UNSTUFF_CRLF : DOT_UNSTUFF_LF;
  return is_crlf || unstuffer->line_end == DOT_UNSTUFF_LF;
}

// All up to a dot at the beginning of a line is one run.
static size_t take_text(DotUnstuffer *unstuffer, const char *bytes, size_t size) {
  for (size_t at = 0; at < size;) {
    const char *line_feed = memchr(bytes + at, '\n', size - at);
    if (line_feed == NULL) break;
    size_t next = (size_t)(line_feed - bytes) + 1;
    bool ends_line = take_line_feed(unstuffer, bytes, next - 1);
    if (ends_line && (next == size || bytes[next] == '.')) {
      unstuffer->state = DOT_UNSTUFF_LINE_START;
      return next;
    }
    at = next;
  }
  unstuffer->state = bytes[size - 1] == '\r' ? DOT_UNSTUFF_CR : DOT_UNSTUFF_TEXT;
  return size;
}

// A dot that is followed by anything but a dot or a line end was not put there by a server that
// doubles them: it is the message's.
static size_t take_behind_dot(DotUnstuffer *unstuffer, char byte, const char **run,
                              size_t *run_size) {
  bool is_line_feed = byte == '\n' && unstuffer->line_end != DOT_UNSTUFF_CRLF;
  if (byte == '\r' || is_line_feed) {
    unstuffer->state = byte == '\r' ? DOT_UNSTUFF_DOT_CR : DOT_UNSTUFF_OVER;
    return 1;
  }
  *run = ".";
  *run_size = 1;
  unstuffer->state = DOT_UNSTUFF_TEXT;
  return byte == '.' ? 1 : 0;
}

static size_t take_behind_dot_cr(DotUnstuffer *unstuffer, char byte, const char **run,
                                 size_t *run_size) {
  if (byte == '\n') {
    unstuffer->state = DOT_UNSTUFF_OVER;
    return 1;
  }
  *run = ".\r";
  *run_size = 2;
  unstuffer->state = DOT_UNSTUFF_TEXT;
  return 0;
}

size_t dot_unstuffer_take(DotUnstuffer *unstuffer, const char *bytes, size_t size, const char **run,
                          size_t *run_size) {
  g_assert(size > 0);
  *run = bytes;
  *run_size = 0;
  switch (unstuffer->state) {
    case DOT_UNSTUFF_OVER:
      return 0;
    case DOT_UNSTUFF_DOT:
      return take_behind_dot(unstuffer, *bytes, run, run_size);
    case DOT_UNSTUFF_DOT_CR:
      return take_behind_dot_cr(unstuffer, *bytes, run, run_size);
    case DOT_UNSTUFF_LINE_START:
      if (*bytes == '.') {
        unstuffer->state = DOT_UNSTUFF_DOT;
        return 1;
      }
      break;
    case DOT_UNSTUFF_TEXT:
    case DOT_UNSTUFF_CR:
      break;
  }
  *run_size = take_text(unstuffer, bytes, size);
  return *run_size;
}
