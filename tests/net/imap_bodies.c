#include <string.h>

#include "net/error.h"
#include "net/imap.h"
#include "tests/net/wire_script.h"

// Each second UID, too many to be named by one line.
static UidSet *many_uids(void) {
  UidSet *uids = uid_set_new();
  for (uint32_t uid = 1000001; uid < 1024000; uid += 2)
    uid_set_add(uids, uid);
  return uids;
}

// The lines that ask for them: none is longer than servers take.
static GPtrArray *many_lines(const UidSet *uids) {
  GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
  size_t next = 0;
  for (char *set; (set = uid_set_print(uids, &next, 7900)); g_free(set)) {
    char *line = g_strdup_printf("a%u UID FETCH %s (UID BODY.PEEK[])", lines->len + 3, set);
    g_assert_cmpuint(strlen(line) + 2, <=, 8000);
    g_ptr_array_add(lines, line);
  }
  return lines;
}

// A server that is sent so many lines before each of its answers; the last line asked is `last`.
static Wire *server_of(const GPtrArray *lines, guint last, const char *answer) {
  const guint ahead = 7;
  GString *text = g_string_new(
      "C: a1 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: a1 OK\n"
      "C: a2 EXAMINE \"INBOX\"\n");
  for (guint i = 0; i < MIN(ahead, last); i++)
    g_string_append_printf(text, "C: %s\n", (char *)lines->pdata[i]);
  g_string_append(text, "S: * OK [UIDVALIDITY 1]\nS: a2 OK\n");
  for (guint i = 0; i < last; i++) {
    if (ahead + i < last) g_string_append_printf(text, "C: %s\n", (char *)lines->pdata[ahead + i]);
    g_string_append_printf(text, "%sS: a%u OK\n", answer, i + 3);
  }
  g_string_append_printf(text, "C: a%u LOGOUT\nS! close\n", last + 3);
  Wire *wire = wire_script_new(text->str, WIRE_SCRIPT_RANDOM, 1);
  g_string_free(text, TRUE);
  return wire;
}

typedef struct {
  unsigned n_begun, n_ended;
  bool fails;
} Taker;

static bool take_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Taker *taker = data;
  taker->n_begun++;
  if (taker->fails) g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "no room");
  return !taker->fails;
}

static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  g_assert_false(((Taker *)data)->fails);
  return true;
}

static bool take_end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  ((Taker *)data)->n_ended++;
  return true;
}

static void take_withheld(uint32_t uid, gpointer data) {
  g_assert_not_reached();
}

static bool fetch(Wire *wire, const UidSet *uids, Taker *taker, GError **error) {
  g_autoptr(Mailbox) mailbox = imap_mailbox_new(wire, "imap1", error);
  const MailboxRequest request = {.folder = "INBOX", .uidvalidity = 1, .uids = uids};
  const MailboxBodyFuncs funcs = {take_begin, take_bytes, take_end, take_withheld, taker};
  g_assert_nonnull(mailbox);
  return mailbox_request(mailbox, &request, error) && mailbox_receive(mailbox, &funcs, error);
}

// A request of any size fits into lines that servers take, few of which are under way at once.
static void test_many(void) {
  g_autoptr(UidSet) uids = many_uids();
  g_autoptr(GPtrArray) lines = many_lines(uids);
  g_autoptr(GError) error = NULL;
  Taker taker = {0};
  g_assert_cmpuint(lines->len, >, 10);
  fetch(server_of(lines, lines->len, ""), uids, &taker, &error);
  g_assert_no_error(error);
}

// A callback that failed is not called again, and nothing more is asked for it.
static void test_stopped(void) {
  g_autoptr(UidSet) uids = many_uids();
  g_autoptr(GPtrArray) lines = many_lines(uids);
  g_autoptr(GError) error = NULL;
  Taker taker = {.fails = true};
  const char *answer =
      "S: * 1 FETCH (UID 1000003 BODY[] \"abc\")\nS: * 2 FETCH (UID 1000005 BODY[] NIL)\n";
  fetch(server_of(lines, 8, answer), uids, &taker, &error);
  g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
  g_assert_cmpuint(taker.n_begun, ==, 1);
  g_assert_cmpuint(taker.n_ended, ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/imap-bodies/many", test_many);
  g_test_add_func("/imap-bodies/stopped", test_stopped);
  return g_test_run();
}
