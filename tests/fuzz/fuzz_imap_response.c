// Any stream of bytes: the parser neither crashes nor outgrows its limits, and what it tells does
// not depend on how the stream was cut.
#include <stdint.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/net/imap_events.h"

// Small, so that short inputs pass each of them.
static const ImapLimits limits = {
    .response_bytes = 1024,
    .string_bytes = 64,
    .atom_bytes = 48,
    .literal_bytes = 4096,
    .depth = 5,
};

static void compare_cut(const char *whole, const char *bytes, size_t size, size_t max_piece) {
  g_autofree char *cut = imap_events_print(&limits, bytes, size, max_piece, 1);
  g_assert_cmpstr(whole, ==, cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *bytes = (const char *)data;
  g_autofree char *whole = imap_events_print(&limits, bytes, size, 0, 0);
  compare_cut(whole, bytes, size, 1);
  compare_cut(whole, bytes, size, 5);
  g_free(imap_events_print(&imap_default_limits, bytes, size, 0, 0));
  return 0;
}
