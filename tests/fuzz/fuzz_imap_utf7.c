// Any mailbox name: what decodes is UTF-8 and encodes to the very same bytes. Any text: what
// encodes is printable ASCII and decodes to the very same text.
#include <stdint.h>
#include <string.h>

#include "net/imap_utf7.h"
#include "tests/fuzz/fuzz.h"

static void check_decoding(const char *name) {
  g_autofree char *utf8 = imap_utf7_decode(name);
  if (!utf8) return;
  g_assert_true(g_utf8_validate(utf8, -1, NULL));
  g_autofree char *again = imap_utf7_encode(utf8);
  g_assert_cmpstr(again, ==, name);
}

static void check_encoding(const char *utf8) {
  g_autofree char *name = imap_utf7_encode(utf8);
  g_assert_true((name != NULL) == g_utf8_validate(utf8, -1, NULL));
  if (!name) return;
  for (const char *at = name; *at; at++)
    g_assert_true(g_ascii_isprint(*at));
  g_autofree char *again = imap_utf7_decode(name);
  g_assert_cmpstr(again, ==, utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  g_autofree char *text = g_strndup((const char *)data, size);
  check_decoding(text);
  check_encoding(text);
  return 0;
}
