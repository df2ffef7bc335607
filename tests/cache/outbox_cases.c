#include "outbox_cases.h"

int outbox_cases_main(int argc, char **argv, const char *path, OutboxCaseFunc set_up,
                      const OutboxCase *cases, size_t n_cases) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < n_cases; i++) {
    g_autofree char *name = g_strconcat(path, "/", cases[i].name, NULL);
    g_test_add(name, Fixture, NULL, set_up, cases[i].run, fixture_tear_down);
  }
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
