// Any stream of bytes from an SMTP server: the parser neither crashes nor outgrows its limits, a
// reply can be shown and judged, and what is read does not depend on how the stream was cut.
#include <stdint.h>
#include <string.h>

#include "net/smtp_reply.h"
#include "tests/fuzz/fuzz.h"

static void print_reply(GString *seen, const SmtpReply *reply) {
  g_autofree char *text = smtp_reply_text(reply);
  g_assert_true(g_utf8_validate(text, -1, NULL));
  g_assert_cmpuint(reply->lines->len, >, 0);
  g_assert_cmpuint(reply->lines->len, <=, SMTP_REPLY_MAX_LINES);
  g_assert_true((smtp_reply_verdict(reply) == SENDER_ACCEPTED) == (smtp_reply_class(reply) == 2));
  g_string_append_printf(seen, "%u %u.%u.%u %s\n", reply->code, reply->enhanced[0],
                         reply->enhanced[1], reply->enhanced[2], text);
}

// All replies until the stream ends or is none, fed in pieces of at most `step` bytes.
static char *print_stream(const char *bytes, size_t size, size_t step) {
  GString *seen = g_string_new(NULL);
  g_autoptr(SmtpReplyParser) parser = smtp_reply_parser_new();
  for (size_t at = 0; at < size;) {
    g_autoptr(SmtpReply) reply = NULL;
    g_autoptr(GError) error = NULL;
    ssize_t used = smtp_reply_parser_feed(parser, bytes + at, MIN(step, size - at), &reply, &error);
    g_assert_true((used < 0) == (error != NULL));
    if (used < 0) {
      g_string_append(seen, "no reply\n");
      break;
    }
    if (reply != NULL) print_reply(seen, reply);
    at += (size_t)used;
  }
  return g_string_free(seen, FALSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  g_autofree char *whole = print_stream(bytes, size, MAX(size, 1));
  g_autofree char *single = print_stream(bytes, size, 1);
  g_autofree char *pieces = print_stream(bytes, size, 7);
  g_assert_cmpstr(whole, ==, single);
  g_assert_cmpstr(whole, ==, pieces);
  return 0;
}
