#include "net/uid_set.h"

#include <string.h>

static char *format_all(const UidSet *set) {
  size_t next = 0;
  char *text = uid_set_format(set, &next, SIZE_MAX);
  return text ? text : g_strdup("");
}

static void assert_set(const UidSet *set, const char *expected) {
  g_autofree char *text = format_all(set);
  g_assert_cmpstr(text, ==, expected);
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
  g_autoptr(UidSet) set = uid_set_new();
  g_assert_true(uid_set_is_empty(set));
  g_assert_cmpuint(uid_set_last(set), ==, 0);
  g_assert_cmpuint(uid_set_count(set), ==, 0);
  g_assert_true(uid_set_parse(set, "3,7:9"));
  g_assert_false(uid_set_is_empty(set));
  g_assert_cmpuint(uid_set_last(set), ==, 9);
  g_assert_cmpuint(uid_set_count(set), ==, 4);
  g_assert_cmpuint(uid_set_n_ranges(set), ==, 2);
  g_assert_cmpuint(uid_set_range(set, 1).first, ==, 7);
  for (uint32_t uid = 0; uid < 12; uid++)
    g_assert_true(uid_set_contains(set, uid) == (uid == 3 || (uid >= 7 && uid <= 9)));
  uid_set_add_range(set, 1, UINT32_MAX);
  g_assert_cmpuint(uid_set_count(set), ==, UINT32_MAX);
  g_assert_true(uid_set_contains(set, UINT32_MAX));
  g_assert_false(uid_set_contains(set, 0));
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
    g_autoptr(UidSet) a = uid_set_new();
    g_autoptr(UidSet) b = uid_set_new();
    g_assert_true(uid_set_parse(a, rows[i].a) && uid_set_parse(b, rows[i].b));
    g_autoptr(UidSet) rest = uid_set_subtract(a, b);
    assert_set(rest, rows[i].rest);
  }
}

// What is no sequence-set of UIDs is refused whole.
static void test_parse(void) {
  static const char *const refused[] = {"",           "0",     "1,",   ",1",   "1:",   "1:0",
                                        "*",          "1:*",   "1 ,2", "-1",   "+1",   "a",
                                        "4294967296", "1,2,x", "01",   "1::2", "1:2:3"};
  g_autoptr(UidSet) set = uid_set_new();
  g_assert_true(uid_set_parse(set, "9:7,3,4294967295"));
  assert_set(set, "3,7:9,4294967295");
  for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
    g_test_message("%s", refused[i]);
    g_assert_false(uid_set_parse(set, refused[i]));
  }
  assert_set(set, "3,7:9,4294967295");
}

// Pieces stay below the limit and together are the set.
static void test_format_in_pieces(void) {
  g_autoptr(UidSet) set = uid_set_new();
  for (uint32_t uid = 1; uid < 2000; uid += 1 + uid % 3)
    uid_set_add(set, uid);
  g_autoptr(UidSet) again = uid_set_new();
  size_t next = 0;
  for (;;) {
    g_autofree char *piece = uid_set_format(set, &next, 40);
    if (!piece) break;
    g_assert_cmpuint(strlen(piece), <=, 40);
    g_assert_true(uid_set_parse(again, piece));
  }
  g_autofree char *text = format_all(set);
  assert_set(again, text);
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
    }
    for (uint32_t uid = 1; uid <= N; uid++)
      g_assert_true(uid_set_contains(set, uid) == bits[uid]);
    for (size_t i = 1; i < uid_set_n_ranges(set); i++)
      g_assert_cmpuint(uid_set_range(set, i - 1).last + 1, <, uid_set_range(set, i).first);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/uid-set/add", test_add);
  g_test_add_func("/uid-set/values", test_values);
  g_test_add_func("/uid-set/subtract", test_subtract);
  g_test_add_func("/uid-set/parse", test_parse);
  g_test_add_func("/uid-set/format-in-pieces", test_format_in_pieces);
  g_test_add_func("/uid-set/random", test_random);
  return g_test_run();
}
