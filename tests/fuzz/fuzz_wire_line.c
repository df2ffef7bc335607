// Whatever passes over a wire: what is shown of it is one short line of printable UTF-8, and of a
// login or a request to a proxy nothing is shown that stands behind its command.
#include <stdint.h>
#include <string.h>

#include <glib.h>

#include "net/wire_line.h"
#include "tests/fuzz/fuzz.h"

static void check_shown(const char *shown, size_t max_bytes) {
  g_assert_true(g_utf8_validate(shown, -1, NULL));
  g_assert_cmpuint(strlen(shown), <=, max_bytes);
  for (const char *at = shown; *at != '\0'; at = g_utf8_next_char(at))
    g_assert_true(g_unichar_isprint(g_utf8_get_char(at)));
}

// The input as the arguments of `command`: the same is shown, whatever they are.
static void check_hidden(const char *command, const char *shown, const char *bytes, size_t size) {
  g_autoptr(GString) line = g_string_new(command);
  g_string_append_len(line, bytes, (gssize)size);
  g_string_append(line, ".\r\n");
  g_autofree char *redacted = wire_line_redacted(line->str, line->len, false);
  g_assert_cmpstr(redacted, ==, shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  g_autofree char *printable = wire_line_printable(bytes, size);
  g_autofree char *redacted = wire_line_redacted(bytes, size, false);
  g_autofree char *in_login = wire_line_redacted(bytes, size, true);
  check_shown(printable, 1000);
  check_shown(redacted, 1004);
  check_shown(in_login, 1004);
  if (!wire_line_is_login(bytes, size)) g_assert_cmpstr(in_login, ==, "***");
  check_hidden("PASS ", "PASS ***", bytes, size);
  check_hidden("a1 LOGIN ", "a1 LOGIN ***", bytes, size);
  check_hidden("auth ", "auth ***", bytes, size);
  check_hidden("CONNECT a:1 HTTP/1.1\n", "CONNECT a:1 HTTP/1.1 ***", bytes, size);
  check_hidden("Via: a\nProxy-Authorization: ", "Via: a Proxy-Authorization: ***", bytes, size);
  return 0;
}
