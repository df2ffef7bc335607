// Claim: a letter written into the outbox goes to the server once, whole and without its Bcc, and
// is then gone; what the server does not take is tried again or lies in failed/ with the reason in
// words; each recipient is settled by itself.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/lock.h"
#include "cache/outbox_private.h"
#include "outbox_cases.h"

#define TO_THREE "From: alice@example.org\nTo: a@example.org, b@example.org, c@example.org\n\nHi\n"

static void assert_sent(unsigned i, const char *what) {
  g_autofree char *letter = fake_server_letter(i);
  if (strstr(letter, what) == NULL) g_error("\"%s\" is not in\n%s", what, letter);
}

static void assert_note(Fixture *fixture, const char *name, const char *what) {
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, name);
  if (strstr(note, what) == NULL) g_error("\"%s\" is not in\n%s", what, note);
}

static void test_accepted(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(
      fixture_copy(fixture, "mail", "To: bob@example.org\nBcc: carol@example.org\n\n.\nHello\n"),
      ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  g_autofree char *sent = fake_server_letter(0);
  g_assert_true(g_str_has_prefix(sent, "me@example.org -> bob@example.org carol@example.org\n"));
  g_assert_true(g_str_has_suffix(sent, "To: bob@example.org\r\n\r\n.\r\nHello\r\n"));
  g_assert_nonnull(strstr(sent, "\r\nMessage-ID: <"));
  g_assert_nonnull(strstr(sent, "\r\nFrom: me@example.org\r\n"));
  g_assert_null(strstr(strchr(sent, '\n'), "carol"));
  fixture_assert_names(fixture, "", "");
  g_assert_true(fixture_was_told(fixture, "- outbox/mail"));
  g_assert_true(fixture_was_told(fixture, "* outbox"));
}

// A restart finds nothing of what was sent, neither row nor file.
static void test_nothing_left(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "");
  g_assert_cmpuint(fake_server_count(), ==, 1);
  g_autofree char *letters = g_build_filename(fixture->directory, "letters", NULL);
  g_autoptr(GDir) directory = g_dir_open(letters, 0, NULL);
  g_assert_null(g_dir_read_name(directory));
}

static void test_many_share_a_connection(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 50; i++) {
    g_autofree char *name = g_strdup_printf("mail-%u", i);
    fixture_copy_letter(fixture, name);
  }
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 50);
  g_assert_cmpuint(fake_server_connections(), <=, 2);
}

static void test_refused(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  assert_note(fixture, "mail.error", "This letter was not sent.");
  assert_note(fixture, "mail.error", "Server: smtps://smtp.example.org:465");
  assert_note(fixture, "mail.error", "bob@example.org: refused: 550 5.1.1 unknown");
  assert_note(fixture, "mail.error", "not be tried again");
  g_assert_true(fixture_was_told(fixture, "- outbox/mail"));
  g_assert_true(fixture_was_told(fixture, "* failed"));
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

// Also after a restart, the note is there and the letter is not sent.
static void test_refused_stays(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  assert_note(fixture, "mail.error", "550 5.1.1 unknown");
}

static void test_retry_by_rename(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
  g_assert_true(fixture_was_told(fixture, "- failed/mail.error"));
}

static char *message_id_of(unsigned i) {
  g_autofree char *letter = fake_server_letter(i);
  const char *start = strstr(letter, "Message-ID: ");
  g_assert_nonnull(start);
  return g_strndup(start, strcspn(start, "\r"));
}

// The others have got it; only the refused one is asked for again.
static void test_one_of_three_refused(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE_SECOND);
  fixture_copy(fixture, "mail", TO_THREE);
  fixture_wait_sent(fixture);
  assert_sent(0, "-> a@example.org c@example.org\n");
  assert_note(fixture, "mail.error", "sent to some of its recipients only");
  assert_note(fixture, "mail.error", "a@example.org: accepted: 250");
  assert_note(fixture, "mail.error", "b@example.org: refused: 550");
  fixture_reopen(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  assert_sent(1, "-> b@example.org\n");
  g_autofree char *first = message_id_of(0);
  g_autofree char *second = message_id_of(1);
  g_assert_cmpstr(first, ==, second);
  fixture_assert_names(fixture, "", "");
}

static void test_one_of_three_later(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_LATER_SECOND);
  fixture_copy(fixture, "mail", TO_THREE);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  assert_sent(0, "-> a@example.org c@example.org\n");
  assert_sent(1, "-> b@example.org\n");
  g_autofree char *first = message_id_of(0);
  g_autofree char *second = message_id_of(1);
  g_assert_cmpstr(first, ==, second);
  fixture_assert_names(fixture, "", "");
}

static void test_later(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 4; i++)
    fake_server_expect(FAKE_LATER);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
}

static void test_offline(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 3; i++)
    fake_server_expect(FAKE_OFFLINE);
  fixture_copy_letter(fixture, "one");
  fixture_copy_letter(fixture, "two");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  fixture_assert_names(fixture, "", "");
}

static bool was_tried(Fixture *fixture) {
  return fixture->outbox->failures > 0;
}

// A new letter is a reason to try again at once, but not to offer a refused password once more.
static void test_denied(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_DENIED);
  fixture_copy_letter(fixture, "one");
  fixture_wait(fixture, was_tried);
  fixture_copy_letter(fixture, "two");
  g_assert_cmpint(fixture_copy(fixture, ".three", "To: a@example.org\n\n"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".three", "three", 0), ==, 0);
  static const char *const names[] = {"one", "two", "three"};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
    fixture_assert_state(fixture, names[i], "queued");
  g_assert_cmpuint(fake_server_tries(), ==, 1);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 3);
}

// What the server takes is known after the first connection; then the writer is told.
static void test_too_large(Fixture *fixture, gconstpointer unused) {
  g_autofree char *body = g_strnfill(900, '.');
  g_autofree char *large = g_strconcat("To: bob@example.org\n\n", body, "\n", NULL);
  fake_server_limit(900);
  g_assert_cmpint(fixture_copy(fixture, "before", large), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpint(fixture_copy(fixture, "large", large), ==, EMSGSIZE);
  fixture_assert_names(fixture, "", "large large.error");
  assert_note(fixture, "large.error", " bytes, the server takes 900");
  g_assert_cmpint(fixture_copy(fixture, ".draft", large), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".draft", "mail", 0), ==, EMSGSIZE);
  fixture_assert_names(fixture, ".draft", "large large.error");
  fixture_copy_letter(fixture, "small");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

// What is refused after a try that nobody answered may have been sent by that.
static void test_perhaps_sent(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_TAKE_HANG_UP);
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  assert_note(fixture, "mail.error", "This letter was perhaps sent");
}

static void test_hang_up_before_end(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_HANG_UP);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  g_assert_cmpuint(fake_server_connections(), ==, 2);
}

// Nobody knows whether it was taken: it is sent again, recognisable by its Message-ID.
static void test_hang_up_after_end(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_TAKE_HANG_UP);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  g_autofree char *first = message_id_of(0);
  g_autofree char *second = message_id_of(1);
  g_assert_cmpstr(first, ==, second);
}

// A kept connection that the server closed meanwhile costs the letter no waiting.
static void test_kept_connection_broke(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "one");
  fixture_wait_sent(fixture);
  fake_server_expect(FAKE_HANG_UP);
  fixture_copy_letter(fixture, "two");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

static void test_too_old(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_lifetime_s = 0;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_LATER);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  assert_note(fixture, "mail.error", "could not be sent in time; the last try: 451 4.3.0 later");
  assert_note(fixture, "mail.error", "bob@example.org: not taken for now: 451");
}

// What is with the server cannot be taken back or written to; another letter takes its name.
static void test_under_way(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "mail");
  fake_server_wait_stalled();
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, EBUSY);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail", "other", 0), ==, EBUSY);
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_null(outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_APPEND, getpid(), &error));
  g_assert_cmpint(error->code, ==, EBUSY);
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, getpid());
  g_autofree char *second = fixture_letter("second");
  fixture_write(handle, second);
  fixture_assert_names(fixture, "mail mail+1", "");
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

// The end of the program gives up what has not ended, and the next start sends it.
static void test_restart_while_sending(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "mail");
  fake_server_wait_stalled();
  fixture_close(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_open(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

static void test_restart_finishes(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "mail");
  g_autofree char *state = fixture_state(fixture, OUTBOX_INO, "mail");
  g_assert_cmpstr(state, ==, "held");
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

static void test_waiting_and_elsewhere(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "one");
  fixture_copy_letter(fixture, "two");
  g_assert_cmpuint(outbox_waiting(fixture->outbox), ==, 2);
  g_autofree char *above = g_path_get_dirname(fixture->directory);
  g_autofree char *sibling = g_build_filename(above, "no-such-account", NULL);
  g_assert_cmpuint(outbox_count_elsewhere(above, sibling), >=, 2);
  g_autofree char *inside = g_build_filename(fixture->directory, "x", NULL);
  g_assert_cmpuint(outbox_count_elsewhere(fixture->directory, inside), ==, 0);
}

// An account that is mounted looks after its letters itself.
static void test_mounted_elsewhere(Fixture *fixture, gconstpointer unused) {
  g_autofree char *account = g_build_filename(fixture->directory, "other", NULL);
  g_autofree char *own = g_build_filename(fixture->directory, "own", NULL);
  g_assert_cmpint(mkdir(account, 0700), ==, 0);
  fixture->options.directory = account;
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "one");
  fixture_close(fixture);
  g_assert_cmpuint(outbox_count_elsewhere(fixture->directory, own), ==, 1);
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(account, 0, &error);
  g_assert_no_error(error);
  g_assert_nonnull(lock);
  g_assert_cmpuint(outbox_count_elsewhere(fixture->directory, own), ==, 0);
}

static const OutboxCase cases[] = {
    {"accepted", test_accepted},
    {"nothing left", test_nothing_left},
    {"many share a connection", test_many_share_a_connection},
    {"refused", test_refused},
    {"refused stays", test_refused_stays},
    {"retry by rename", test_retry_by_rename},
    {"one of three refused", test_one_of_three_refused},
    {"one of three later", test_one_of_three_later},
    {"later", test_later},
    {"offline", test_offline},
    {"denied", test_denied},
    {"too large", test_too_large},
    {"perhaps sent", test_perhaps_sent},
    {"hang-up before the end", test_hang_up_before_end},
    {"hang-up after the end", test_hang_up_after_end},
    {"a kept connection broke", test_kept_connection_broke},
    {"too old", test_too_old},
    {"under way", test_under_way},
    {"restart while sending", test_restart_while_sending},
    {"restart finishes", test_restart_finishes},
    {"waiting here and elsewhere", test_waiting_and_elsewhere},
    {"mounted elsewhere", test_mounted_elsewhere},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/send", fixture_set_up, cases, G_N_ELEMENTS(cases));
}
