#include "net/error.h"
#include "net/imap.h"
#include "tests/net/wire_script.h"

// A server that lists `count` folders with names of `length` digits, all of them so many times.
static Wire *endless_server(unsigned count, int length, unsigned times) {
  g_autoptr(GString) text = g_string_new(
      "C: a1 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: a1 OK done\nC: a2 LIST \"\" \"*\"\nS= ");
  for (unsigned i = 0; i < count * times; i++)
    g_string_append_printf(text, "* LIST () \"/\" %0*u\\x0a", length, i % count);
  g_string_append(text, "\nS: a2 OK done\nC: a3 LOGOUT\nS: * BYE\nS! close\n");
  return wire_script_new(text->str, WIRE_SCRIPT_WHOLE, 0);
}

static bool count_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  (*(unsigned *)data)++;
  return true;
}

static const struct {
  const char *name;
  unsigned count;
  int length;
  unsigned times;
  bool is_listed;
} rows[] = {
    {"many", 100000, 6, 1, true},
    {"repeated", 1000, 6, 200, true},
    {"too-many", 100001, 6, 1, false},
    {"too-long", 1000, 20000, 1, false},
};

// A listing that does not end is LIMIT before it fills our memory, and the connection lives on.
static void test_limit(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  Wire *wire = endless_server(rows[row].count, rows[row].length, rows[row].times);
  g_autoptr(GError) error = NULL;
  g_autoptr(Mailbox) mailbox = imap_mailbox_new(wire, "imap1", &error);
  g_assert_no_error(error);
  unsigned told = 0;
  bool is_listed = mailbox_list(mailbox, count_folder, NULL, &told, &error);
  g_assert_true(is_listed == rows[row].is_listed);
  if (is_listed)
    g_assert_cmpuint(told, ==, rows[row].count);
  else
    g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/imap-list/limit/", rows[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_limit);
  }
  return g_test_run();
}
