#include "net/uid_set.h"

#include <inttypes.h>
#include <string.h>

// "3,7:9" as a set.
static UidSet *set_of(const char *text) {
  UidSet *set = uid_set_new();
  g_auto(GStrv) ranges = g_strsplit(text, ",", -1);
  for (char **range = ranges; *range; range++) {
    char *end;
    uint32_t first = (uint32_t)g_ascii_strtoull(*range, &end, 10);
    uid_set_add_range(set, first, *end ? (uint32_t)g_ascii_strtoull(end + 1, NULL, 10) : first);
  }
  return set;
}

static void assert_set(const UidSet *set, const char *expected) {
  g_autoptr(GString) text = g_string_new(NULL);
  for (size_t i = 0; i < uid_set_n_ranges(set); i++) {
    UidRange range = uid_set_range(set, i);
    g_string_append_printf(text, "%s%" PRIu32, i > 0 ? "," : "", range.first);
    if (range.last > range.first) g_string_append_printf(text, ":%" PRIu32, range.last);
  }
  g_assert_cmpstr(text->str, ==, expected);
}

// Ranges stay sorted and disjoint, neighbours are one range, whatever comes in what order.
static void test_add(void) {
  static const struct {
    UidRange ranges[4];
    const char *expected;
  } rows[] = {
      {{{1, 1}, {2, 2}, {3, 3}}, "1:3"},
      {{{3, 3}, {1, 1}, {2, 2}}, "1:3"},
      {{{5, 9}, {1, 2}}, "1:2,5:9"},
      {{{1, 2}, {5, 9}, {3, 4}}, "1:9"},
      {{{1, 2}, {5, 9}, {12, 13}, {2, 12}}, "1:13"},
      {{{5, 9}, {6, 7}}, "5:9"},
      {{{5, 9}, {4, 4}, {10, 10}}, "4:10"},
      {{{5, 9}, {3, 3}, {11, 11}}, "3,5:9,11"},
      {{{0, 0}, {9, 5}}, ""},
      {{{0, 2}}, "1:2"},
      {{{1, UINT32_MAX}, {7, 7}}, "1:4294967295"},
      {{{UINT32_MAX, UINT32_MAX}, {UINT32_MAX - 1, UINT32_MAX - 1}}, "4294967294:4294967295"},
      {{{UINT32_MAX, UINT32_MAX}, {1, 1}}, "1,4294967295"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(UidSet) set = uid_set_new();
    for (size_t j = 0; j < 4; j++)
      uid_set_add_range(set, rows[i].ranges[j].first, rows[i].ranges[j].last);
    assert_set(set, rows[i].expected);
  }
}

static void test_values(void) {
  g_autoptr(UidSet) empty = uid_set_new();
  g_assert_true(uid_set_is_empty(empty));
  g_assert_cmpuint(uid_set_last(empty), ==, 0);
  g_assert_cmpuint(uid_set_count(empty), ==, 0);
  g_autoptr(UidSet) set = set_of("3,7:9");
  g_assert_false(uid_set_is_empty(set));
  g_assert_cmpuint(uid_set_last(set), ==, 9);
  g_assert_cmpuint(uid_set_count(set), ==, 4);
  g_assert_cmpuint(uid_set_n_ranges(set), ==, 2);
  g_assert_cmpuint(uid_set_range(set, 1).first, ==, 7);
  uid_set_add_range(set, 1, UINT32_MAX);
  g_assert_cmpuint(uid_set_count(set), ==, UINT32_MAX);
}

static void test_subtract(void) {
  static const struct {
    const char *a, *b, *rest;
  } rows[] = {
      {"1:9", "4", "1:3,5:9"},
      {"1:9", "1:9", ""},
      {"1:9", "20:30", "1:9"},
      {"1:3,7:9", "2:8", "1,9"},
      {"1:9", "1,3,5,7,9", "2,4,6,8"},
      {"5", "1:9", ""},
      {"1:4294967295", "2:4294967294", "1,4294967295"},
      {"2:3,5:6,8:9", "3:5,9:12", "2,6,8"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(UidSet) a = set_of(rows[i].a);
    g_autoptr(UidSet) b = set_of(rows[i].b);
    g_autoptr(UidSet) rest = uid_set_subtract(a, b);
    assert_set(rest, rows[i].rest);
  }
}

// A million UIDs that do not touch each other cost no more in falling order than in rising.
static void test_falling(void) {
  enum { N = 1000000 };
  g_autoptr(UidSet) set = uid_set_new();
  for (uint32_t uid = 2 * N; uid > 0; uid -= 2)
    uid_set_add(set, uid);
  g_assert_cmpuint(uid_set_n_ranges(set), ==, N);
  g_assert_cmpuint(uid_set_range(set, 0).first, ==, 2);
}

// A UID that is told again and again, out of order, stays one.
static void test_repeated(void) {
  g_autoptr(UidSet) set = set_of("5,7");
  for (unsigned i = 0; i < 10000; i++)
    uid_set_add(set, 5 - i % 3);
  assert_set(set, "3:5,7");
}

// Against a plain array of bits.
static void test_random(void) {
  enum { N = 200 };
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  for (unsigned round = 0; round < 200; round++) {
    bool bits[N + 1] = {false};
    g_autoptr(UidSet) set = uid_set_new();
    for (unsigned i = 0; i < 30; i++) {
      uint32_t first = (uint32_t)g_rand_int_range(rand, 1, N);
      uint32_t last = first + (uint32_t)g_rand_int_range(rand, 0, 8);
      if (last > N) last = N;
      uid_set_add_range(set, first, last);
      for (uint32_t uid = first; uid <= last; uid++)
        bits[uid] = true;
      // Asked in between as well.
      if (round % 2 == 0) g_assert_cmpuint(uid_set_last(set), >=, last);
    }
    bool found[N + 1] = {false};
    for (size_t i = 0; i < uid_set_n_ranges(set); i++)
      memset(found + uid_set_range(set, i).first, true,
             uid_set_range(set, i).last - uid_set_range(set, i).first + 1);
    g_assert_cmpmem(found, sizeof found, bits, sizeof bits);
    for (uint32_t uid = 0; uid <= N; uid++)
      g_assert_true(uid_set_contains(set, uid) == bits[uid]);
    for (size_t i = 1; i < uid_set_n_ranges(set); i++)
      g_assert_cmpuint(uid_set_range(set, i - 1).last + 1, <, uid_set_range(set, i).first);
  }
}

// A set that is too long for a line is written in several, each range once.
static void test_print(void) {
  g_autoptr(UidSet) set = uid_set_new();
  for (uint32_t uid = 1000000; uid < 1004000; uid += 2)
    uid_set_add(set, uid);
  g_autoptr(UidSet) again = uid_set_new();
  size_t next = 0;
  unsigned lines = 0;
  for (;; lines++) {
    g_autofree char *line = uid_set_print(set, &next, 8000);
    if (line == NULL) break;
    g_assert_cmpuint(strlen(line), <=, 8000);
    g_autoptr(UidSet) part = set_of(line);
    for (size_t i = 0; i < uid_set_n_ranges(part); i++)
      uid_set_add_range(again, uid_set_range(part, i).first, uid_set_range(part, i).last);
  }
  g_assert_cmpuint(lines, ==, 2);
  g_assert_cmpuint(uid_set_count(again), ==, 2000);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/uid-set/add", test_add);
  g_test_add_func("/uid-set/values", test_values);
  g_test_add_func("/uid-set/subtract", test_subtract);
  g_test_add_func("/uid-set/falling", test_falling);
  g_test_add_func("/uid-set/repeated", test_repeated);
  g_test_add_func("/uid-set/random", test_random);
  g_test_add_func("/uid-set/print", test_print);
  return g_test_run();
}
