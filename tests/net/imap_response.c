#include "tests/net/imap_events.h"

#include <string.h>

// Small, so that a row can pass each of them.
static const ImapLimits small = {
    .response_bytes = 2048,
    .string_bytes = 100,
    .atom_bytes = 60,
    .literal_bytes = 1000000,
    .depth = 4,
};

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

typedef struct {
  const char *name;
  const char *stream;
  const char *events;
} Row;

// Each row: what the stream means, however it is cut.
static const Row rows[] = {
    {"untagged", "* 23 EXISTS\r\n", "* 23 EXISTS\n"},
    {"lower-case", "* 23 exists\r\n", "* 23 EXISTS\n"},
    {"two-lines", "* 1 EXISTS\r\n* 2 RECENT\r\n", "* 1 EXISTS\n* 2 RECENT\n"},
    {"line-feeds-alone", "* 1 EXISTS\n* 2 RECENT\na OK x\n", "* 1 EXISTS\n* 2 RECENT\na OK x\n"},
    {"empty-lines", "\r\n\r\n* 1 EXISTS\r\n\n", "* 1 EXISTS\n"},
    {"atoms-and-lists", "* X (a (b) () NIL nil) c\r\n", "* X (a (b) () NIL NIL) c\n"},
    {"flags", "* FLAGS (\\Seen \\* $Fwd)\r\n", "* FLAGS (\\Seen \\* $Fwd)\n"},
    {"quoted", "* X \"a \\\"b\\\\ c\" \"\"\r\n", "* X \"a \"b\\ c\" \"\"\n"},
    {"quoted-eight-bit", "* X \"\xc3\xa9\xff\"\r\n", "* X \"\\xc3\\xa9\\xff\"\n"},
    {"literal", "* X {5}\r\na\r\n\"( b\r\n", "* X \"a\\x0d\\x0a\"(\" b\n"},
    {"literal-empty", "* X {0}\r\n b\r\n", "* X \"\" b\n"},
    {"literal-plus", "* X {1+}\r\nz\r\n", "* X \"z\"\n"},
    {"literal-line-feed-alone", "* X {1}\nz\n", "* X \"z\"\n"},
    {"literal8", "* X ~{2}\r\nab ~c ~\r\n", "* X \"ab\" ~c ~\n"},
    {"section", "* 1 FETCH (BODY[HEADER.FIELDS (A B)]<0> NIL)\r\n",
     "* 1 FETCH (BODY[HEADER.FIELDS (A B)]<0> NIL)\n"},
    {"mailbox-atoms", "* LIST () \"/\" [Gmail]/All\r\n* LIST () \"/\" a[b\r\n",
     "* LIST () \"/\" [Gmail]/All\n* LIST () \"/\" a[b\n"},
    {"no-space-between", "* X (a\"b\"(c)\"d\"NIL)\r\n", "* X (a \"b\" (c) \"d\" NIL)\n"},

    {"ok", "* OK [UIDNEXT 4392] Predicted (\"\r\n", "* OK [UIDNEXT] {4392} Predicted (\"\n"},
    {"code-alone", "* ok [closed]\r\n", "* OK [CLOSED] {} \n"},
    {"code-flags", "* OK [PERMANENTFLAGS (\\Seen \\*)] Limited\r\n",
     "* OK [PERMANENTFLAGS] {(\\Seen \\*)} Limited\n"},
    {"code-broken", "* NO [INUSE busy\r\n", "* NO [INUSE busy\n"},
    {"no-text", "* BYE\r\n* PREAUTH \r\n", "* BYE \n* PREAUTH \n"},
    {"text-is-no-literal", "* OK see {3}\r\n* 1 EXISTS\r\n", "* OK see {3}\n* 1 EXISTS\n"},
    {"tagged", "a1 NO no\r\na2 BAD\r\na3 OK [X] y\r\n", "a1 NO no\na2 BAD \na3 OK [X] {} y\n"},
    {"continuation", "+ go\r\n+\r\n+ \r\n", "+ go\n+ \n+ \n"},
    {"text-too-long", "* OK " HUNDRED "\r\n* 1 EXISTS\r\n",
     "* OK " TEN TEN TEN TEN TEN "012345678\n* 1 EXISTS\n"},

    {"body-literal", "* 1 FETCH (UID 2 BODY[] {3}\r\na\r\n FLAGS ())\r\n",
     "begin BODY[] of * 1 FETCH (UID 2 BODY[])\na\\x0d\\x0a\nend\n"
     "* 1 FETCH (UID 2 BODY[] <body> FLAGS ())\n"},
    {"body-literal8-with-nul", "* 1 fetch (binary[1] ~{2}\r\n\x7f\x01)\r\n",
     "begin binary[1] of * 1 FETCH (binary[1])\n\\x7f\\x01\nend\n* 1 FETCH (binary[1] <body>)\n"},
    {"body-quoted", "* 1 FETCH (BODY[] \"a\\\"\\\\b\")\r\n",
     "begin BODY[] of * 1 FETCH (BODY[])\na\"\\b\nend\n* 1 FETCH (BODY[] <body>)\n"},
    {"body-without-space", "* 1 FETCH (BODY[]{1}\r\nx)\r\n",
     "begin BODY[] of * 1 FETCH (BODY[])\nx\nend\n* 1 FETCH (BODY[] <body>)\n"},
    {"body-empty", "* 1 FETCH (BODY[] {0}\r\n BODY[TEXT] \"\")\r\n",
     "begin BODY[] of * 1 FETCH (BODY[])\n\nend\n"
     "begin BODY[TEXT] of * 1 FETCH (BODY[] <body> BODY[TEXT])\n\nend\n"
     "* 1 FETCH (BODY[] <body> BODY[TEXT] <body>)\n"},
    {"body-nil", "* 1 FETCH (BODY[] NIL)\r\n", "* 1 FETCH (BODY[] NIL)\n"},
    {"body-beyond-string-limit", "* 1 FETCH (BODY[] {100}\r\n" HUNDRED ")\r\n",
     "begin BODY[] of * 1 FETCH (BODY[])\n" HUNDRED "\nend\n* 1 FETCH (BODY[] <body>)\n"},
    {"body-only-in-fetch", "* X (BODY[] \"a\")\r\n* 1 FETCH (ENVELOPE (BODY[] \"a\"))\r\n",
     "* X (BODY[] \"a\")\n* 1 FETCH (ENVELOPE (BODY[] \"a\"))\n"},
    {"body-broken-off", "* 1 FETCH (UID 2 BODY[] \"a\r\n* 1 EXISTS\r\n",
     "begin BODY[] of * 1 FETCH (UID 2 BODY[])\na\\x0dBAD * 1 FETCH (UID 2 BODY[])\n"
     "* 1 EXISTS\n"},

    {"search", "* SEARCH 2 84 882\r\n* SEARCH\r\n* search 7 (MODSEQ 9)\r\n",
     "range 2:2\nrange 84:84\nrange 882:882\n* SEARCH <set>\n* SEARCH\n"
     "range 7:7\n* SEARCH <set> (MODSEQ 9)\n"},
    {"esearch", "* ESEARCH (TAG \"a5\") UID MIN 4 ALL 4:18,21 MODSEQ 917\r\n* ESEARCH UID\r\n",
     "range 4:18\nrange 21:21\n* ESEARCH (TAG \"a5\") UID MIN 4 ALL <set> MODSEQ 917\n"
     "* ESEARCH UID\n"},
    {"vanished", "* VANISHED (EARLIER) 41,116:43,4294967295\n* VANISHED 007\n* VANISHED 3(\n",
     "range 41:41\nrange 43:116\nrange 4294967295:4294967295\n* VANISHED (EARLIER) <set>\n"
     "range 7:7\n* VANISHED <set>\nrange 3:3\nBAD * VANISHED <set> ()\n"},
    {"bad-set",
     "* VANISHED 1,,2\n* VANISHED 1:\n* VANISHED 1:2:3\n* VANISHED 0\n* VANISHED 3:*\n"
     "* VANISHED 5,\n* SEARCH 4294967296 {4}\n* 1 \n",
     "range 1:1\nBAD * VANISHED <set>\nBAD * VANISHED\nBAD * VANISHED\nBAD * VANISHED\n"
     "BAD * VANISHED\nrange 5:5\nBAD * VANISHED <set>\nBAD * SEARCH\n"},
    {"set-elsewhere", "* VANISHED (1,2) x,1\r\n* 3 SEARCH 1,2\r\n* X 1,2\r\n",
     "* VANISHED (1,2) x,1\n* 3 SEARCH 1,2\n* X 1,2\n"},

    {"bad-start", ") x {2}\r\n\r\n y\r\n* 1 EXISTS\r\n", "BAD ?\n* 1 EXISTS\n"},
    {"bad-literal-as-tag", "{14}\r\n* 9 EXISTS\r\nxx rest\r\n* 1 EXISTS\r\n",
     "BAD ?\n* 1 EXISTS\n"},
    {"bad-tagged", "a1 FETCH 3\r\na2 OK\r\n", "BAD a1 FETCH\na2 OK \n"},
    {"bad-numbered-status", "* 1 BYE\r\n* 1 OK {3}\r\nabc\r\n* 1 EXISTS\r\n",
     "BAD * 1 BYE\nBAD * 1 OK\n* 1 EXISTS\n"},
    {"bad-number-alone", "* 5\r\n* 1 EXISTS\r\n", "BAD * 5\n* 1 EXISTS\n"},
    {"bad-open", "* 1 FETCH (UID 7 FLAGS (a\r\n* 1 EXISTS\r\n",
     "BAD * 1 FETCH (UID 7 FLAGS (a))\n* 1 EXISTS\n"},
    {"bad-close", "* X a) b\r\n* 1 EXISTS\r\n", "BAD * X a\n* 1 EXISTS\n"},
    {"bad-quote", "* X a \"b\r\n* 1 EXISTS\r\n", "BAD * X a\n* 1 EXISTS\n"},
    {"bad-escape", "* X a \"b\\\n* 1 EXISTS\r\n", "BAD * X a\n* 1 EXISTS\n"},
    {"bad-literal", "* X a {1x}\r\n* 1 EXISTS\r\n* X {}\r\n* X {-1}\r\n",
     "BAD * X a\n* 1 EXISTS\nBAD * X\nBAD * X\n"},
    {"bad-line-with-literal", "* X ) {14}\r\n* 9 EXISTS\r\n\r\n y\r\n* 1 EXISTS\r\n",
     "BAD * X\n* 1 EXISTS\n"},
    {"bad-nul", "* X \"b\\\n", "BAD * X\n"},
    {"bad-depth", "* X ((((()))))\r\n* 1 EXISTS\r\n", "BAD * X (((())))\n* 1 EXISTS\n"},
    {"bad-atom-too-long", "* X a " HUNDRED " b\r\n* 1 EXISTS\r\n", "BAD * X a\n* 1 EXISTS\n"},

    {"string-too-long", "* X \"" HUNDRED "\" \"" HUNDRED "1\" {101}\r\n1" HUNDRED " z\r\n",
     "* X \"" HUNDRED "\" <too long> <too long> z\n"},
    {"literal-too-big", "* X {1000001}\r\nabc\r\n* 1 EXISTS\r\n", "FATAL\n"},
    {"literal-beyond-64-bits", "* X {99999999999999999999999}\r\nabc\r\n", "FATAL\n"},
    {"literal-too-big-in-bad-line", "* X ) {1000001}\r\nabc\r\n", "FATAL\n"},
    {"numbers", "* 99999999999999999999 X\r\n* 9223372036854775807 X\r\n* -1 X\r\n",
     "* 99999999999999999999 X\n* 9223372036854775807 X\n* -1 X\n"},
};

static void check_cut(const char *stream, size_t size, const char *expected, size_t max_piece,
                      unsigned seed) {
  g_autofree char *events = imap_events_print(&small, stream, size, max_piece, seed);
  g_assert_cmpstr(events, ==, expected);
}

static void test_row(gconstpointer data) {
  const Row *row = data;
  size_t size = strlen(row->stream);
  check_cut(row->stream, size, row->events, 0, 0);
  check_cut(row->stream, size, row->events, 1, 0);
  for (unsigned seed = 0; seed < 20; seed++)
    check_cut(row->stream, size, row->events, 7, seed);
}

// A NUL byte is kept in a body, and a space in every other text.
static void test_nul(void) {
  static const char stream[] = "* 1 FETCH (a\0b {3}\r\nc\0d BODY[] \"e\0f\")\r\n";
  check_cut(stream, sizeof stream - 1,
            "begin BODY[] of * 1 FETCH (a b \"c d\" BODY[])\ne\\x00f\nend\n"
            "* 1 FETCH (a b \"c d\" BODY[] <body>)\n",
            1, 0);
}

// A response of too many values is told as far as they fit, whatever the last byte of memory falls
// on, and the next one is whole.
static void test_too_many_values(void) {
  for (unsigned length = 1; length < 50; length++) {
    g_autofree char *atom = g_strnfill(length, 'x');
    g_autoptr(GString) stream = g_string_new("* X");
    for (unsigned i = 0; i < 200; i++)
      g_string_append_printf(stream, " %s \"%s\"", atom, atom);
    g_string_append(stream, "\r\n* 1 EXISTS\r\n");
    g_autofree char *start = g_strdup_printf("BAD * X %s \"%s\" ", atom, atom);
    g_autofree char *events = imap_events_print(&small, stream->str, stream->len, 0, 0);
    g_assert_true(g_str_has_prefix(events, start));
    g_assert_true(g_str_has_suffix(events, "\n* 1 EXISTS\n"));
  }
}

// An envelope whose subject is a literal of 10 MB still lists its message.
static void test_giant_subject(void) {
  size_t size = 10 << 20;
  g_autoptr(GString) stream = g_string_new(NULL);
  g_string_printf(stream, "* 1 FETCH (UID 7 ENVELOPE (\"date\" {%zu}\r\n", size);
  gsize start = stream->len;
  g_string_set_size(stream, start + size);
  memset(stream->str + start, 'x', size);
  g_string_append(stream, " \"from\"))\r\n");
  g_autofree char *events =
      imap_events_print(&imap_default_limits, stream->str, stream->len, 65536, 1);
  g_assert_cmpstr(events, ==, "* 1 FETCH (UID 7 ENVELOPE (\"date\" <too long> \"from\"))\n");
}

// A bad line of a million empty literals is one bad line, and takes no more of the stack than one.
static void test_many_literals(void) {
  g_autoptr(GString) stream = g_string_new("* X )");
  for (unsigned i = 0; i < 1000000; i++)
    g_string_append(stream, "{0}\n");
  g_string_append(stream, "\n* 1 EXISTS\n");
  check_cut(stream->str, stream->len, "BAD * X\n* 1 EXISTS\n", 0, 0);
}

// A search's answer is as long as a folder has messages, in either form.
static void test_long_sets(void) {
  static const struct {
    const char *start, *separator, *line;
  } forms[] = {
      {"* SEARCH", " ", "* SEARCH <set>\n"},
      {"* ESEARCH UID ALL", ",", "* ESEARCH UID ALL <set>\n"},
      {"* VANISHED (EARLIER)", ",", "* VANISHED (EARLIER) <set>\n"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
    g_autoptr(GString) stream = g_string_new(forms[i].start), expected = g_string_new(NULL);
    for (unsigned uid = 1; uid < 400000; uid += 2) {
      g_string_append_printf(stream, "%s%u", uid > 1 ? forms[i].separator : " ", uid);
      g_string_append_printf(expected, "range %u:%u\n", uid, uid);
    }
    g_string_append(stream, "\r\n");
    g_string_append(expected, forms[i].line);
    check_cut(stream->str, stream->len, expected->str, 4096, 1);
  }
}

// Only what is a number of at most 63 bits is one, as an atom or as a string.
static void test_numbers(void) {
  static const struct {
    const char *text;
    int64_t number;
  } numbers[] = {
      {"0", 0},     {"42", 42},  {"007", 7}, {"9223372036854775807", INT64_MAX},
      {"", -1},     {"-1", -1},  {"+1", -1}, {"9223372036854775808", -1},
      {"1.5", -1},  {"1e3", -1}, {"1 ", -1}, {"99999999999999999999999", -1},
      {"0x10", -1}, {"NaN", -1}, {NULL, -1},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
    ImapValue value = {.kind = IMAP_ATOM, .text = numbers[i].text};
    g_assert_cmpint(imap_value_number(&value), ==, numbers[i].number);
  }
  g_assert_cmpint(imap_value_number(NULL), ==, -1);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/imap-response/", rows[i].name, NULL);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  g_test_add_func("/imap-response/nul", test_nul);
  g_test_add_func("/imap-response/too-many-values", test_too_many_values);
  g_test_add_func("/imap-response/giant-subject", test_giant_subject);
  g_test_add_func("/imap-response/many-literals", test_many_literals);
  g_test_add_func("/imap-response/long-sets", test_long_sets);
  g_test_add_func("/imap-response/values-as-numbers", test_numbers);
  return g_test_run();
}
