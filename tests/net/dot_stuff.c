#include "net/dot_stuff.h"

#include <string.h>

static const struct {
  const char *message, *wire;
} rows[] = {
    {"", ".\r\n"},
    {"a\r\n", "a\r\n.\r\n"},
    {"a", "a\r\n.\r\n"},
    {".", "..\r\n.\r\n"},
    {".\r\n", "..\r\n.\r\n"},
    {"..\r\n", "...\r\n.\r\n"},
    {"a\r\n.b\r\nc.d\r\n", "a\r\n..b\r\nc.d\r\n.\r\n"},
    {"a\r\n.\r\nMAIL FROM:<>\r\n", "a\r\n..\r\nMAIL FROM:<>\r\n.\r\n"},
    // Line ends of other kinds, with which a dot could be smuggled past this end.
    {"a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"},
    {"a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n"},
    {"a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"},
    {"a\r\r\n.\r\n", "a\r\n\r\n..\r\n.\r\n"},
    {"a\n\r.\r\n", "a\r\n\r\n..\r\n.\r\n"},
    {"\r\n\r\n", "\r\n\r\n.\r\n"},
};

static void stuff_in_three(const char *message, size_t first, size_t second, GByteArray *out) {
  DotStuffer stuffer = {0};
  dot_stuffer_add(&stuffer, out, message, first);
  dot_stuffer_add(&stuffer, out, message + first, second - first);
  dot_stuffer_add(&stuffer, out, message + second, strlen(message) - second);
  dot_stuffer_end(&stuffer, out);
}

// The message on the wire is the same however it is cut into pieces.
static void test_all_splits(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  const char *message = rows[row].message, *wire = rows[row].wire;
  for (size_t first = 0; first <= strlen(message); first++) {
    for (size_t second = first; second <= strlen(message); second++) {
      g_autoptr(GByteArray) out = g_byte_array_new();
      stuff_in_three(message, first, second, out);
      g_assert_cmpmem(out->data, out->len, wire, strlen(wire));
    }
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/dot-stuff/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_all_splits);
  }
  return g_test_run();
}
