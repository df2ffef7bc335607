// Claim: which file is a letter, whose lock a lock is, how a letter is called whose name is taken
// and when it is tried again follow from names and numbers alone, as the manual page says.
#include "cache/outbox_rules.h"

#include <string.h>

typedef struct {
  const char *name;
  bool allowed, sendable;
} Name;

static const Name names[] = {
    {"mail", true, true},
    {"mail.eml", true, true},
    {"a b", true, true},
    {"entw\xc3\xbcrfe", true, true},
    {"~mail", true, true},
    {"#mail", true, true},
    {"mail#", true, true},
    {"#", true, true},
    {"14913", true, true},
    {"swp", true, true},
    {"errors", true, true},
    {".mail", true, false},
    {".mail.swp", true, false},
    {"mail~", true, false},
    {"~", true, false},
    {"mail.swp", true, false},
    {"4913", true, false},
    {"#mail#", true, false},
    {"##", true, false},
    {"...", true, false},
    {"", false, true},
    {".", false, false},
    {"..", false, false},
    {"a/b", false, true},
    {"a\nb", false, true},
    {"a\x7f", false, true},
    {"mail.error", false, true},
    {".error", false, false},
    {"mail.error~", true, false},
};

static void test_names(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_test_message("%s", names[i].name);
    g_assert_cmpint(outbox_name_is_allowed(names[i].name), ==, names[i].allowed);
    g_assert_cmpint(outbox_name_is_sendable(names[i].name), ==, names[i].sendable);
  }
}

typedef struct {
  const char *lock, *target;  // NULL: no lock
} Lock;

static const Lock locks[] = {
    {".mail.swp", "mail"},
    {".mail.swo", "mail"},
    {".mail.swa", "mail"},
    {".#mail", "mail"},
    {".~lock.mail#", "mail"},
    {".mail.eml.swp", "mail.eml"},
    {".mail.swP", NULL},
    {".mail.swpx", NULL},
    {"mail.swp", NULL},
    {".swp", NULL},
    {".#", NULL},
    {".~lock.#", NULL},
    {".~lock.mail", NULL},
    {"mail", NULL},
    {".mail", NULL},
};

static void test_locks(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(locks); i++) {
    g_autofree char *target = outbox_lock_target(locks[i].lock);
    g_assert_cmpstr(target, ==, locks[i].target);
  }
}

// Each lock that a name may have is recognised as that name's.
static void test_locks_of_a_name(void) {
  unsigned count = 0;
  g_autofree char *lock = outbox_lock_name("mail", 0);
  while (lock != NULL) {
    g_autofree char *target = outbox_lock_target(lock);
    g_assert_cmpstr(target, ==, "mail");
    g_free(lock);
    lock = outbox_lock_name("mail", ++count);
  }
  g_assert_cmpuint(count, ==, 28);
}

static void test_labels(void) {
  g_autofree char *same = outbox_label("mail", 0);
  g_autofree char *next = outbox_label("mail", 12);
  g_assert_cmpstr(same, ==, "mail");
  g_assert_cmpstr(next, ==, "mail+12");
  // 127 characters of two bytes: the cut falls between characters.
  g_autoptr(GString) name = g_string_new("x");
  for (unsigned i = 0; i < 127; i++)
    g_string_append(name, "\xc3\xa9");
  for (unsigned n = 0; n < 200; n++) {
    g_autofree char *label = outbox_label(name->str, n);
    g_assert_cmpuint(strlen(label) + strlen(OUTBOX_ERROR_SUFFIX), <=, OUTBOX_NAME_MAX);
    g_assert_cmpuint(strlen(label) + strlen(OUTBOX_ERROR_SUFFIX), >=, OUTBOX_NAME_MAX - 1);
    g_assert_true(g_utf8_validate(label, -1, NULL));
  }
}

// A long name cut just behind ".error" would be a note's, and nobody could reach the letter.
static void test_label_is_no_note(void) {
  g_autofree char *stem = g_strnfill(243, 'a');
  g_autofree char *name = g_strconcat(stem, ".errorxyz", NULL);
  g_assert_true(outbox_name_is_allowed(name));
  for (unsigned n = 0; n < 12; n++) {
    g_autofree char *label = outbox_label(name, n);
    g_assert_true(outbox_name_is_allowed(label));
  }
}

static void test_retry_delay(void) {
  static const int64_t minutes[] = {1, 2, 4, 8, 16, 32, 60, 60};
  for (unsigned i = 0; i < G_N_ELEMENTS(minutes); i++)
    g_assert_cmpint(outbox_retry_delay_ms(60000, i + 1), ==, minutes[i] * 60000);
  g_assert_cmpint(outbox_retry_delay_ms(60000, 1000000), ==, 60 * 60000);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/outbox/rules/names", test_names);
  g_test_add_func("/outbox/rules/locks", test_locks);
  g_test_add_func("/outbox/rules/locks of a name", test_locks_of_a_name);
  g_test_add_func("/outbox/rules/labels", test_labels);
  g_test_add_func("/outbox/rules/a label is no note", test_label_is_no_note);
  g_test_add_func("/outbox/rules/retry delay", test_retry_delay);
  return g_test_run();
}
