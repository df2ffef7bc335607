// Which extended attributes a thing has. Sizes and errnos are tried at a real mount
// (mount_changing.c).
#include "fs/xattr.h"

#include <linux/limits.h>
#include <string.h>

#include "tests/fs/fake.h"

static const Thing message = {.kind = THING_MESSAGE, .ino = 1000};
static const Thing folder = {.kind = THING_FOLDER, .ino = INODE_ROOT};
static const Thing letter = {.kind = THING_LETTER, .ino = OUTBOX_FAILED_INO + 1};

static const struct {
  const Thing *thing;
  const char *name;
  const char *expected;  // NULL: ABSENT
} rows[] = {
    {&message, "user.mailfs.uid", "4711"},
    {&message, "user.mailfs.from", "Alice <alice@example.org>"},
    {&message, "user.mailfs.subject", NULL},  // the store has none
    {&message, "user.mailfs.state", NULL},
    {&message, "user.mailfs.", NULL},
    {&message, "user.mailfs.uidx", NULL},
    {&folder, "user.mailfs.uid", NULL},
    {&letter, "user.mailfs.state", "held"},
    {&letter, "user.mailfs.error", NULL},
    {&letter, "user.mailfs.uid", NULL},
};

static void test_get(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Store *store = fake_store_new(context);
  Outbox *outbox = fake_outbox_new();
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *text = NULL;
    StoreAnswer answer = xattr_get(store, outbox, rows[i].thing, rows[i].name, &text);
    g_assert_cmpint(answer, ==, rows[i].expected != NULL ? STORE_FOUND : STORE_ABSENT);
    g_assert_cmpstr(text, ==, rows[i].expected);
  }
  fake_outbox_free(outbox);
  fake_store_free(store);
}

// Of a text longer than the kernel passes on comes as much as it does, in whole characters.
static void test_long(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Store *store = fake_store_new(context);
  Outbox *outbox = fake_outbox_new();
  g_autofree char *text = NULL, *whole = fake_long_text();
  g_assert_cmpint(xattr_get(store, outbox, &message, "user.mailfs.date", &text), ==, STORE_FOUND);
  g_assert_cmpmem(text, strlen(text), whole, XATTR_SIZE_MAX - 1);
  fake_outbox_free(outbox);
  fake_store_free(store);
}

// The list holds what get would find, and no more.
static void test_list(void) {
  static const struct {
    const Thing *thing;
    const char *names;
    size_t size;
  } lists[] = {
      {&message, "user.mailfs.uid\0user.mailfs.from\0user.mailfs.date", 50},
      {&folder, "", 0},
      {&letter, "user.mailfs.state", 18},
  };
  g_autoptr(GMainContext) context = g_main_context_new();
  Store *store = fake_store_new(context);
  Outbox *outbox = fake_outbox_new();
  for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
    g_autoptr(GString) names = NULL;
    g_assert_cmpint(xattr_list(store, outbox, lists[i].thing, &names), ==, STORE_FOUND);
    g_assert_cmpmem(names->str, names->len, lists[i].names, lists[i].size);
  }
  fake_outbox_free(outbox);
  fake_store_free(store);
}

static void test_supported(void) {
  g_assert_true(xattr_is_supported("user.mailfs.uid"));
  g_assert_true(xattr_is_supported("user.other"));
  g_assert_false(xattr_is_supported("security.selinux"));
  g_assert_false(xattr_is_supported("system.posix_acl_access"));
  g_assert_false(xattr_is_supported(""));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/xattr/get", test_get);
  g_test_add_func("/xattr/long", test_long);
  g_test_add_func("/xattr/list", test_list);
  g_test_add_func("/xattr/supported", test_supported);
  return g_test_run();
}
