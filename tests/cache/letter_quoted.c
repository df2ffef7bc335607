// Claim: quoted-printable lines have at most 76 characters, none begins with "-" or ends in a
// blank, and what they decode to is the text, whatever bytes it has.
#include "cache/letter_quoted.h"

#include <gmime/gmime.h>
#include <string.h>

static GString *encode(const char *text, size_t size) {
  LetterQuoted quoted = {0};
  char out[LETTER_QUOTED_MAX];
  GString *encoded = g_string_new(NULL);
  for (size_t i = 0; i < size; i++)
    g_string_append_len(encoded, out, (gssize)letter_quoted_put(&quoted, text[i], out));
  return g_string_append_len(encoded, out, (gssize)letter_quoted_end(&quoted, out));
}

typedef struct {
  const char *name, *text, *encoded;
} Row;

#define X70 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const Row rows[] = {
    {"nothing", "", ""},
    {"plain text", "Hello, world!\n", "Hello, world!\r\n"},
    {"CRLF", "a\r\nb\r\n", "a\r\nb\r\n"},
    {"no newline", "a", "a"},
    {"an equals sign", "a=b\n", "a=3Db\r\n"},
    {"8-bit", "\xc3\xa9\n", "=C3=A9\r\n"},
    {"a control character", "\x1b[0m\x7f\n", "=1B[0m=7F\r\n"},
    {"blanks within", "a b\tc\n", "a b\tc\r\n"},
    {"a blank at the end of a line", "a \nb\t\r\n", "a=20\r\nb=09\r\n"},
    {"blanks at the end of a line", "a  \n", "a =20\r\n"},
    {"a blank alone", " \n", "=20\r\n"},
    {"a blank at the end of all", "a ", "a=20"},
    {"a hyphen first", "--b\n-\na-\n", "=2D-b\r\n=2D\r\na-\r\n"},
    {"75 characters", X70 "12345\n", X70 "12345\r\n"},
    {"76 characters", X70 "123456\n", X70 "12345=\r\n6\r\n"},
    {"a code that just fits", X70 "12=\n", X70 "12=3D\r\n"},
    {"a code that does not fit", X70 "123=\n", X70 "123=\r\n=3D\r\n"},
    {"a hyphen behind a soft break", X70 "12345--b\n", X70 "12345=\r\n=2D-b\r\n"},
    {"a blank behind a soft break", X70 "12345 b\n", X70 "12345=\r\n b\r\n"},
    {"a last blank behind a soft break", X70 "12345 \n", X70 "12345=\r\n=20\r\n"},
};

static void test_row(gconstpointer data) {
  const Row *row = data;
  g_autoptr(GString) encoded = encode(row->text, strlen(row->text));
  g_assert_cmpstr(encoded->str, ==, row->encoded);
}

static void assert_lines(const GString *encoded) {
  g_auto(GStrv) lines = g_strsplit(encoded->str, "\r\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    g_assert_cmpuint(strlen(*line), <=, 76);
    g_assert_false(**line == '-');
    g_assert_false(g_str_has_suffix(*line, " ") || g_str_has_suffix(*line, "\t"));
    g_assert_true(g_str_is_ascii(*line));
  }
}

// Random text of few characters, decoded by GMime, is the same again.
static void test_decoded(void) {
  static const char bytes[] = "aaaa  \t=-\n\n\x80\xff";
  for (unsigned round = 0; round < 2000; round++) {
    g_autoptr(GString) text = g_string_new(NULL);
    for (int left = g_test_rand_int_range(0, 400); left > 0; left--)
      g_string_append_c(text, bytes[g_test_rand_int_range(0, sizeof bytes - 1)]);
    g_autoptr(GString) encoded = encode(text->str, text->len);
    assert_lines(encoded);
    GMimeEncoding decoder;
    g_mime_encoding_init_decode(&decoder, GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE);
    g_autofree char *decoded = g_malloc0(encoded->len + 4);
    g_mime_encoding_step(&decoder, encoded->str, encoded->len, decoded);
    g_autoptr(GString) expected = g_string_new(text->str);
    g_string_replace(expected, "\n", "\r\n", 0);
    g_assert_cmpstr(decoded, ==, expected->str);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/letter_quoted/", rows[i].name, NULL);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  g_test_add_func("/letter_quoted/decoded", test_decoded);
  return g_test_run();
}
