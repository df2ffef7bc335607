#include "net/imap_utf7.h"

typedef struct {
  const char *name;  // as in IMAP
  const char *utf8;  // NULL: not to be decoded
} Row;

static const Row rows[] = {
    {"INBOX", "INBOX"},
    {"", ""},
    {"a&-b", "a&b"},
    {"&-", "&"},
    {"&-&-", "&&"},
    {"Entw&APw-rfe/&AOk- &- co", "Entwürfe/é & co"},
    {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"},  // RFC 3501 5.1.3
    {"&2D3eAA-", "😀"},
    {"&AAEACg-", "\001\n"},
    {"&AH8-", "\177"},
    {"&,,8-", "\xef\xbf\xbf"},  // U+FFFF
    // Not modified UTF-7.
    {"&", NULL},
    {"a&b", NULL},
    {"&AOk", NULL},
    {"&A-", NULL},
    {"&AO-", NULL},
    {"&AOk=-", NULL},
    {"&AO/k-", NULL},
    {"&!!!-", NULL},
    {"caf\xc3\xa9", NULL},
    {"caf\xe9", NULL},
    {"a\tb", NULL},
    {"a\177b", NULL},
    // Another spelling than ours: shown raw, so that no two names look the same.
    {"&AGE-", NULL},       // a
    {"&ACY-", NULL},       // &
    {"&AOk-&AOk-", NULL},  // éé in two runs
    {"&AOl-", NULL},       // é with bits left over
    {"&AOkA-", NULL},      // and with a digit too many
    {"&2D0-", NULL},       // half a surrogate pair
    {"&3gDYPQ-", NULL},    // the wrong way round
    {"&AAA-", NULL},       // NUL
};

static void test_row(gconstpointer data) {
  const Row *row = data;
  g_autofree char *utf8 = imap_utf7_decode(row->name);
  g_assert_cmpstr(utf8, ==, row->utf8);
  if (!row->utf8) return;
  g_autofree char *name = imap_utf7_encode(row->utf8);
  g_assert_cmpstr(name, ==, row->name);
}

// What is not UTF-8 has no name.
static void test_not_utf8(void) {
  g_assert_null(imap_utf7_encode("caf\xe9"));
  g_assert_null(imap_utf7_encode("\xed\xa0\x80"));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/imap-utf7/%zu", i);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  g_test_add_func("/imap-utf7/not-utf8", test_not_utf8);
  return g_test_run();
}
