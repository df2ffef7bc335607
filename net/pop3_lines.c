#include "net/pop3_lines.h"

#include <string.h>

static bool tell(Pop3Lines *self, GError **error) {
  if (self->length > 0 && self->line[self->length - 1] == '\r') self->length--;
  bool is_too_long = self->is_too_long || self->length > POP3_LINE_MAX;
  size_t length = is_too_long ? 0 : self->length;
  self->line[length] = '\0';
  self->length = 0;
  self->is_too_long = false;
  return self->func(is_too_long ? NULL : self->line, length, self->data, error);
}

bool pop3_lines_take(const char *bytes, size_t size, gpointer lines, GError **error) {
  Pop3Lines *self = lines;
  for (size_t at = 0; at < size;) {
    const char *line_feed = memchr(bytes + at, '\n', size - at);
    size_t end = line_feed != NULL ? (size_t)(line_feed - bytes) : size;
    size_t fits = MIN(end - at, POP3_LINE_MAX + 1 - self->length);
    memcpy(self->line + self->length, bytes + at, fits);
    self->length += fits;
    self->is_too_long |= fits < end - at;
    at = line_feed != NULL ? end + 1 : end;
    if (line_feed != NULL && !tell(self, error)) return false;
  }
  return true;
}
