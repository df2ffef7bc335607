// Any text as a set of UIDs in a response, behind one byte that says how long a piece is printed:
// the ranges are in order whatever order they come in, and come back from their printed form.
#include <string.h>

#include <glib.h>

#include "net/imap_response.h"
#include "net/uid_set.h"
#include "tests/fuzz/fuzz.h"

// Rising, with a gap between any two.
static void check_order(const UidSet *set) {
  uint64_t count = 0, last = 0;
  for (size_t i = 0; i < uid_set_n_ranges(set); i++) {
    UidRange range = uid_set_range(set, i);
    g_assert_true(range.first <= range.last && (i == 0 || range.first > last + 1));
    g_assert_true(uid_set_contains(set, range.first) && uid_set_contains(set, range.last));
    g_assert_false(range.last < UINT32_MAX && uid_set_contains(set, range.last + 1));
    count += (uint64_t)range.last - range.first + 1;
    last = range.last;
  }
  g_assert_cmpuint(count, ==, uid_set_count(set));
  g_assert_cmpuint(last, ==, uid_set_last(set));
}

static void check_same(const UidSet *a, const UidSet *b) {
  g_autoptr(UidSet) more = uid_set_subtract(a, b), less = uid_set_subtract(b, a);
  g_assert_true(uid_set_is_empty(more) && uid_set_is_empty(less));
}

// The text in `* VANISHED text`; false: it is no set, or not to its end.
static bool read_response(const char *text, UidSet *set) {
  static const ImapLimits limits = {1024, 64, 48, 4096, 5};
  g_autoptr(ImapParser) parser = imap_parser_new(&limits);
  g_autofree char *line = g_strconcat("* VANISHED ", text, "\r\n", NULL);
  imap_parser_feed(parser, line, strlen(line));
  ImapEvent event;
  while ((event = imap_parser_next(parser)).type == IMAP_EVENT_RANGE) {
    g_assert_cmpuint(event.range.first, >, 0);
    g_assert_cmpuint(event.range.first, <=, event.range.last);
    uid_set_add_range(set, event.range.first, event.range.last);
  }
  return event.type == IMAP_EVENT_RESPONSE;
}

static void check_print(const UidSet *set, size_t max_bytes) {
  g_autoptr(UidSet) again = uid_set_new();
  size_t next = 0;
  for (char *text; (text = uid_set_print(set, &next, max_bytes)); g_free(text)) {
    g_assert_true(strlen(text) <= max_bytes || strchr(text, ',') == NULL);
    g_assert_true(read_response(text, again));
  }
  check_same(set, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  g_autofree char *text = g_strndup((const char *)data + 1, size - 1);
  g_autoptr(UidSet) set = uid_set_new();
  read_response(text, set);
  check_order(set);
  check_print(set, data[0]);
  return 0;
}
