#include "net/imap_command.h"

#include <stdint.h>
#include <string.h>

typedef struct {
  const char *name;
  const char *text;
  size_t free_literal_bytes;
  const char *parts[3];
} Row;

// Nothing in a name can end the command or begin another.
static const Row rows[] = {
    {"plain", "INBOX", 0, {"a1 EXAMINE \"INBOX\"\r\n"}},
    {"empty", "", 0, {"a1 EXAMINE \"\"\r\n"}},
    {"wildcards", "a*%b", 0, {"a1 EXAMINE \"a*%b\"\r\n"}},
    {"quotes", "a\"\\b", 0, {"a1 EXAMINE \"a\\\"\\\\b\"\r\n"}},
    {"braces", "a{3}", 0, {"a1 EXAMINE \"a{3}\"\r\n"}},
    {"line-ends", "a\r\na2 DELETE b", 0, {"a1 EXAMINE {14}\r\n", "a\r\na2 DELETE b\r\n"}},
    {"line-ends-free", "a\r\nb", SIZE_MAX, {"a1 EXAMINE {4+}\r\na\r\nb\r\n"}},
    {"eight-bit", "\xc3\xa9", 0, {"a1 EXAMINE {2}\r\n", "\xc3\xa9\r\n"}},
    {"eight-bit-free", "\xc3\xa9", 2, {"a1 EXAMINE {2+}\r\n\xc3\xa9\r\n"}},
    {"eight-bit-too-long-to-be-free", "\xc3\xa9", 1, {"a1 EXAMINE {2}\r\n", "\xc3\xa9\r\n"}},
    {"control", "a\tb", 0, {"a1 EXAMINE {3}\r\n", "a\tb\r\n"}},
};

static void assert_part(const ImapCommand *command, size_t index, const char *expected) {
  size_t size = 0;
  const char *bytes = g_bytes_get_data(imap_command_part(command, index), &size);
  g_assert_cmpmem(bytes, size, expected, strlen(expected));
}

static void test_row(gconstpointer data) {
  const Row *row = data;
  g_autoptr(ImapCommand) command = imap_command_new("a1", "EXAMINE", row->free_literal_bytes);
  imap_command_add_string(command, row->text);
  imap_command_end(command);
  g_assert_cmpstr(imap_command_tag(command), ==, "a1");
  for (size_t i = 0; row->parts[i]; i++) {
    g_assert_cmpuint(i, <, imap_command_n_parts(command));
    assert_part(command, i, row->parts[i]);
    g_assert_cmpuint(imap_command_n_parts(command), ==, row->parts[1] ? 2 : 1);
  }
}

// A name too long for a server's line is no part of the line.
static void test_long_name(void) {
  g_autofree char *name = g_strnfill(1001, 'x');
  g_autofree char *rest = g_strconcat(name, "\r\n", NULL);
  g_autoptr(ImapCommand) command = imap_command_new("a1", "EXAMINE", 0);
  imap_command_add_string(command, name);
  imap_command_end(command);
  assert_part(command, 0, "a1 EXAMINE {1001}\r\n");
  assert_part(command, 1, rest);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/imap-command/", rows[i].name, NULL);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  g_test_add_func("/imap-command/long-name", test_long_name);
  return g_test_run();
}
