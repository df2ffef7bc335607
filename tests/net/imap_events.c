#include "tests/net/imap_events.h"

#include <inttypes.h>
#include <string.h>

static void print_escaped(GString *text, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (g_ascii_isprint(bytes[i]))
      g_string_append_c(text, bytes[i]);
    else
      g_string_append_printf(text, "\\x%02x", (unsigned char)bytes[i]);
  }
}

static void print_values(GString *text, const ImapValue *first);

static void print_value(GString *text, const ImapValue *value) {
  switch (value->kind) {
    case IMAP_NIL:
      g_string_append(text, "NIL");
      break;
    case IMAP_ATOM:
      print_escaped(text, value->text, strlen(value->text));
      break;
    case IMAP_STRING:
      g_string_append_c(text, '"');
      print_escaped(text, value->text, strlen(value->text));
      g_string_append_c(text, '"');
      break;
    case IMAP_LIST:
      g_string_append_c(text, '(');
      print_values(text, value->first);
      g_string_append_c(text, ')');
      break;
    case IMAP_TOO_LONG:
      g_string_append(text, "<too long>");
      break;
    case IMAP_BODY:
      g_string_append(text, "<body>");
      break;
    case IMAP_SET:
      g_string_append(text, "<set>");
      break;
  }
}

static void print_values(GString *text, const ImapValue *first) {
  for (const ImapValue *value = first; value; value = value->next) {
    if (value != first) g_string_append_c(text, ' ');
    print_value(text, value);
  }
}

static void print_response(GString *text, const ImapResponse *response) {
  const char *tag = response->tag ? response->tag : "?";
  print_escaped(text, tag, strlen(tag));
  if (response->number >= 0) g_string_append_printf(text, " %" PRId64, response->number);
  if (response->name) {
    g_string_append_c(text, ' ');
    print_escaped(text, response->name, strlen(response->name));
  }
  if (response->code) {
    g_string_append(text, " [");
    print_escaped(text, response->code, strlen(response->code));
    g_string_append(text, "] {");
    print_escaped(text, response->code_value, strlen(response->code_value));
    g_string_append_c(text, '}');
  }
  if (response->text) {
    g_string_append_c(text, ' ');
    print_escaped(text, response->text, strlen(response->text));
  }
  if (response->values) g_string_append_c(text, ' ');
  print_values(text, response->values);
  g_string_append_c(text, '\n');
}

// False at the end of the stream.
static bool print_event(GString *text, const ImapEvent *event) {
  switch (event->type) {
    case IMAP_EVENT_MORE:
      return true;
    case IMAP_EVENT_RESPONSE:
    case IMAP_EVENT_BAD:
      if (event->type == IMAP_EVENT_BAD) g_string_append(text, "BAD ");
      print_response(text, event->response);
      return true;
    case IMAP_EVENT_BODY_BEGIN:
      g_string_append_printf(text, "begin %s of ", event->item);
      print_response(text, event->response);
      return true;
    case IMAP_EVENT_BODY_BYTES:
      print_escaped(text, event->bytes, event->size);
      return true;
    case IMAP_EVENT_BODY_END:
      g_string_append(text, "\nend\n");
      return true;
    case IMAP_EVENT_RANGE:
      g_string_append_printf(text, "range %" PRIu32 ":%" PRIu32 "\n", event->range.first,
                             event->range.last);
      return true;
    case IMAP_EVENT_FATAL:
      g_string_append(text, "FATAL\n");
      return false;
  }
  g_assert_not_reached();
}

// False once nothing more can be read.
static bool print_piece(GString *text, ImapParser *parser, const char *bytes, size_t size) {
  // A copy of exactly its size, so that reading beyond it is noticed.
  g_autofree char *piece = g_memdup2(bytes, size);
  imap_parser_feed(parser, piece, size);
  for (;;) {
    ImapEvent event = imap_parser_next(parser);
    if (!print_event(text, &event)) return false;
    if (event.type == IMAP_EVENT_MORE) return true;
  }
}

char *imap_events_print(const ImapLimits *limits, const char *bytes, size_t size, size_t max_piece,
                        unsigned seed) {
  g_autoptr(ImapParser) parser = imap_parser_new(limits);
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  GString *text = g_string_new(NULL);
  bool goes_on = true;
  for (size_t at = 0; at < size && goes_on;) {
    size_t piece = max_piece == 0 ? size : 1 + g_rand_int(rand) % max_piece;
    piece = MIN(piece, size - at);
    goes_on = print_piece(text, parser, bytes + at, piece);
    at += piece;
  }
  return g_string_free(text, FALSE);
}
