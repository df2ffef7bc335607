// Any text as a set of UIDs, behind one byte that says how long a piece is printed: what is a set
// comes back from its printed form, and is the same to the parser of responses; what is none is
// none to either.
#include <string.h>

#include <glib.h>

#include "net/imap_response.h"
#include "net/uid_set.h"
#include "tests/fuzz/fuzz.h"

static bool add(UidRange range, gpointer set) {
  g_assert_cmpuint(range.first, >, 0);
  g_assert_cmpuint(range.first, <=, range.last);
  uid_set_add_range(set, range.first, range.last);
  return true;
}

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

static void check_print(const UidSet *set, size_t max_bytes) {
  g_autoptr(UidSet) again = uid_set_new();
  size_t next = 0;
  for (char *text; (text = uid_set_print(set, &next, max_bytes)); g_free(text)) {
    g_assert_true(strlen(text) <= max_bytes || strchr(text, ',') == NULL);
    g_assert_true(uid_set_parse(text, add, again));
  }
  check_same(set, again);
}

// The text in `* VANISHED text`; false: it is no set.
static bool read_response(const char *text, UidSet *set) {
  static const ImapLimits limits = {1024, 64, 48, 4096, 5};
  g_autoptr(ImapParser) parser = imap_parser_new(&limits);
  g_autofree char *line = g_strconcat("* VANISHED ", text, "\r\n", NULL);
  imap_parser_feed(parser, line, strlen(line));
  for (;;) {
    ImapEvent event = imap_parser_next(parser);
    g_assert_true(event.type == IMAP_EVENT_RANGE || event.type == IMAP_EVENT_BAD ||
                  event.type == IMAP_EVENT_RESPONSE);
    if (event.type != IMAP_EVENT_RANGE) return event.type == IMAP_EVENT_RESPONSE && *text;
    add(event.range, set);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  g_autofree char *text = g_strndup((const char *)data + 1, size - 1);
  g_autoptr(UidSet) set = uid_set_new(), read = uid_set_new();
  bool is_set = uid_set_parse(text, add, set);
  g_assert_true(is_set == !uid_set_is_empty(set));
  check_order(set);
  check_print(set, data[0]);
  if (strspn(text, "0123456789:,") != strlen(text) || !g_ascii_isdigit(*text)) return 0;
  g_assert_true(read_response(text, read) == is_set);
  if (is_set) check_same(set, read);
  return 0;
}
