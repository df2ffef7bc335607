#include "net/dot_stuff.h"

#include <string.h>

static void append(GByteArray *out, const char *bytes, size_t size) {
  g_byte_array_append(out, (const guint8 *)bytes, (guint)size);
}

// How many bytes from here on are neither a line break nor special.
static size_t plain_run(const char *bytes, size_t size) {
  size_t run = 0;
  while (run < size && bytes[run] != '\r' && bytes[run] != '\n')
    run++;
  return run;
}

void dot_stuffer_add(DotStuffer *stuffer, GByteArray *out, const char *bytes, size_t size) {
  for (size_t i = 0; i < size;) {
    if (stuffer->state == DOT_STUFF_CR || bytes[i] == '\n') {
      // The break is written once its kind is known: CRLF, a lone CR, a lone LF are all one.
      append(out, "\r\n", 2);
      stuffer->state = DOT_STUFF_LINE_START;
      if (bytes[i] == '\n') i++;
    } else if (bytes[i] == '\r') {
      stuffer->state = DOT_STUFF_CR;
      i++;
    } else {
      if (stuffer->state == DOT_STUFF_LINE_START && bytes[i] == '.') append(out, ".", 1);
      size_t run = plain_run(bytes + i, size - i);
      append(out, bytes + i, run);
      stuffer->state = DOT_STUFF_TEXT;
      i += run;
    }
  }
}

void dot_stuffer_end(DotStuffer *stuffer, GByteArray *out) {
  if (stuffer->state != DOT_STUFF_LINE_START) append(out, "\r\n", 2);
  append(out, ".\r\n", 3);
  stuffer->state = DOT_STUFF_LINE_START;
}
