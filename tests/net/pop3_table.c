#include "net/pop3_table.h"

#include <string.h>

#include "net/error.h"

// Ids are what SPEC says: 16 hex digits of SHA-256, and a number for twins.
static void test_ids(void) {
  g_autofree char *one = pop3_id(pop3_key_of("abc", 3), 1);
  g_autofree char *two = pop3_id(pop3_key_of("abc", 3), 2);
  g_autofree char *low = pop3_id(1, 12);
  g_assert_cmpstr(one, ==, "ba7816bf8f01cfea");
  g_assert_cmpstr(two, ==, "ba7816bf8f01cfea-2");
  g_assert_cmpstr(low, ==, "0000000000000001-12");
}

static bool find_uid(const char *id, int64_t size, uint32_t *uid, bool *is_certain, gpointer data,
                     GError **error) {
  *uid = GPOINTER_TO_UINT(g_hash_table_lookup(data, id));
  return true;
}

static Pop3Table *table_of(const char *const *uidls) {
  Pop3Table *table = pop3_table_new();
  for (uint32_t i = 0; uidls[i] != NULL; i++) {
    Pop3Message *message = pop3_table_add(table, i + 1, NULL);
    message->key = pop3_key_of(uidls[i], strlen(uidls[i]));
    message->has_key = true;
  }
  return table;
}

static GHashTable *known_of(const char *const *names, const uint32_t *uids) {
  GHashTable *known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (size_t i = 0; names[i] != NULL; i++) {
    g_auto(GStrv) parts = g_strsplit(names[i], "-", 2);
    uint32_t twin = parts[1] != NULL ? (uint32_t)g_ascii_strtoull(parts[1], NULL, 10) : 1;
    g_hash_table_insert(known, pop3_id(pop3_key_of(parts[0], strlen(parts[0])), twin),
                        GUINT_TO_POINTER(uids[i]));
  }
  return known;
}

static const struct {
  const char *uidls[6];
  const char *known[6];
  uint32_t known_uids[6];
  uint32_t uids[6];  // as they come to be; the last UID is 20
} rows[] = {
    {{"a", "b"}, {NULL}, {0}, {21, 22}},
    {{"a", "b"}, {"b", "a"}, {3, 4}, {4, 3}},
    {{"a", "n", "b"}, {"b", "a"}, {3, 4}, {4, 21, 3}},
    {{"a", "a", "a"}, {NULL}, {0}, {21, 22, 23}},
    {{"a", "b", "a"}, {"a", "a-2", "b"}, {3, 4, 5}, {3, 5, 4}},
    // One less, one more, one alone of two: all of them are new.
    {{"a", "b", "a"}, {"a", "a-2", "a-3", "b"}, {3, 4, 5, 6}, {21, 6, 22}},
    {{"a", "b", "a"}, {"a", "b"}, {3, 6}, {21, 6, 22}},
    {{"a"}, {"a", "a-2"}, {3, 4}, {21}},
    // What is left of names that were given up says nothing.
    {{"a", "a"}, {"a-2"}, {4}, {21, 22}},
};

// Who is known keeps its UID, who is not gets the next; twins are known together or not at all.
static void test_names(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  g_autoptr(Pop3Table) table = table_of(rows[row].uidls);
  g_autoptr(GHashTable) known = known_of(rows[row].known, rows[row].known_uids);
  g_assert_true(pop3_table_recognise(table, find_uid, known, NULL));
  g_assert_true(pop3_table_name(table, 20, NULL));
  for (uint32_t number = 1; rows[row].uidls[number - 1] != NULL; number++) {
    uint32_t uid = rows[row].uids[number - 1];
    g_assert_cmpuint(pop3_table_get(table, number)->uid, ==, uid);
    g_assert_cmpuint(pop3_table_find(table, (UidRange){uid, uid}), ==, number);
  }
}

// A message is found by the least UID in a range, whatever the order of the numbers; numbers may
// have holes.
static void test_find(void) {
  g_autoptr(Pop3Table) table = pop3_table_new();
  static const char *const names[] = {"x", "y", "z", NULL};
  static const uint32_t uids[] = {9, 5, UINT32_MAX};
  g_autoptr(GHashTable) known = known_of(names, uids);
  for (uint32_t i = 0; i < 3; i++) {
    Pop3Message *message = pop3_table_add(table, 2 + 3 * i, NULL);
    message->key = pop3_key_of(names[i], 1);
  }
  g_assert_true(pop3_table_recognise(table, find_uid, known, NULL));
  g_assert_true(pop3_table_name(table, 20, NULL));
  g_assert_cmpuint(pop3_table_count(table), ==, 3);
  g_assert_null(pop3_table_get(table, 0));
  g_assert_null(pop3_table_get(table, 3));
  g_assert_null(pop3_table_get(table, 9));
  g_assert_cmpuint(pop3_table_find(table, (UidRange){1, UINT32_MAX}), ==, 5);
  g_assert_cmpuint(pop3_table_find(table, (UidRange){6, 100}), ==, 2);
  g_assert_cmpuint(pop3_table_find(table, (UidRange){10, UINT32_MAX}), ==, 8);
  g_assert_cmpuint(pop3_table_find(table, (UidRange){10, 100}), ==, 0);
  g_assert_cmpuint(pop3_table_find(table, (UidRange){1, 4}), ==, 0);
}

// What is too much is LIMIT: numbers, and UIDs.
static void test_limits(void) {
  g_autoptr(Pop3Table) table = pop3_table_new();
  g_autoptr(GError) error = NULL, other = NULL;
  g_assert_null(pop3_table_add(table, POP3_MESSAGES_MAX + 1, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
  g_assert_nonnull(pop3_table_add(table, 1, NULL));
  g_assert_true(pop3_table_recognise(table, NULL, NULL, NULL));
  g_assert_false(pop3_table_name(table, UINT32_MAX, &other));
  g_assert_error(other, NET_ERROR, NET_ERROR_LIMIT);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pop3-table/ids", test_ids);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/pop3-table/names/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_names);
  }
  g_test_add_func("/pop3-table/find", test_find);
  g_test_add_func("/pop3-table/limits", test_limits);
  return g_test_run();
}
