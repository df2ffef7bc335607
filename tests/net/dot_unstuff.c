#include "net/dot_unstuff.h"

#include <string.h>

#include <glib.h>

#include "net/dot_stuff.h"

// What stands behind "|" is not the message's any more.
static const struct {
  const char *wire, *message;
} rows[] = {
    {".\r\n|", ""},
    {".\n|", ""},
    {"\r\n.\r\n|", "\r\n"},
    {"a\r\n.\r\n|+OK\r\n.\r\n", "a\r\n"},
    {"a\r\nb\r\n.\r\n|", "a\r\nb\r\n"},
    {"..\r\n.\r\n|", ".\r\n"},
    {"...\r\n.\r\n|", "..\r\n"},
    {"..a\r\n.\r\n|", ".a\r\n"},
    {"a\r\n..\r\n..b\r\n.\r\n|", "a\r\n.\r\n.b\r\n"},
    {"a.\r\n.\r\n|", "a.\r\n"},
    {"a..b\r\n.\r\n|", "a..b\r\n"},
    // A server that doubles no dots.
    {".a\r\n.\r\n|", ".a\r\n"},
    {"a\r\n.b\r\n.\r\n|", "a\r\n.b\r\n"},
    // Lone CRs and LFs in a message with CRLF are neither line ends nor the end.
    {"a\r\nb\n.\n.\r\nc\r\n.\r\n|", "a\r\nb\n.\n.\r\nc\r\n"},
    {"a\r\nb\n..c\r\n.\r\n|", "a\r\nb\n..c\r\n"},
    {"a\r\n.\nb\r\n.\r\n|", "a\r\n.\nb\r\n"},
    {"a\r\n.\rb\r\n.\r\n|", "a\r\n.\rb\r\n"},
    {"a\r\n.\r\r\n.\r\n|", "a\r\n.\r\r\n"},
    {"a\r.\r\nb\r\n.\r\n|", "a\r.\r\nb\r\n"},
    {"a\r\r\n.\r\n|", "a\r\r\n"},
    // A server that knows no CRLF.
    {"a\n.\n|", "a\n"},
    {"a\n..\n.\n|", "a\n.\n"},
    {"a\n..b\n.\n|", "a\n.b\n"},
    {"\n.\n|", "\n"},
    {"a\nb\r\n.\r\n|", "a\nb\r\n"},
};

static void unstuff(DotUnstuffer *unstuffer, GString *out, const char *bytes, size_t size,
                    size_t *used) {
  size_t at = 0;
  while (at < size && !dot_unstuffer_is_over(unstuffer)) {
    const char *run;
    size_t run_size;
    size_t taken = dot_unstuffer_take(unstuffer, bytes + at, size - at, &run, &run_size);
    g_assert_true(taken > 0 || run_size > 0);
    g_string_append_len(out, run, (gssize)run_size);
    at += taken;
  }
  *used += at;
}

// The message is the same however the stream is cut, and its end is found at the byte.
static void test_all_splits(gconstpointer data) {
  const char *message = rows[GPOINTER_TO_SIZE(data)].message;
  g_auto(GStrv) parts = g_strsplit(rows[GPOINTER_TO_SIZE(data)].wire, "|", 2);
  g_autofree char *wire = g_strconcat(parts[0], parts[1], NULL);
  size_t length = strlen(wire);
  for (size_t first = 0; first <= length; first++) {
    for (size_t second = first; second <= length; second++) {
      DotUnstuffer unstuffer = {0};
      g_autoptr(GString) out = g_string_new(NULL);
      size_t used = 0;
      unstuff(&unstuffer, out, wire, first, &used);
      unstuff(&unstuffer, out, wire + first, second - first, &used);
      unstuff(&unstuffer, out, wire + second, length - second, &used);
      g_assert_true(dot_unstuffer_is_over(&unstuffer));
      g_assert_cmpstr(out->str, ==, message);
      g_assert_cmpuint(used, ==, strlen(parts[0]));
    }
  }
}

// What the stuffer wrote is read back.
static void test_round_trip(void) {
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  for (int round = 0; round < 2000; round++) {
    static const char *const pieces[] = {".", "\r\n", "a", ".\r\n", "..", "bc"};
    g_autoptr(GString) message = g_string_new("A: b\r\n");
    for (int i = g_rand_int_range(rand, 0, 12); i > 0; i--)
      g_string_append(message, pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]);
    if (!g_str_has_suffix(message->str, "\r\n")) g_string_append(message, "\r\n");
    DotStuffer stuffer = {0};
    DotUnstuffer unstuffer = {0};
    g_autoptr(GByteArray) wire = g_byte_array_new();
    g_autoptr(GString) out = g_string_new(NULL);
    size_t used = 0;
    dot_stuffer_add(&stuffer, wire, message->str, message->len);
    dot_stuffer_end(&stuffer, wire);
    unstuff(&unstuffer, out, (const char *)wire->data, wire->len, &used);
    g_assert_cmpstr(out->str, ==, message->str);
    g_assert_cmpuint(used, ==, wire->len);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/dot-unstuff/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_all_splits);
  }
  g_test_add_func("/dot-unstuff/round-trip", test_round_trip);
  return g_test_run();
}
