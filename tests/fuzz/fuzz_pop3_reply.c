// Any stream of bytes from a POP3 server, as replies with what follows them: nothing crashes or
// outgrows its limits, a reply can be shown, and what is read does not depend on how the stream was
// cut.
#include <stdint.h>
#include <string.h>

#include "net/dot_unstuff.h"
#include "net/pop3_reply.h"
#include "tests/fuzz/fuzz.h"

typedef struct {
  GString *seen;
  Pop3ReplyParser *parser;
  DotUnstuffer body;
  bool is_in_body, is_over;
} Reader;

static void print_reply(GString *seen, const Pop3Reply *reply) {
  g_autoptr(GError) error = NULL;
  g_assert_true(g_utf8_validate(reply->text, -1, NULL));
  g_assert_true(reply->code == NULL || strpbrk(reply->code, " []\r\n") == NULL);
  if (reply->status == POP3_ERR) pop3_reply_set_error(reply, &error);
  g_string_append_printf(seen, "%d <%s> %s\n", reply->status, reply->code ? reply->code : "~",
                         reply->text);
}

static size_t read_body(Reader *reader, const char *bytes, size_t size) {
  const char *run;
  size_t run_size;
  size_t used = dot_unstuffer_take(&reader->body, bytes, size, &run, &run_size);
  g_assert_true(used > 0 || run_size > 0);
  g_assert_cmpuint(used, <=, size);
  g_string_append_len(reader->seen, run, (gssize)run_size);
  reader->is_in_body = !dot_unstuffer_is_over(&reader->body);
  if (!reader->is_in_body) g_string_append(reader->seen, "<end>\n");
  return used;
}

static size_t read_reply(Reader *reader, const char *bytes, size_t size) {
  g_autoptr(Pop3Reply) reply = NULL;
  g_autoptr(GError) error = NULL;
  ssize_t used = pop3_reply_parser_feed(reader->parser, bytes, size, &reply, &error);
  g_assert_true((used < 0) == (error != NULL));
  reader->is_over = used < 0;
  if (used < 0) g_string_append(reader->seen, "no reply\n");
  if (reply == NULL) return size;
  print_reply(reader->seen, reply);
  reader->is_in_body = reply->status == POP3_OK;
  reader->body = (DotUnstuffer){0};
  return (size_t)used;
}

// All replies until the stream ends or is none, fed in pieces of at most `step` bytes.
static GString *print_stream(const char *bytes, size_t size, size_t step) {
  Reader reader = {.seen = g_string_new(NULL), .parser = pop3_reply_parser_new()};
  for (size_t at = 0; at < size && !reader.is_over;) {
    size_t piece = MIN(step, size - at);
    at += reader.is_in_body ? read_body(&reader, bytes + at, piece)
                            : read_reply(&reader, bytes + at, piece);
  }
  pop3_reply_parser_free(reader.parser);
  return reader.seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  GString *whole = print_stream(bytes, size, MAX(size, 1));
  for (size_t step = 1; step < 8; step += 6) {
    GString *pieces = print_stream(bytes, size, step);
    g_assert_true(g_string_equal(whole, pieces));
    g_string_free(pieces, TRUE);
  }
  g_string_free(whole, TRUE);
  return 0;
}
