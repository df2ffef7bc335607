// Claim: a letter that was begun behind another is that letter's equal: sent once, in order, and
// never blamed or counted for what became of the one before it. What was not sent of it when the
// connection ends goes at once by another; what was, may have been taken, and waits.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

// One connection, and letters wait for an hour if they are tried again by schedule.
static void set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up(fixture, NULL);
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fake_server_allow(1);
}

// The first letter stalls until the others wait behind it.
static void copy_all(Fixture *fixture, FakeAhead ahead, FakeStep second, unsigned others) {
  fake_server_pipeline(ahead);
  fake_server_expect(FAKE_STALL);
  fake_server_expect(second);
  fixture_copy_letter(fixture, "first");
  fake_server_wait_stalled();
  for (unsigned i = 0; i < others; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_copy_letter(fixture, name);
  }
}

static unsigned times_taken(const char *name) {
  g_autofree char *subject = g_strdup_printf("Subject: %s\r", name);
  unsigned times = 0;
  for (unsigned i = 0; i < fake_server_count(); i++) {
    g_autofree char *letter = fake_server_letter(i);
    if (strstr(letter, subject) != NULL) times++;
  }
  return times;
}

static bool has_settled(Fixture *fixture) {
  return fixture->outbox->under_way->len == 0;
}

static void go_on(Fixture *fixture) {
  fake_server_go_on();
  fixture_wait(fixture, has_settled);
  fixture_wait_disk(fixture);
}

static void assert_all_taken(unsigned others) {
  g_assert_cmpuint(fake_server_count(), ==, others + 1);
  for (unsigned i = 0; i < others; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    g_assert_cmpuint(times_taken(name), ==, 1);
  }
  g_assert_cmpuint(fake_server_begun(), >, others / 2);
  g_assert_cmpuint(fake_server_connections(), ==, 1);
}

static void test_envelope(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_ENVELOPE, FAKE_ACCEPT, 30);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  assert_all_taken(30);
}

static void test_whole(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_WHOLE, FAKE_ACCEPT, 30);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  assert_all_taken(30);
}

// Only the second letter's fate is unknown; the third was begun and not sent.
static void test_breaks(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_ENVELOPE, FAKE_TAKE_HANG_UP, 3);
  go_on(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 4);
  g_assert_cmpuint(fake_server_connections(), ==, 2);
  fixture_assert_names(fixture, "mail-0", "");
  g_assert_cmpuint(fixture->outbox->failures, ==, 0);
}

// The third had gone out, too: it waits, and nobody counts it for taken.
static void test_breaks_whole(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_WHOLE, FAKE_TAKE_HANG_UP, 3);
  go_on(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 3);
  g_assert_cmpuint(times_taken("mail-1"), ==, 0);
  fixture_assert_names(fixture, "mail-0 mail-1", "");
  fixture_assert_state(fixture, "mail-1", "queued");
}

// The second was turned away: the third, which had gone out behind it, was not taken for sure, and
// waits no more than the second.
static void test_left_whole(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_WHOLE, FAKE_TURN_AWAY, 3);
  go_on(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 4);
  for (unsigned i = 0; i < 3; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    g_assert_cmpuint(times_taken(name), ==, 1);
  }
  g_assert_cmpuint(fake_server_connections(), ==, 2);
  fixture_assert_names(fixture, "", "");
}

static void test_refused(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_ENVELOPE, FAKE_REFUSE, 3);
  go_on(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 3);
  fixture_assert_names(fixture, "", "mail-0 mail-0.error");
}

static void remove_file(Fixture *fixture, const char *name) {
  for (unsigned i = 0; i < fixture->outbox->under_way->len; i++) {
    const OutboxLetter *letter = g_ptr_array_index(fixture->outbox->under_way, i);
    char file[24];
    outbox_file_name(letter->row.id, file);
    if (!g_str_equal(letter->row.name, name)) continue;
    g_assert_cmpint(unlinkat(fixture->outbox->letters_fd, file, 0), ==, 0);
    return;
  }
  g_assert_not_reached();
}

// What cannot even be opened does not stop those behind it.
static void test_unfit(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_ENVELOPE, FAKE_ACCEPT, 3);
  remove_file(fixture, "mail-1");
  go_on(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 3);
  fixture_assert_names(fixture, "mail-1", "");
}

// A server that takes nothing behind a letter is not given anything there again.
static void test_swallowed(Fixture *fixture, gconstpointer unused) {
  copy_all(fixture, FAKE_AHEAD_ENVELOPE, FAKE_DROP, 10);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 11);
  g_assert_cmpuint(fake_server_begun(), ==, 1);
  g_assert_cmpuint(fake_server_connections(), ==, 2);
}

// ... nor is one that takes a letter and then leaves, or loses count of what it is to answer.
static void test_no_more_behind(Fixture *fixture, gconstpointer unused) {
  static const FakeStep steps[] = {FAKE_TAKE_LEAVE, FAKE_CONFUSE};
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    unsigned begun = fake_server_begun();
    fake_server_pipeline(FAKE_AHEAD_WHOLE);
    fake_server_expect(steps[i]);
    fixture->options.send_delay_ms = 3600 * 1000;
    fixture_reopen(fixture);
    for (unsigned j = 0; j < 10; j++) {
      g_autofree char *name = g_strdup_printf("mail-%u", j);
      fixture_copy_letter(fixture, name);
    }
    fixture_reopen(fixture);
    go_on(fixture);
    g_assert_cmpuint(fake_server_begun() - begun, ==, 1);
    fixture->options.retry_ms = 1;
    fixture_reopen(fixture);
    fixture_wait_sent(fixture);
  }
}

static bool has_all_but_one(Fixture *fixture) {
  return fake_server_count() == 2 && fixture->outbox->under_way->len == 1;
}

// An answer that takes long does not hold up the letter that was begun behind it: that goes by the
// other connection, and what was begun of it is forgotten.
static void test_slow_answer(Fixture *fixture, gconstpointer unused) {
  fake_server_allow(2);
  fake_server_pipeline(FAKE_AHEAD_ENVELOPE);
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "mail-0");
  fixture_copy_letter(fixture, "mail-1");
  fake_server_expect(FAKE_TAKE_STALL);
  fixture_reopen(fixture);
  fixture_wait(fixture, has_all_but_one);
  g_assert_cmpuint(fake_server_begun(), ==, 1);
  g_assert_cmpuint(fake_server_connections(), ==, 2);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  g_assert_cmpuint(times_taken("mail-1"), ==, 1);
}

// The end of the program while one letter's answer is awaited and another is begun: both are sent,
// and the one that was not ended once.
static void restart(Fixture *fixture, FakeAhead ahead) {
  copy_all(fixture, ahead, FAKE_TAKE_STALL, 3);
  fake_server_go_on_once();
  while (fake_server_begun() < 2)
    g_usleep(1000);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(times_taken("first"), ==, 1);
  g_assert_cmpuint(times_taken("mail-0"), ==, 2);
  g_assert_cmpuint(times_taken("mail-1"), ==, 1);
  g_assert_cmpuint(times_taken("mail-2"), ==, 1);
}

static void test_restart(Fixture *fixture, gconstpointer unused) {
  restart(fixture, FAKE_AHEAD_ENVELOPE);
}

static void test_restart_whole(Fixture *fixture, gconstpointer unused) {
  restart(fixture, FAKE_AHEAD_WHOLE);
}

static const OutboxCase cases[] = {
    {"envelope", test_envelope},
    {"whole", test_whole},
    {"the connection breaks", test_breaks},
    {"the connection breaks behind the whole", test_breaks_whole},
    {"the server leaves before the whole", test_left_whole},
    {"refused", test_refused},
    {"unfit", test_unfit},
    {"swallowed", test_swallowed},
    {"no more behind", test_no_more_behind},
    {"slow answer", test_slow_answer},
    {"restart", test_restart},
    {"restart behind the whole", test_restart_whole},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/ahead", set_up, cases, G_N_ELEMENTS(cases));
}
