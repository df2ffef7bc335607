#include "net/wire_trace.h"

#include <string.h>

#include "net/wire_line.h"

// A long line is kept as its beginning, to show, and its end, where a literal is announced.
#define HEAD_BYTES 1024
#define TAIL_BYTES 64

typedef struct {
  char arrow;
  GString *line;
  uint64_t literal_left;   // bytes of a literal still to pass
  uint64_t message_bytes;  // of the message that is passing after DATA
  bool in_message;
} Direction;

typedef struct {
  Wire wire;
  Wire *inner;
  char *name;
  Direction out, in;
  bool in_login;  // until the server's next line that is no challenge
  bool said_data;
} TraceWire;

// The size of the literal that the line announces at its end, `{123}` or `{123+}` (RFC 3501 4.3,
// RFC 7888); 0 if none.
static uint64_t literal_size(const GString *line) {
  const char *open = strrchr(line->str, '{');
  if (open == NULL) return 0;
  char *end = NULL;
  uint64_t size = g_ascii_strtoull(open + 1, &end, 10);
  if (*end == '+' || *end == '-') end++;
  return g_ascii_isdigit(open[1]) && strcmp(end, "}\r\n") == 0 ? size : 0;
}

// The size of the piece of a letter that follows `BDAT 123` (RFC 3030); 0 if none.
static uint64_t chunk_size(const GString *line) {
  bool is_chunk = g_ascii_strncasecmp(line->str, "BDAT ", 5) == 0;
  return is_chunk ? g_ascii_strtoull(line->str + 5, NULL, 10) : 0;
}

static void sent_line(TraceWire *trace, Direction *out) {
  GString *line = out->line;
  if (out->in_message) {
    if (strcmp(line->str, ".\r\n") != 0) return;
    out->in_message = false;
    g_debug("%s: > (message, %" G_GUINT64_FORMAT " bytes)", trace->name, out->message_bytes);
    return;
  }
  g_autofree char *shown = wire_line_redacted(line->str, line->len, trace->in_login);
  g_debug("%s: > %s", trace->name, shown);
  trace->in_login = trace->in_login || wire_line_is_login(line->str, line->len);
  trace->said_data = g_ascii_strcasecmp(line->str, "DATA\r\n") == 0;
}

static void received_line(TraceWire *trace, Direction *in) {
  g_autofree char *shown = wire_line_printable(in->line->str, in->line->len);
  g_debug("%s: < %s", trace->name, shown);
  bool is_challenge = in->line->str[0] == '+' || g_str_has_prefix(in->line->str, "334");
  if (!is_challenge) trace->in_login = false;
  if (!trace->said_data || !g_str_has_prefix(in->line->str, "354")) return;
  trace->said_data = false;
  trace->out.in_message = true;
  trace->out.message_bytes = 0;
}

static void line_done(TraceWire *trace, Direction *direction) {
  if (direction == &trace->out)
    sent_line(trace, direction);
  else
    received_line(trace, direction);
  direction->literal_left = direction->in_message ? 0 : literal_size(direction->line);
  if (direction == &trace->out && !direction->in_message && direction->literal_left == 0)
    direction->literal_left = chunk_size(direction->line);
  if (direction->literal_left > 0)
    g_debug("%s: %c (literal, %" G_GUINT64_FORMAT " bytes)", trace->name, direction->arrow,
            direction->literal_left);
  g_string_truncate(direction->line, 0);
}

static void add_to_line(Direction *direction, const char *bytes, size_t size) {
  if (direction->in_message) {
    // Counted; kept only as far as it may be the final dot.
    direction->message_bytes += size;
    size = MIN(size, TAIL_BYTES - MIN(direction->line->len, TAIL_BYTES));
  }
  g_string_append_len(direction->line, bytes, (gssize)size);
  size_t length = direction->line->len;
  if (length <= 2 * HEAD_BYTES) return;
  g_string_erase(direction->line, HEAD_BYTES, (gssize)(length - HEAD_BYTES - TAIL_BYTES));
}

static void show(TraceWire *trace, Direction *direction, const char *bytes, size_t size) {
  while (size > 0) {
    size_t step = size;
    if (direction->literal_left > 0) {
      step = (size_t)MIN((uint64_t)size, direction->literal_left);
      direction->literal_left -= step;
    } else {
      const char *end = memchr(bytes, '\n', size);
      if (end != NULL) step = (size_t)(end - bytes) + 1;
      add_to_line(direction, bytes, step);
      if (end != NULL) line_done(trace, direction);
    }
    bytes += step;
    size -= step;
  }
}

static ssize_t trace_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  TraceWire *trace = (TraceWire *)wire;
  g_autoptr(GError) cause = NULL;
  ssize_t got = wire_recv(trace->inner, buffer, size, &cause);
  if (got > 0) show(trace, &trace->in, buffer, (size_t)got);
  if (got == 0) g_debug("%s: < (end)", trace->name);
  if (got < 0) {
    g_debug("%s: < (%s)", trace->name, cause->message);
    g_propagate_error(error, g_steal_pointer(&cause));
  }
  return got;
}

static bool trace_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  TraceWire *trace = (TraceWire *)wire;
  show(trace, &trace->out, bytes, size);
  g_autoptr(GError) cause = NULL;
  if (wire_send(trace->inner, bytes, size, &cause)) return true;
  g_debug("%s: > (%s)", trace->name, cause->message);
  g_propagate_error(error, g_steal_pointer(&cause));
  return false;
}

static WireWait trace_wait(Wire *wire, int timeout_ms, GError **error) {
  return wire_wait(((TraceWire *)wire)->inner, timeout_ms, error);
}

static void trace_free(Wire *wire) {
  TraceWire *trace = (TraceWire *)wire;
  g_debug("%s: closed", trace->name);
  wire_free(trace->inner);
  g_string_free(trace->out.line, TRUE);
  g_string_free(trace->in.line, TRUE);
  g_free(trace->name);
  g_free(trace);
}

// Early bytes passed as if they were text: they will pass again, and began no line and no literal.
static Wire *trace_wrap(Wire *wire, WireDecorator *decorate, const void *early, size_t size) {
  TraceWire *trace = (TraceWire *)wire;
  trace->inner = wire_wrap(trace->inner, decorate, early, size);
  trace->in.literal_left = 0;
  g_string_truncate(trace->in.line, 0);
  return wire;
}

static void trace_be_patient(Wire *wire, unsigned timeout_ms) {
  wire_be_patient(((TraceWire *)wire)->inner, timeout_ms);
}

static const WireOps trace_ops = {trace_recv, trace_send, trace_wait,
                                  trace_free, trace_wrap, trace_be_patient};

Wire *wire_trace_new(Wire *inner, const char *name) {
  if (g_log_writer_default_would_drop(G_LOG_LEVEL_DEBUG, G_LOG_DOMAIN)) return inner;
  TraceWire *trace = g_new0(TraceWire, 1);
  trace->wire.ops = &trace_ops;
  trace->inner = inner;
  trace->name = g_strdup(name);
  trace->out = (Direction){.arrow = '>', .line = g_string_new(NULL)};
  trace->in = (Direction){.arrow = '<', .line = g_string_new(NULL)};
  return &trace->wire;
}
