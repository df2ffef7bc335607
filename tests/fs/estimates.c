// The kernel has to ask again for a size exactly where it was told another.
#include "fs/estimates.h"

#include <glib.h>

typedef struct {
  uint64_t size;  // 0: no more
  bool exact;
} Told;

static const struct {
  const char *label;
  Told told[3];
  uint64_t settled;
  bool wrong;
} rows[] = {
    {"nothing was told", {{0}}, 10, false},
    {"the right size", {{10, false}}, 10, false},
    {"too small", {{9, false}}, 10, true},
    {"too big", {{11, false}}, 10, true},
    {"exact from the start", {{10, true}}, 10, false},
    {"the same twice", {{9, false}, {9, false}}, 9, false},
    {"two sizes, in which order nobody knows", {{9, false}, {10, false}}, 10, true},
    {"an estimate, then the exact one", {{9, false}, {10, true}}, 10, true},
    {"an estimate that proved right", {{10, false}, {10, true}}, 10, false},
    {"too big to remember", {{UINT64_C(1) << 33, false}}, UINT64_C(1) << 33, true},
    {"too big, and 4 GiB off", {{(UINT64_C(1) << 32) + 10, false}}, 10, true},
    {"the body is empty", {{9, false}}, 0, true},
};

static void test_rows(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    Estimates *estimates = estimates_new();
    g_test_message("%s", rows[i].label);
    for (const Told *told = rows[i].told; told < rows[i].told + 3 && told->size > 0; told++)
      estimates_told(estimates, 4711, told->size, told->exact);
    g_assert_cmpint(estimates_settle(estimates, 4711, rows[i].settled), ==, rows[i].wrong);
    g_assert_false(estimates_settle(estimates, 4711, rows[i].settled));
    estimates_free(estimates);
  }
}

// Each message has its own, also far apart.
static void test_many(void) {
  Estimates *estimates = estimates_new();
  for (uint64_t i = 1; i < 100000; i++)
    estimates_told(estimates, i * 7, i, false);
  for (uint64_t i = 1; i < 100000; i++) {
    g_assert_false(estimates_settle(estimates, i * 7 + 1, 0));
    g_assert_cmpint(estimates_settle(estimates, i * 7, i + i % 2), ==, i % 2 == 1);
  }
  estimates_free(estimates);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/estimates/rows", test_rows);
  g_test_add_func("/estimates/many", test_many);
  return g_test_run();
}
