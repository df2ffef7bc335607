// Claim: many letters go by two connections, if the server takes two; a letter that takes long, a
// server that takes but one connection, and one that hangs up hold up none of the others; what
// waits for its turn can be taken back.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

// Letters wait for an hour if they are tried again by schedule.
static void set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up(fixture, NULL);
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
}

static void copy_letters(Fixture *fixture, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_copy_letter(fixture, name);
  }
}

// The first letter is with a server that does not answer.
static void begin_stalled(Fixture *fixture, unsigned others) {
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "first");
  fake_server_wait_stalled();
  copy_letters(fixture, others);
}

static bool three_were_sent(Fixture *fixture) {
  return fake_server_count() == 3;
}

// The main loop hears nothing of a connection: it is not waited for with it.
static void wait_for_second_try(Fixture *fixture) {
  while (fake_server_tries() < 2) {
    g_main_context_iteration(fixture->context, FALSE);
    g_usleep(1000);  // ... so it is looked for
  }
}

static void assert_sent(Fixture *fixture, unsigned letters, unsigned connections) {
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, letters);
  g_assert_cmpuint(fake_server_connections(), ==, connections);
  fixture_assert_names(fixture, "", "");
}

static void test_two_connections(Fixture *fixture, gconstpointer unused) {
  begin_stalled(fixture, 3);
  fixture_wait(fixture, three_were_sent);
  fake_server_go_on();
  assert_sent(fixture, 4, 2);
}

// All are sent, each once, whoever takes them.
static void test_many(Fixture *fixture, gconstpointer unused) {
  begin_stalled(fixture, 100);
  fake_server_go_on();
  assert_sent(fixture, 101, 2);
  for (unsigned i = 0; i < 100; i++) {
    g_autofree char *subject = g_strdup_printf("Subject: mail-%u\r", i);
    unsigned found = 0;
    for (unsigned j = 0; j < 101; j++) {
      g_autofree char *letter = fake_server_letter(j);
      if (strstr(letter, subject) != NULL) found++;
    }
    g_assert_cmpuint(found, ==, 1);
  }
  g_assert_cmpuint(fake_server_most(), ==, 2);
}

// A second letter is no burst: it waits for the connection there is, unless that takes long.
static void test_no_burst(Fixture *fixture, gconstpointer unused) {
  begin_stalled(fixture, 1);
  g_usleep(50 * 1000);  // time in which another would be made
  g_assert_cmpuint(fake_server_tries(), ==, 1);
  fake_server_go_on();
  assert_sent(fixture, 2, 1);
}

static bool one_was_sent(Fixture *fixture) {
  return fake_server_count() == 1;
}

static void test_long_wait(Fixture *fixture, gconstpointer unused) {
  begin_stalled(fixture, 1);
  fixture_wait(fixture, one_was_sent);
  fake_server_go_on();
  assert_sent(fixture, 2, 2);
}

// The refused second connection is not tried for each letter, and is nobody's failure.
static void test_second_refused(Fixture *fixture, gconstpointer unused) {
  fake_server_allow(1);
  begin_stalled(fixture, 10);
  wait_for_second_try(fixture);
  fake_server_go_on();
  assert_sent(fixture, 11, 1);
  g_assert_cmpuint(fake_server_tries(), ==, 2);
  g_assert_cmpuint(fixture->outbox->failures, ==, 0);
}

// The same where it is let in and told 421 then.
static void test_second_turned_away(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fake_server_expect(FAKE_LEAVE);
  fixture_copy_letter(fixture, "first");
  fake_server_wait_stalled();
  copy_letters(fixture, 3);
  wait_for_second_try(fixture);
  fake_server_go_on();
  assert_sent(fixture, 4, 2);
}

// 421 on a connection that was kept says nothing about this letter: it goes at once over another.
static void test_kept_turned_away(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_ACCEPT);
  fake_server_expect(FAKE_LEAVE);
  fixture_copy_letter(fixture, "one");
  fixture_wait_sent(fixture);
  fixture_copy_letter(fixture, "two");
  assert_sent(fixture, 2, 2);
}

static bool is_offline(Fixture *fixture) {
  return fixture->outbox->failures > 0 && fixture->outbox->under_way->len == 0;
}

// A server out of reach is not asked once for each letter; all wait for the same time.
static void test_offline(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  copy_letters(fixture, 8);
  fake_server_expect(FAKE_UNREACHABLE);
  fixture_reopen(fixture);
  fake_server_go_on();
  fixture_wait(fixture, is_offline);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(fake_server_tries(), ==, 1);
  g_assert_cmpuint(fixture->outbox->failures, ==, 1);
  for (unsigned i = 0; i < 8; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_assert_state(fixture, name, "queued");
  }
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 8);
}

// The letters were written before the outbox could send; a server that says so to each lets in at
// most the two connections that were under way, and then all wait for the same time.
static void turn_all_away(Fixture *fixture, FakeStep step) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  copy_letters(fixture, 50);
  fake_server_set(step);
  fixture_reopen(fixture);
  fixture_wait(fixture, is_offline);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(fake_server_tries(), <=, 2);
  g_assert_cmpuint(fixture->outbox->failures, ==, 1);
  for (unsigned i = 0; i < 50; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_assert_state(fixture, name, "queued");
  }
  fake_server_set(FAKE_ACCEPT);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 50);
}

static void test_turned_away(Fixture *fixture, gconstpointer unused) {
  turn_all_away(fixture, FAKE_TURN_AWAY);
}

static void test_dropped(Fixture *fixture, gconstpointer unused) {
  turn_all_away(fixture, FAKE_DROP);
}

static bool has_one_left(Fixture *fixture) {
  return fixture->outbox->under_way->len == 0 && fake_server_count() == 9;
}

// A letter that makes the server hang up later holds up no other.
static void test_hated(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_LEAVE);
  copy_letters(fixture, 10);
  fixture_wait(fixture, has_one_left);
  g_assert_cmpuint(fake_server_count(), ==, 9);
  g_assert_cmpuint(fixture->outbox->failures, ==, 0);
}

// New letters are a reason to try again, but not each letter of a burst.
static void test_written_meanwhile(Fixture *fixture, gconstpointer unused) {
  static const FakeStep steps[] = {FAKE_OFFLINE, FAKE_TURN_AWAY};
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    unsigned before = fake_server_tries();
    fake_server_set(steps[i]);
    fixture_copy_letter(fixture, "first");
    fixture_wait(fixture, is_offline);
    copy_letters(fixture, 20);
    // Time in which each would be tried.
    for (unsigned j = 0; j < 50; j++) {
      g_main_context_iteration(fixture->context, FALSE);
      g_usleep(1000);
    }
    g_assert_cmpuint(fake_server_tries() - before, <=, 2);
    fake_server_set(FAKE_ACCEPT);
    fixture_reopen(fixture);
    fixture_wait_sent(fixture);
    fixture_reopen(fixture);
  }
}

// What was handed over and not begun can be cancelled and renamed; what was begun cannot.
static void test_withdraw(Fixture *fixture, gconstpointer unused) {
  fake_server_allow(1);
  begin_stalled(fixture, 6);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "first"), ==, EBUSY);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail-5"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail-4", "other", 0), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail-3", ".mail-3", 0), ==, 0);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, ".mail-3", "");
  g_assert_cmpuint(fake_server_count(), ==, 5);
  for (unsigned i = 0; i < 5; i++) {
    g_autofree char *letter = fake_server_letter(i);
    g_assert_null(strstr(letter, "mail-5"));
    g_assert_null(strstr(letter, "mail-3"));
  }
}

// The end gives up both letters under way, and those that wait; the next start sends each once.
static void test_restart(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "first");
  fake_server_wait_stalled();
  copy_letters(fixture, 10);
  wait_for_second_try(fixture);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 11);
}

static const OutboxCase cases[] = {
    {"two connections", test_two_connections},
    {"many", test_many},
    {"no burst", test_no_burst},
    {"a long wait", test_long_wait},
    {"second refused", test_second_refused},
    {"second turned away", test_second_turned_away},
    {"kept turned away", test_kept_turned_away},
    {"offline", test_offline},
    {"turned away", test_turned_away},
    {"dropped", test_dropped},
    {"hated", test_hated},
    {"written meanwhile", test_written_meanwhile},
    {"withdraw", test_withdraw},
    {"restart", test_restart},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/burst", set_up, cases, G_N_ELEMENTS(cases));
}
