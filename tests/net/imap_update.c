#include <string.h>

#include "net/error.h"
#include "net/imap.h"
#include "tests/net/wire_script.h"

// How a server tells each second UID of `count`, on one line.
typedef struct {
  const char *name;
  const char *capabilities;
  const char *search;  // NULL: VANISHED in the answer to EXAMINE
  const char *line;
  char separator;
  unsigned count;
  bool is_told;
} Row;

static const Row rows[] = {
    {"search", "CONDSTORE", "UID SEARCH UID", "* SEARCH ", ' ', 500000, true},
    {"esearch", "CONDSTORE ESEARCH", "UID SEARCH RETURN (ALL) UID",
     "* ESEARCH (TAG \"a1\") UID ALL ", ',', 500000, true},
    {"vanished", "ENABLE QRESYNC CONDSTORE", NULL, "* VANISHED (EARLIER) ", ',', 500000, true},
    {"too-many", "CONDSTORE", "UID SEARCH UID", "* SEARCH ", ' ', 5000000, false},
};

static void append_line(GString *text, const Row *row) {
  g_string_append_printf(text, "S: %s", row->line);
  for (unsigned i = 0; i < row->count; i++) {
    if (i > 0) g_string_append_c(text, row->separator);
    g_string_append_printf(text, "%u", 2 * i + 1);
  }
  g_string_append_c(text, '\n');
}

static const char examined[] =
    "S: * 500000 EXISTS\nS: * OK [UIDVALIDITY 7] ok\nS: * OK [HIGHESTMODSEQ 950] ok\n";

static Wire *server_of(const Row *row) {
  GString *text = g_string_new(NULL);
  g_string_printf(text, "C: a1 CAPABILITY\nS: * CAPABILITY IMAP4rev1 %s\nS: a1 OK done\n",
                  row->capabilities);
  if (row->search) {
    g_string_append_printf(text, "C~ a2 EXAMINE*\nC~ a3 UID FETCH*\nC~ a4 UID FETCH*\n%s",
                           examined);
    g_string_append_printf(text, "S: a2 OK\nS: a3 OK\nS: a4 OK\nC: a5 %s 1:10000000\n",
                           row->search);
    append_line(text, row);
    g_string_append(text, "S: a5 OK\nC: a6 LOGOUT\nS! close\n");
  } else {
    g_string_append_printf(text,
                           "C: a2 ENABLE QRESYNC\nS: * ENABLED QRESYNC\nS: a2 OK\n"
                           "C~ a3 EXAMINE*\nC~ a4 UID FETCH*\n%s",
                           examined);
    append_line(text, row);
    g_string_append(text, "S: a3 OK\nS: a4 OK\nC: a5 LOGOUT\nS! close\n");
  }
  Wire *wire = wire_script_new(text->str, WIRE_SCRIPT_WHOLE, 0);
  g_string_free(text, TRUE);
  return wire;
}

static bool no_message(const MailboxMessage *message, gpointer data, GError **error) {
  g_assert_not_reached();
}

static bool add_vanished(UidRange range, gpointer data, GError **error) {
  uid_set_add_range(data, range.first, range.last);
  return true;
}

// A line may be as long as a folder with gaps makes it; one that names more messages than any
// folder has is LIMIT before it fills our memory, and the connection lives on.
static void test_long_line(gconstpointer data) {
  const Row *row = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(UidSet) told = uid_set_new();
  g_autoptr(Mailbox) mailbox = imap_mailbox_new(server_of(row), "imap1", &error);
  g_assert_no_error(error);
  const MailboxKnown known = {
      .folder = "INBOX", .uidvalidity = 7, .last_uid = 10000000, .count = 700000, .modseq = 900};
  const MailboxUpdateFuncs funcs = {.message = no_message, .vanished = add_vanished, .data = told};
  MailboxUpdate update = {.present = told};
  bool good = mailbox_update(mailbox, &known, &funcs, &update, &error);
  g_assert_true(good == row->is_told);
  if (!row->is_told) {
    g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
    return;
  }
  g_assert_true(update.is_present_told == (row->search != NULL));
  g_assert_cmpuint(uid_set_count(told), ==, row->count);
  g_assert_cmpuint(uid_set_last(told), ==, 2 * row->count - 1);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/imap-update/long-line/", rows[i].name, NULL);
    g_test_add_data_func(path, &rows[i], test_long_line);
  }
  return g_test_run();
}
