// Claim: what a server says for now holds for now: a try that met none counts for nothing, a server
// that gets on is gone on with at once, and its limit of an hour ago is asked for anew.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

static int64_t seconds;

static int64_t tell_time(gpointer unused) {
  return seconds * G_USEC_PER_SEC;
}

// What it said is not believed for ever: the writer may try what the server takes by now.
static void test_takes_more_by_now(Fixture *fixture, gconstpointer unused) {
  g_autofree char *body = g_strnfill(900, '.');
  g_autofree char *large = g_strconcat("To: bob@example.org\n\n", body, "\n", NULL);
  fixture->options.now_us = tell_time;
  seconds = 1000000000;
  fixture_reopen(fixture);
  fake_server_limit(900);
  fixture_copy_letter(fixture, "small");
  fixture_wait_sent(fixture);
  seconds += 3599;
  g_assert_cmpint(fixture_copy(fixture, "refused", large), ==, EMSGSIZE);
  seconds++;
  g_assert_cmpint(fixture_copy(fixture, "large", large), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

// The note says when it was given up, not when it was written.
static void test_when(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  fixture->options.retry_ms = 0;
  seconds = 1000000000;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_LATER);
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  while (fixture->outbox->under_way->len > 0)
    g_main_context_iteration(fixture->context, true);
  seconds += 3661;
  outbox_run_agenda(fixture->outbox);
  fixture_wait_sent(fixture);
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "\nWhen: 2001-09-09 02:47:41 UTC\n"));
}

// A server that takes one recipient at a time gets the letter for the next at once; what it said of
// those before makes no delay for those after.
static void test_too_many_recipients(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fake_server_set(FAKE_ONE_ONLY);
  fixture_copy(fixture, "mail", "To: a@example.org, b@example.org, c@example.org\n\nHi\n");
  fixture_wait_sent(fixture);
  static const char *const turns[] = {"-> a@example.org\n", "-> b@example.org\n",
                                      "-> c@example.org\n"};
  g_assert_cmpuint(fake_server_count(), ==, G_N_ELEMENTS(turns));
  for (unsigned i = 0; i < G_N_ELEMENTS(turns); i++) {
    g_autofree char *letter = fake_server_letter(i);
    g_assert_nonnull(strstr(letter, turns[i]));
  }
  fixture_assert_names(fixture, "", "");
}

// How long the server was out of reach says nothing of how long the letter is to wait for its first
// temporary refusal.
static void test_offline_is_no_attempt(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  fixture->options.retry_ms = 0;
  seconds = 1000000000;
  fixture_reopen(fixture);
  for (unsigned i = 0; i < 6; i++)
    fake_server_expect(FAKE_OFFLINE);
  fake_server_expect(FAKE_LATER);
  fixture_copy_letter(fixture, "mail");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  while (fake_server_connections() == 0) {
    seconds += 3600;
    outbox_run_agenda(fixture->outbox);
    while (fixture->outbox->under_way->len > 0)
      g_main_context_iteration(fixture->context, true);
  }
  const OutboxLetter *letter = outbox_table_get(fixture->outbox->table, file.ino);
  g_assert_cmpint(letter->row.next_try, ==, seconds + 60);
}

static bool count_failed(OutboxLetter *letter, gpointer data) {
  if (letter->row.phase == OUTBOX_FAILED) ++*(unsigned *)data;
  return true;
}

// While the server is out of reach one letter is enough to try, but all have waited for it: each
// says why, and all are given up when their time is over, not one with each try.
static void test_given_up_together(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  fixture->options.retry_ms = 0;
  fixture->options.send_lifetime_s = 5 * 24 * 3600;
  seconds = 1000000000;
  fixture_reopen(fixture);
  fake_server_set(FAKE_OFFLINE);
  for (unsigned i = 0; i < 200; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_copy_letter(fixture, name);
  }
  OutboxFile file;
  unsigned failed = 0;
  for (unsigned hour = 0; hour <= 5 * 24; hour++) {
    outbox_run_agenda(fixture->outbox);
    while (fixture->outbox->under_way->len > 0)
      g_main_context_iteration(fixture->context, true);
    if (hour == 1) {
      g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail-199", &file));
      g_autofree char *why = outbox_detail(fixture->outbox, file.ino, OUTBOX_ERROR_TEXT);
      g_assert_nonnull(why);
    }
    seconds += 3600;
  }
  fixture_wait_disk(fixture);
  outbox_table_from(fixture->outbox->table, 0, count_failed, &failed);
  g_assert_cmpuint(failed, ==, 200);
}

// A letter that cannot be read here says nothing of the server: a password that was refused is not
// offered the sooner for it.
static void test_unreadable(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  fixture->options.retry_ms = 0;
  seconds = 1000000000;
  fixture_reopen(fixture);
  Outbox *outbox = fixture->outbox;
  fake_server_set(FAKE_DENIED);
  fixture_copy_letter(fixture, "lost");
  while (outbox->under_way->len > 0)
    g_main_context_iteration(fixture->context, true);
  fixture_copy_letter(fixture, "mail");
  char file[24];
  outbox_file_name(outbox_table_find(outbox->table, OUTBOX_INO, "lost")->row.id, file);
  g_assert_cmpint(unlinkat(outbox->letters_fd, file, 0), ==, 0);
  seconds += 60;
  do {
    outbox_run_agenda(outbox);
    g_main_context_iteration(fixture->context, outbox->under_way->len > 0);
  } while (outbox->under_way->len > 0 || fake_server_tries() < 2);
  g_assert_cmpuint(outbox->failures, ==, 2);
  g_assert_true(outbox->denied);
  g_autofree char *why = outbox_detail(
      outbox, outbox_table_find(outbox->table, OUTBOX_INO, "lost")->row.ino, OUTBOX_ERROR_TEXT);
  g_assert_cmpstr(why, ==, g_strerror(ENOENT));
}

static const OutboxCase cases[] = {
    {"takes more by now", test_takes_more_by_now},
    {"when", test_when},
    {"too many recipients", test_too_many_recipients},
    {"offline is no attempt", test_offline_is_no_attempt},
    {"given up together", test_given_up_together},
    {"unreadable", test_unreadable},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/pace", fixture_set_up, cases, G_N_ELEMENTS(cases));
}
