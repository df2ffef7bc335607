// Claim: whatever clients say, or do not say, the main loop goes on, and others are served.
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control_lab.h"

static void assert_serves(ControlLab *lab) {
  control_lab_assert_answer(lab, "{\"command\":\"take\"}\n", "{\"done\":true}\n");
}

static void test_hostile(ControlLab *lab, gconstpointer unused) {
  g_autofree char *long_line = g_strnfill(20000, 'x');
  g_autofree char *deep = g_strnfill(4000, '[');
  deep[3999] = '\n';
  int fd = control_lab_join(lab);
  send(fd, long_line, strlen(long_line), MSG_NOSIGNAL);
  g_autofree char *nothing = control_lab_hear(lab, fd, NULL);
  g_assert_cmpstr(nothing, ==, "");
  close(fd);
  assert_serves(lab);
  control_lab_assert_answer(lab, deep, "{\"error\":\"this is no JSON object\",\"code\":64}\n");
  fd = control_lab_join(lab);
  g_assert_cmpint(send(fd, "a\0b\n", 4, MSG_NOSIGNAL), ==, 4);
  g_autofree char *silence = control_lab_hear(lab, fd, NULL);
  g_assert_cmpstr(silence, ==, "");
  close(fd);
  fd = control_lab_join(lab);
  control_lab_speak(fd, "\xff\n");
  g_autofree char *still = control_lab_hear(lab, fd, NULL);
  g_assert_cmpstr(still, ==, "");
  close(fd);
  assert_serves(lab);
}

// Some that say nothing, half of something, or go away in the middle of an answer.
static void test_gone(ControlLab *lab, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(&lab->outbox, "one");
  int silent = control_lab_join(lab), half = control_lab_join(lab),
      flushing = control_lab_join(lab);
  control_lab_speak(half, "{\"comm");
  control_lab_speak(flushing, "{\"command\":\"flush\"}\n");
  g_autofree char *progress = control_lab_hear(lab, flushing, "\n");
  g_assert_nonnull(strstr(progress, "{\"progress\""));
  int leaving = control_lab_join(lab);
  control_lab_speak(leaving, "{\"command\":\"flush\"}\n");
  close(leaving);
  close(flushing);
  assert_serves(lab);
  close(half);
  close(silent);
  assert_serves(lab);
}

// Who asks for much and reads nothing gets no more than a bounded part of it, until it reads.
static void test_slow(ControlLab *lab, gconstpointer unused) {
  enum { LETTERS = 300, TIMES = 20 };
  for (unsigned i = 0; i < LETTERS; i++) {
    g_autofree char *name = g_strdup_printf("%0200u", i);
    fixture_copy_letter(&lab->outbox, name);
  }
  int fd = control_lab_join(lab);
  for (unsigned i = 0; i < TIMES; i++)
    control_lab_speak(fd, "{\"command\":\"outbox\"}\n");
  for (unsigned i = 0; i < 1000; i++)
    g_main_context_iteration(lab->outbox.context, FALSE);
  assert_serves(lab);
  unsigned ends = 0, letters = 0;
  GString *all = g_string_new(NULL);
  while (ends < TIMES) {
    g_autofree char *heard = control_lab_hear(lab, fd, "\n");
    g_string_append(all, heard);
    char *line_end;
    while ((line_end = strchr(all->str, '\n')) != NULL) {
      letters += g_str_has_prefix(all->str, "{\"letter\"");
      ends += g_str_has_prefix(all->str, "{\"done\":true}");
      g_string_erase(all, 0, line_end - all->str + 1);
    }
  }
  g_assert_cmpuint(letters, ==, LETTERS * TIMES);
  g_string_free(all, TRUE);
  close(fd);
}

// More at once than are served: the others wait for their turn.
static void test_crowd(ControlLab *lab, gconstpointer unused) {
  int fds[40];
  for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
    fds[i] = control_lab_join(lab);
    control_lab_speak(fds[i], "{\"command\":\"take\"}\n");
    g_main_context_iteration(lab->outbox.context, FALSE);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
    g_autofree char *heard = control_lab_hear(lab, fds[i], "\n");
    g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
    close(fds[i]);
  }
  assert_serves(lab);
}

static unsigned turns_within(ControlLab *lab, int64_t wait_ms) {
  unsigned turns = 0;
  int64_t end_us = g_get_monotonic_time() + wait_ms * 1000;
  while (g_get_monotonic_time() < end_us)
    turns += g_main_context_iteration(lab->outbox.context, FALSE) ? 1 : 0;
  return turns;
}

// Half a request costs nothing while its other half is awaited.
static void test_half(ControlLab *lab, gconstpointer unused) {
  fixture_wait_disk(&lab->outbox);
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\"");
  g_assert_cmpuint(turns_within(lab, 300), <, 100);
  control_lab_speak(fd, ":\"take\"}\n{\"comm");
  g_autofree char *heard = control_lab_hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
  g_assert_cmpuint(turns_within(lab, 300), <, 100);
  close(fd);
}

// Without a descriptor to spare, the loop does not spin; with one, the client is served.
static void test_no_descriptors(ControlLab *lab, gconstpointer unused) {
  struct rlimit limit, none;
  fixture_wait_disk(&lab->outbox);
  int fd = control_lab_join(lab);
  control_lab_speak(fd, "{\"command\":\"take\"}\n");
  g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
  int spare = dup(fd);
  none = (struct rlimit){(rlim_t)spare, limit.rlim_max};
  close(spare);
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
  unsigned turns = turns_within(lab, 300);
  g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
  g_assert_cmpuint(turns, <, 100);
  g_autofree char *heard = control_lab_hear(lab, fd, "\n");
  g_assert_cmpstr(heard, ==, "{\"done\":true}\n");
  close(fd);
}

int main(int argc, char **argv) {
  static const ControlLabTest tests[] = {
      {"/control/hostile", test_hostile}, {"/control/gone", test_gone},
      {"/control/slow", test_slow},       {"/control/crowd", test_crowd},
      {"/control/half", test_half},       {"/control/no descriptors", test_no_descriptors},
  };
  return control_lab_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
