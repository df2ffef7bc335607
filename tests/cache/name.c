// A message's name says date, sender and subject in what is safe for shells and scripts, is at most
// 150 bytes long whatever the mail says, and depends on nothing but the mail.
#include "cache/name.h"

#include <locale.h>

#include "tests/cache/name_rule.h"

#define DATE INT64_C(1795405434)  // 2026-11-23 03:43:54 UTC
#define STAMP "2026-11-23_0343_"

typedef struct {
  const char *path;
  const char *from_name;
  const char *from_address;
  const char *subject;
  const char *want;  // without the date and the ID
} Row;

// As the index does it: from raw header text.
static char *name_of(int64_t internaldate, const char *from_name, const char *from_address,
                     const char *subject, const char *id) {
  g_autofree char *name = name_header_text(from_name);
  g_autofree char *address = name_header_text(from_address);
  g_autofree char *text = name_header_text(subject);
  return name_message(internaldate, name, address, text, id);
}

static const Row rows[] = {
    {"plain", "Alice Smith", "alice@example.org", "Quarterly report",
     "Alice-Smith_Quarterly-report"},
    {"no-name", NULL, "alice@example.org", "Hi", "alice@example.org_Hi"},
    {"empty-name", "", "alice@example.org", "Hi", "alice@example.org_Hi"},
    {"name-without-letters", "\"!?\"", "alice@example.org", "Hi", "alice@example.org_Hi"},
    {"nothing", NULL, NULL, NULL, "unknown_no-subject"},
    {"nothing-left", "***", "<>", "!!!", "unknown_no-subject"},
    {"signs", "A", NULL, "a.b@c+d=e-f", "A_a.b@c+d=e-f"},
    {"separators", "A_B,C", NULL, "x_y,z", "A-B-C_x-y-z"},
    {"one-dash-a-run", "A", NULL, "Re: [list]  -- a / b --", "A_Re-list-a-b"},
    {"leading-dots", "..A", NULL, " .-..hidden", "A_hidden"},
    {"trailing-dots", "A", NULL, "Wait...", "A_Wait..."},
    {"only-dots-and-dashes", ".-", NULL, "-.-.", "unknown_no-subject"},
    {"path", "../../bin/sh", NULL, "/etc/passwd", "bin-sh_etc-passwd"},
    {"shell", "`id`", NULL, "$(rm -rf ~) & ; | > < * ? [a] {b} ! # ' \" \\ %", "id_rm-rf-a-b"},
    {"control", "A\x01\x1b[31m", NULL, "a\tb\r\n c\x7f", "A-31m_a-b-c"},
    {"c1-control", "A", NULL,
     "a\xC2\x85\xC2\x9B"
     "b",
     "A_a-b"},
    {"line-separators", "A", NULL, "a\u2028b\u2029c", "A_a-b-c"},
    {"spaces", "A", NULL, "a\u00A0b\u3000c\u2009d", "A_a-b-c-d"},
    {"numbers", "A", NULL, "\u0663 \u2167 \u00BD \u00B2", "A_\u0663-\u2167-\u00BD-\u00B2"},
    {"emoji", "A", NULL, "Party \U0001F389\U0001F468\u200D\U0001F469\u200D\U0001F467 now",
     "A_Party-now"},
    {"keycap", "A", NULL, "1\uFE0F\u20E3 x", "A_1-x"},
    {"arabic", "\u0639\u0644\u064A", NULL, "\u0645\u0631\u062D\u0628\u0627\u064B",
     "\u0639\u0644\u064A_\u0645\u0631\u062D\u0628\u0627\u064B"},
    {"hebrew-with-direction-marks", "\u200F\u05D0\u05DC\u05D9\u05E1\u200F", NULL,
     "\u202B\u05E9\u05DC\u05D5\u05DD\u202C \u2067x\u2069",
     "\u05D0\u05DC\u05D9\u05E1_\u05E9\u05DC\u05D5\u05DD-x"},
    {"direction-override", "A", NULL, "invoice\u202Efdp.exe", "A_invoice-fdp.exe"},
    {"devanagari", "A", NULL, "\u0928\u092E\u0938\u094D\u0924\u0947",
     "A_\u0928\u092E\u0938\u094D\u0924\u0947"},
    {"composes", "Rene\u0301", NULL, "A\u030Angstro\u0308m", "Ren\u00E9_\u00C5ngstr\u00F6m"},
    {"composes-to-a-sign", "A", NULL, "a =\u0338 b", "A_a-b"},
    {"orders-marks", "A", NULL, "q\u0307\u0323", "A_q\u0323\u0307"},
    {"mark-without-letter", "A", NULL, "\u0301a 1\u0301 .\u0301x", "A_a-1-.-x"},
    {"marks-after-marks", "A", NULL, "x\u0323\u0335\u20DD", "A_x\u0335\u0323\u20DD"},
    {"joiner-parts-marks", "A", NULL, "a\u034F\u0301b", "A_a-b"},
    {"invisible-letters", "\u115F\u1160\u3164\uFFA0", NULL, "\u17B4\u180B\uFE0F\U000E0041",
     "unknown_no-subject"},
    {"soft-hyphen", "A", NULL, "Donau\u00ADdampf", "A_Donau-dampf"},
    {"private-and-unassigned", "A", NULL, "a\uE000\uFFFF\U0010FFFFb", "A_a-b"},
    {"replacement", "A", NULL, "a\uFFFDb", "A_a-b"},
    {"q-words", "=?utf-8?q?Ren=C3=A9?= Smith", NULL,
     "=?ISO-8859-1?Q?Gr=FC=DFe_an_alle?=", "Ren\u00E9-Smith_Gr\u00FC\u00DFe-an-alle"},
    {"b-words", "A", NULL, "=?utf-8?B?w6kx?=\r\n =?UTF-8?b?w6ky?=", "A_\u00E91\u00E92"},
    {"word-split-in-a-character", "A", NULL, "=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "A_\u00E9"},
    {"word-with-language", "A", NULL, "=?utf-8*en?q?=C3=A9?=", "A_\u00E9"},
    {"word-with-space", "A", NULL, "=?utf-8?q?a b?= c", "A_a-b-c"},
    {"word-in-quotes", "\"=?utf-8?q?Doe,_J=C3=B6?=\"", NULL, "Hi", "Doe-J\u00F6_Hi"},
    {"word-of-legacy-charset", "A", NULL, "=?iso-2022-jp?b?GyRCJDMbKEI=?=", "A_\u3053"},
    {"word-with-slash", "A", NULL, "=?utf-8?q?..=2F..=2Fa?=", "A_a"},
    {"word-with-nul", "A", NULL, "=?utf-8?q?a=00b?=", "A_a-b"},
    {"word-with-newline", "A", NULL, "=?utf-8?q?a=0D=0ABcc:_b?=", "A_a-Bcc-b"},
    {"word-of-invalid-utf8", "A", NULL, "=?utf-8?q?a=E9=FFb?=", "A_a-b"},
    {"word-of-surrogates", "A", NULL, "=?utf-8?q?a=ED=A0=80b?=", "A_a-b"},
    {"word-unfinished", "A", NULL, "=?utf-8?q?broken", "A_=-utf-8-q-broken"},
    {"word-of-unknown-encoding", "A", NULL, "=?utf-8?x?abc?=", "A_=-utf-8-x-abc-="},
    {"word-of-unknown-charset", "A", NULL, "=?nonsense?q?=E9?=", "A_\u00E9"},
    {"word-of-locale-charset", "A", NULL, "=?//?q?=C3=A9?= =?X-UNKNOWN?q?=E9?=", "A_\u00E9\u00E9"},
    {"raw-utf8", "Ren\u00E9", "rene@example.org", "\u65E5\u672C", "Ren\u00E9_\u65E5\u672C"},
    {"raw-latin1", "Ren\xE9", NULL,
     "Gr\xFC\xDF"
     "e",
     "Ren\u00E9_Gr\u00FC\u00DFe"},
    {"raw-windows-1252", "A", NULL, "\x8Akoda", "A_\u0160koda"},
    {"raw-address", NULL, "ren\xE9@example.org", "Hi", "ren\u00E9@example.org_Hi"},
};

static void has_name(gconstpointer data) {
  const Row *row = data;
  g_autofree char *name = name_of(DATE, row->from_name, row->from_address, row->subject, "4711");
  g_autofree char *want = g_strdup_printf(STAMP "%s,4711.eml", row->want);
  g_assert_cmpstr(name, ==, want);
  name_rule_check(name);
}

static void is_the_same_in_every_locale(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_assert_nonnull(setlocale(LC_ALL, "C.UTF-8"));
    has_name(&rows[i]);
    g_assert_nonnull(setlocale(LC_ALL, "C"));
    has_name(&rows[i]);
  }
}

// What a name was made of gives the same part again.
static void is_the_same_for_its_own_parts(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *name =
        name_of(DATE, rows[i].from_name, rows[i].from_address, rows[i].subject, "1");
    g_auto(GStrv) parts = name_rule_split(name);
    g_autofree char *again = name_of(DATE, parts[0], NULL, parts[1], parts[2]);
    g_autofree char *want = g_strconcat(name, ".eml", NULL);
    g_assert_cmpstr(again, ==, want);
  }
}

static const struct {
  int64_t internaldate;
  const char *want;
} dates[] = {
    {0, "1970-01-01_0000"},
    {59, "1970-01-01_0000"},
    {DATE, "2026-11-23_0343"},
    {INT64_C(4294967296), "2106-02-07_0628"},
    {INT64_C(253402300799), "9999-12-31_2359"},
    {INT64_C(253402300800), "0000-00-00_0000"},
    {INT64_MAX, "0000-00-00_0000"},
    {-1, "0000-00-00_0000"},
    {INT64_MIN, "0000-00-00_0000"},
};

static void begins_with_the_date(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(dates); i++) {
    g_autofree char *name = name_of(dates[i].internaldate, "A", NULL, "b", "1");
    g_autofree char *want = g_strconcat(dates[i].want, "_A_b,1.eml", NULL);
    g_assert_cmpstr(name, ==, want);
  }
}

static char *repeat(const char *text, size_t size) {
  GString *repeated = g_string_new(NULL);
  while (repeated->len < size)
    g_string_append(repeated, text);
  return g_string_free(repeated, FALSE);
}

#define ID "4294967295"
// Left for sender and subject beside date, separators and ID.
#define ROOM (150 - 15 - 3 - 10 - 4)

// The sizes in bytes that sender and subject of these sizes are cut to.
static const struct {
  size_t sender;
  size_t subject;
  size_t want_sender;
  size_t want_subject;
} sizes[] = {
    {10, 2000, 10, ROOM - 10},        {10, ROOM - 10, 10, ROOM - 10},
    {ROOM - 16, 2000, ROOM - 16, 16}, {ROOM - 15, 2000, ROOM - 16, 16},
    {2000, 2000, ROOM - 16, 16},      {2000, 16, ROOM - 16, 16},
    {2000, 2, ROOM - 2, 2},           {ROOM - 2, 2, ROOM - 2, 2},
};

static void is_cut_in_the_subject_first(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
    g_autofree char *sender = repeat("s", sizes[i].sender);
    g_autofree char *subject = repeat("t", sizes[i].subject);
    g_autofree char *name = name_of(DATE, sender, NULL, subject, ID);
    name_rule_check(name);
    g_auto(GStrv) parts = name_rule_split(name);
    g_assert_cmpuint(strlen(parts[0]), ==, sizes[i].want_sender);
    g_assert_cmpuint(strlen(parts[1]), ==, sizes[i].want_subject);
    g_assert_cmpstr(parts[2], ==, ID ".eml");
  }
}

// Repeated to 2,000 bytes: wherever the cut falls, no letter is parted from its marks, the part
// does not end in a dash, and what is left of it is found at the start of the whole.
static const char *const repeated[] = {
    "\u00E9",
    "\u65E5",
    "\U00010348",
    "a ",
    "ab, ",
    "x\u0323\u0307",
    "\u0928\u093F",
    "e\u0301\u0323 ",
    "\u1100\u1161\u11A8",
    "=?utf-8?q?=C3=A9_?= ",
    "\u05E9\u05C1\u05B8\u200F",
};

static void is_cut_between_letters(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(repeated); i++) {
    g_autofree char *text = repeat(repeated[i], 2000);
    for (size_t shift = 0; shift < 12; shift++) {
      g_autofree char *pad = g_strnfill(shift, 'p');
      g_autofree char *subject = g_strconcat(pad, text, NULL);
      g_autofree char *name = name_of(DATE, text, NULL, subject, ID);
      name_rule_check(name);
      g_auto(GStrv) parts = name_rule_split(name);
      g_assert_false(g_str_has_suffix(parts[0], "-"));
      g_assert_false(g_str_has_suffix(parts[1], "-"));
      g_autofree char *longer = name_of(DATE, "s", NULL, subject, "1");
      g_auto(GStrv) longer_parts = name_rule_split(longer);
      g_assert_true(g_str_has_prefix(longer_parts[1], parts[1]));
      const char *next = longer_parts[1] + strlen(parts[1]);
      g_assert_false(g_unichar_ismark(g_utf8_get_char(next)));
    }
  }
}

// Putting a run of marks in order must not take the square of its length.
static void survives_a_megabyte_of_marks(void) {
  g_autofree char *marks = repeat("\u031B\u0300\u0323", 1 << 20);
  g_autofree char *subject = g_strconcat("before a", marks, "after", NULL);
  g_autofree char *name = name_of(DATE, marks, NULL, subject, "1");
  g_assert_cmpstr(name, ==, STAMP "unknown_before,1.eml");
}

static bool is_letter_or_number(gunichar c) {
  static const GUnicodeType types[] = {
      G_UNICODE_LOWERCASE_LETTER, G_UNICODE_MODIFIER_LETTER,  G_UNICODE_OTHER_LETTER,
      G_UNICODE_TITLECASE_LETTER, G_UNICODE_UPPERCASE_LETTER, G_UNICODE_DECIMAL_NUMBER,
      G_UNICODE_LETTER_NUMBER,    G_UNICODE_OTHER_NUMBER,
  };
  static const gunichar fillers[] = {0x115F, 0x1160, 0x3164, 0xFFA0};
  for (size_t i = 0; i < G_N_ELEMENTS(fillers); i++)
    if (c == fillers[i]) return false;
  for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
    if (g_unichar_type(c) == types[i]) return true;
  return false;
}

static void obeys_for_every_code_point(void) {
  for (gunichar c = 1; c <= 0x10FFFF; c++) {
    if (c == 0xD800) c = 0xE000;
    char subject[8] = "";
    subject[g_unichar_to_utf8(c, subject)] = '\0';
    bool kept = is_letter_or_number(c) || c == '@' || c == '+' || c == '=';
    g_autofree char *composed = g_utf8_normalize(subject, -1, G_NORMALIZE_NFC);
    g_autofree char *name = name_of(0, NULL, NULL, subject, "1");
    g_autofree char *want =
        g_strdup_printf("1970-01-01_0000_unknown_%s,1.eml", kept ? composed : "no-subject");
    if (strcmp(name, want) != 0) g_error("U+%04X: %s, not %s", c, name, want);
  }
}

static bool is_invisible_mark(gunichar c) {
  return c == 0x034F || c == 0x17B4 || c == 0x17B5 || (c >= 0x180B && c <= 0x180F) ||
         (c >= 0xFE00 && c <= 0xFE0F) || (c >= 0xE0100 && c <= 0xE01EF);
}

static void keeps_every_visible_mark_after_a_letter(void) {
  for (gunichar c = 1; c <= 0x10FFFF; c++) {
    if (!g_unichar_ismark(c)) continue;
    g_autoptr(GString) subject = g_string_new("a");
    g_string_append_unichar(subject, c);
    g_autofree char *composed = g_utf8_normalize(subject->str, -1, G_NORMALIZE_NFC);
    g_autofree char *name = name_of(0, "A", NULL, subject->str, "1");
    g_autofree char *want =
        g_strdup_printf("1970-01-01_0000_A_%s,1.eml", is_invisible_mark(c) ? "a" : composed);
    if (strcmp(name, want) != 0) g_error("U+%04X: %s, not %s", c, name, want);
  }
}

static const struct {
  const char *raw;
  const char *want;
} texts[] = {
    {"", ""},
    {"Quarterly  report, 50% / a_b", "Quarterly  report, 50% / a_b"},
    {"folded\r\n line\r\n\tend\r\n", "folded line end"},
    {"\x01 a\x02\x03"
     "b\x7f",
     " a b"},
    {"a\u2028b", "a b"},
    {"=?utf-8?q?caf=C3=A9=0Anoir?=", "caf\u00E9 noir"},
    {"=?utf-8?q?=E9?=", "?"},
    {"caf\xE9", "caf\u00E9"},
};

static void header_text_is_valid_and_printable(void) {
  g_assert_null(name_header_text(NULL));
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autofree char *text = name_header_text(texts[i].raw);
    g_assert_cmpstr(text, ==, texts[i].want);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/name/", rows[i].path, NULL);
    g_test_add_data_func(path, &rows[i], has_name);
  }
  g_test_add_func("/name/every-locale", is_the_same_in_every_locale);
  g_test_add_func("/name/own-parts", is_the_same_for_its_own_parts);
  g_test_add_func("/name/date", begins_with_the_date);
  g_test_add_func("/name/subject-is-cut-first", is_cut_in_the_subject_first);
  g_test_add_func("/name/cut-between-letters", is_cut_between_letters);
  g_test_add_func("/name/megabyte-of-marks", survives_a_megabyte_of_marks);
  g_test_add_func("/name/every-code-point", obeys_for_every_code_point);
  g_test_add_func("/name/every-mark", keeps_every_visible_mark_after_a_letter);
  g_test_add_func("/name/header-text", header_text_is_valid_and_printable);
  return g_test_run();
}
