// Claim: lines that cannot be sent are refused, and the reason names them.
#include <string.h>
#include <unistd.h>

#include "tests/cache/letter_fixture.h"

static const Refused refused[] = {
    {"a lone CR in the body", "To: a@x.org\n\na\rb\n", "line 3 has a carriage return"},
    {"a line's number in the file",
     "From x\nA: b\nBcc: c@x.org,\n d@x.org\nTo: a@x.org\nBcc: e@x.org\n\n\ra\n",
     "line 8 has a carriage return that ends no line"},
    {"a line's number before what is cut", "To: a@x.org\nX: \ra\nBcc: e@x.org\n\n",
     "line 2 has a carriage return that ends no line"},
    {"a lone CR at the end", "To: a@x.org\n\na\r", "ends no line"},
    {"a lone CR in the header", "To: a@x.org\nX: a\rBcc: b@x.org\n\n", "ends no line"},
    {"CR CR LF", "To: a@x.org\n\na\r\r\n", "ends no line"},
    {"a header line of 999 bytes", "To: a@x.org\nX: " LINE_900 LINE_98 "\n\n",
     "line 2 is longer than 998 bytes, in its header"},
};

// A NUL byte is refused wherever it stands, also in what is cut out.
static void test_nul(void) {
  static const char body[] = "To: a@x.org\n\na\0b\n";
  static const char header[] = "To: a@x.org\nX: \0\n\n";
  static const char bcc[] = "To: a@x.org\nBcc: b@x.org\0, c@x.org\n\n";
  letter_assert_refused(body, sizeof body - 1, &letter_defaults, "contains a NUL byte");
  letter_assert_refused(header, sizeof header - 1, &letter_defaults, "contains a NUL byte");
  letter_assert_refused(bcc, sizeof bcc - 1, &letter_defaults, "contains a NUL byte");
}

// What is not sent may be as long as it likes, and stays so in the copy.
static void test_long_bcc(void) {
  static const char bcc[] = "Bcc: b@x.org (" LINE_900 LINE_900 ")";
  g_autofree char *text = g_strconcat(bcc, "\nTo: a@x.org\n\n", NULL);
  int fd = letter_file(text, strlen(text));
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_autoptr(GString) copy = letter_drain(letter_stream_new_copy(letter, fd), 4099);
  g_assert_nonnull(strstr(copy->str, bcc));
  close(fd);
}

// A carriage return that ends no line is found wherever reads of the file are cut.
static void test_cr_everywhere(void) {
  for (size_t at = 16380; at < 16390; at++) {
    g_autoptr(GString) text = g_string_new("To: a@x.org\n\n");
    while (text->len < at)
      g_string_append_c(text, text->len % 50 == 0 ? '\n' : 'x');
    g_string_append(text, "\rx\n");
    letter_assert_refused(text->str, text->len, &letter_defaults, "carriage return");
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  ADD_ROWS("/letter_lines/refused", refused, letter_test_refused)
  g_test_add_func("/letter_lines/nul", test_nul);
  g_test_add_func("/letter_lines/long Bcc", test_long_bcc);
  g_test_add_func("/letter_lines/CR everywhere", test_cr_everywhere);
  return g_test_run();
}
