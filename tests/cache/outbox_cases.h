// The main() of a file of tests of the outbox that need processes of other people.
#pragma once

#include "outbox_fixture.h"

typedef void (*OutboxCaseFunc)(Fixture *fixture, gconstpointer unused);
typedef struct {
  const char *name;
  OutboxCaseFunc run;
} OutboxCase;

// Runs each as PATH/NAME, between `set_up` and fixture_tear_down.
int outbox_cases_main(int argc, char **argv, const char *path, OutboxCaseFunc set_up,
                      const OutboxCase *cases, size_t n_cases);
