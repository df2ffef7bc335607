// Claim: a letter at whose sender the server always leaves (421 to MAIL) holds up no other for
// longer than until the server is tried again: it goes behind those that were not tried, and once
// others got through it alone waits, for longer each time. A server that leaves at every letter is
// not given a connection for each.
#include <string.h>

#include "cache/outbox_drain.h"
#include "cache/outbox_private.h"
#include "outbox_fixture.h"

#define HATED "hated@example.org"

static int64_t seconds;

static int64_t tell_time(gpointer unused) {
  return seconds * G_USEC_PER_SEC;
}

static void set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, NULL);
  fixture->options.now_us = tell_time;
  fixture->options.retry_ms = 0;
  seconds = 1000000000;
  fixture_open(fixture);
  fake_server_hate(HATED);
}

static void copy_hated(Fixture *fixture) {
  g_assert_cmpint(fixture_copy(fixture, "hated", "From: " HATED "\nTo: bob@example.org\n\nHi\n"),
                  ==, 0);
}

static void copy_letters(Fixture *fixture, const char *prefix, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *name = g_strdup_printf("%s-%u", prefix, i);
    fixture_copy_letter(fixture, name);
  }
}

// What is due, until nothing is.
static void settle(Fixture *fixture) {
  do {
    outbox_run_agenda(fixture->outbox);
    while (fixture->outbox->under_way->len > 0)
      g_main_context_iteration(fixture->context, true);
    fixture_wait_disk(fixture);
  } while (fixture->outbox->under_way->len > 0);
}

static void pass(Fixture *fixture, unsigned passing) {
  seconds += passing;
  settle(fixture);
}

// All wait before the server is tried for the first time: the hated one is the oldest.
static void begin_waiting(Fixture *fixture, unsigned others) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  copy_hated(fixture);
  copy_letters(fixture, "mail", others);
  fixture->options.send_delay_ms = 0;
  fixture_reopen(fixture);
}

static const OutboxLetter *letter_named(Fixture *fixture, const char *name) {
  return outbox_table_find(fixture->outbox->table, OUTBOX_INO, name);
}

// The others wait with it for a minute at most, the shortest delay, and then it is not first again.
static void test_others_pass(Fixture *fixture, gconstpointer unused) {
  begin_waiting(fixture, 30);
  settle(fixture);
  pass(fixture, 60);
  fixture_assert_names(fixture, "hated", "");
  g_assert_cmpuint(fake_server_count(), ==, 30);
}

// A new letter is tried at once, instead of the one that failed.
static void test_new_letter_passes(Fixture *fixture, gconstpointer unused) {
  copy_hated(fixture);
  settle(fixture);
  g_assert_cmpuint(fixture->outbox->failures, ==, 1);
  copy_letters(fixture, "new", 1);
  settle(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  g_assert_cmpuint(fixture->outbox->failures, ==, 0);
}

// Once others pass it has a delay of its own, and its failure is nobody else's.
static void test_backs_off(Fixture *fixture, gconstpointer unused) {
  copy_hated(fixture);
  settle(fixture);
  copy_letters(fixture, "first", 1);
  settle(fixture);
  static const int64_t waits_s[] = {60, 120, 240, 480, 960, 1920, 3600, 3600};
  for (size_t i = 0; i < G_N_ELEMENTS(waits_s); i++) {
    const OutboxLetter *hated = letter_named(fixture, "hated");
    g_assert_cmpint(hated->row.next_try - seconds, ==, waits_s[i]);
    g_assert_cmpuint(fixture->outbox->failures, ==, 0);
    unsigned tries = fake_server_tries();
    copy_letters(fixture, "while", 3);
    settle(fixture);
    pass(fixture, (unsigned)waits_s[i] - 1);
    fixture_assert_names(fixture, "hated", "");
    g_assert_cmpuint(fake_server_tries() - tries, <=, 2);
    pass(fixture, 1);
  }
}

static void keep_progress(const OutboxProgress *progress, gpointer data) {
  *(OutboxProgress *)data = *progress;
}

static void assert_drained(Fixture *fixture, unsigned sent, unsigned delayed) {
  OutboxProgress told = {.to_come = 1};
  OutboxDrain *drain = outbox_drain_new(fixture->outbox, keep_progress, &told);
  while (told.to_come > 0)
    g_main_context_iteration(fixture->context, true);
  g_assert_cmpuint(told.sent, ==, sent);
  g_assert_cmpuint(told.delayed, ==, delayed);
  outbox_drain_free(drain);
}

// A flush sends what is held and what waits, although it tries the hated one, too.
static void test_flush(Fixture *fixture, gconstpointer unused) {
  begin_waiting(fixture, 10);
  settle(fixture);
  fixture->outbox->options.send_delay_ms = 3600 * 1000;
  copy_letters(fixture, "held", 10);
  assert_drained(fixture, 20 - fake_server_count(), 1);
  fixture_assert_names(fixture, "hated", "");
}

// Each delay of the server costs a connection, each letter that gets through at most one more.
static void test_all_turned_away(Fixture *fixture, gconstpointer unused) {
  fake_server_hate(NULL);
  copy_letters(fixture, "before", 1);
  settle(fixture);
  fake_server_set(FAKE_TURN_AWAY);
  begin_waiting(fixture, 50);
  unsigned before = fake_server_tries();
  for (unsigned minute = 0; minute < 63; minute++)
    pass(fixture, 60);
  // Now, and after 1, 3, 7, 15, 31 and 63 minutes.
  g_assert_cmpuint(fake_server_tries() - before, <=, 7 + 1);
  fake_server_set(FAKE_ACCEPT);
  pass(fixture, 3600);
  g_assert_cmpuint(fake_server_count(), ==, 1 + 51);
}

// So it is where a server lets in ten letters a minute, whatever both lanes try then: some of the
// others have delays of their own by then, and come a little later.
static void test_some_at_a_time(Fixture *fixture, gconstpointer unused) {
  fake_server_hate(NULL);
  fake_server_allow(1);
  fake_server_set(FAKE_TURN_AWAY);
  begin_waiting(fixture, 49);
  settle(fixture);
  for (unsigned minute = 0; minute < 15 && fake_server_count() < 50; minute++) {
    unsigned connections = fake_server_connections();
    while (fake_server_left() < 10)
      fake_server_expect(FAKE_ACCEPT);
    pass(fixture, 60);
    g_assert_cmpuint(fake_server_connections() - connections, <=, 8);
  }
  g_assert_cmpuint(fake_server_count(), ==, 50);
}

static gint is_stuck;

static void wait_unstuck(gpointer unused) {
  while (g_atomic_int_get(&is_stuck))
    g_usleep(1000);
}

static void stick(FakeMoment moment, const char *letter, gpointer unused) {
  if (moment == FAKE_TAKEN) g_atomic_int_set(&is_stuck, true);
}

// An answer that has to be on disk before it is known is older than the connection's end that came
// behind it, and no reason to try the server again at once.
static void test_late_answer(Fixture *fixture, gconstpointer unused) {
  fake_server_hate(NULL);
  fake_server_allow(1);
  fake_server_expect(FAKE_ACCEPT);
  fake_server_set(FAKE_TURN_AWAY);
  fake_server_watch(stick, NULL);
  fixture->options.after_step = wait_unstuck;
  begin_waiting(fixture, 1);
  while (fixture->outbox->failures == 0)
    g_main_context_iteration(fixture->context, true);
  unsigned tries = fake_server_tries();
  g_atomic_int_set(&is_stuck, false);
  fake_server_watch(NULL, NULL);
  settle(fixture);
  fixture_assert_names(fixture, "mail-0", "");
  g_assert_cmpuint(fixture->outbox->failures, ==, 1);
  g_assert_cmpuint(fake_server_tries(), ==, tries);
}

static const struct {
  const char *name;
  void (*run)(Fixture *fixture, gconstpointer unused);
} cases[] = {
    {"others pass", test_others_pass},
    {"a new letter passes", test_new_letter_passes},
    {"backs off", test_backs_off},
    {"flush", test_flush},
    {"all turned away", test_all_turned_away},
    {"some at a time", test_some_at_a_time},
    {"late answer", test_late_answer},
};

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/outbox/hated/", cases[i].name, NULL);
    g_test_add(path, Fixture, NULL, set_up, cases[i].run, fixture_tear_down);
  }
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
