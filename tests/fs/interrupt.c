// Only a signal that a program expects to end a call counts as an interruption.
#include "fs/interrupt.h"

#include <signal.h>
#include <stdint.h>
#include <unistd.h>

#include <glib.h>

static const struct {
  int own, shared, blocked;  // signal numbers, 0: none
  bool real;
} rows[] = {
    {SIGINT, 0, 0, true},       {0, SIGINT, 0, true},     {0, SIGTERM, 0, true},
    {SIGKILL, 0, 0, true},      {0, SIGALRM, 0, true},    {0, 64, 0, true},
    {0, 0, 0, false},  // the freezer, or another thread took it
    {0, SIGINT, SIGINT, false}, {0, SIGCHLD, 0, false},   {SIGWINCH, 0, 0, false},
    {0, SIGSTOP, 0, false},     {0, SIGCONT, 0, false},   {0, SIGTSTP, 0, false},
    {0, SIGTTIN, 0, false},     {0, SIGTTOU, 0, false},   {0, SIGURG, 0, false},
    {0, SIGPROF, 0, false},     {0, SIGVTALRM, 0, false}, {SIGCHLD, SIGINT, 0, true},
};

static uint64_t bit(int number) {
  return number == 0 ? 0 : UINT64_C(1) << (number - 1);
}

static void test_signals(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *status =
        g_strdup_printf("Name:\tcat\nSigQ:\t1/7\nSigPnd:\t%016" G_GINT64_MODIFIER
                        "x\nShdPnd:\t%016" G_GINT64_MODIFIER "x\nSigBlk:\t%016" G_GINT64_MODIFIER
                        "x\nSigIgn:\t0000000000000000\n",
                        bit(rows[i].own), bit(rows[i].shared), bit(rows[i].blocked));
    g_test_message("row %zu", i);
    g_assert_cmpint(interrupt_is_real_in(status), ==, rows[i].real);
  }
}

// Who cannot be seen is believed. A process that runs, as this one, has nothing pending.
static void test_processes(void) {
  g_assert_true(interrupt_is_real_in("Name:\tcat\n"));
  g_assert_true(interrupt_is_real(0));
  g_assert_false(interrupt_is_real(getpid()));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/interrupt/signals", test_signals);
  g_test_add_func("/interrupt/processes", test_processes);
  return g_test_run();
}
