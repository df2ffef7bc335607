// An outbox with a control socket, its runtime directory, and clients that speak to it while the
// test turns the main loop.
#pragma once

#include "tests/cache/outbox_fixture.h"
#include "tools/control.h"

typedef struct {
  Fixture outbox;
  char *runtime;
  Control *control;
} ControlLab;

void control_lab_set_up(ControlLab *lab, gconstpointer unused);
void control_lab_tear_down(ControlLab *lab, gconstpointer unused);
// Listens again, after `control` was freed.
void control_lab_open(ControlLab *lab);

// A client: a descriptor that does not block.
int control_lab_join(ControlLab *lab);
void control_lab_speak(int fd, const char *text);
// What comes until `end` is in it, or until the connection ends; newly allocated.
char *control_lab_hear(ControlLab *lab, int fd, const char *end);
// A client that asks once.
void control_lab_assert_answer(ControlLab *lab, const char *request, const char *answer);

typedef struct {
  const char *path;
  void (*test)(ControlLab *lab, gconstpointer unused);
} ControlLabTest;

// The main() of a file of such tests.
int control_lab_main(int argc, char **argv, const ControlLabTest *tests, size_t n_tests);
