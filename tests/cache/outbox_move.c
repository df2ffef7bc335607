// Claim: a letter is sent when it is renamed to a letter's name, goes on when another takes its
// name, and is not sent when it is renamed away or removed; failed/ is left by rename and rm.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

static void test_rm_cancels(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, ENOENT);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, "", "");
}

// rsync: a hidden file, renamed when it is whole, goes at once.
static void test_rename_commits(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, ".mail.Ab12cd");
  fixture_assert_state(fixture, ".mail.Ab12cd", "draft");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail.Ab12cd", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
}

static void test_rename_refuses(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(fixture_copy(fixture, ".mail", "no letter"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, EINVAL);
  fixture_assert_names(fixture, ".mail", "");
  fixture_assert_state(fixture, ".mail", "draft");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", ".other", 0), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "x", 0), ==, ENOENT);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".other", "x.error", 0), ==, EINVAL);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".other", "x", RENAME_EXCHANGE), ==, EINVAL);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, ".other", "");
}

static void test_rename_relabels(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "one");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "one", "other", 0), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "other", "other", 0), ==, 0);
  fixture_assert_names(fixture, "other", "");
  fixture_assert_state(fixture, "other", "held");
  FIXTURE_ASSERT_SENDS(fixture, "one");
}

// Onto another letter: that one goes on; onto something that is no letter: it is replaced.
static void test_rename_onto(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "one");
  fixture_copy_letter(fixture, "two");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "two", "one", RENAME_NOREPLACE), ==, EEXIST);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "two", "one", 0), ==, 0);
  fixture_assert_names(fixture, "one+1 one", "");
  g_assert_cmpint(fixture_copy(fixture, ".a", "a"), ==, 0);
  g_assert_cmpint(fixture_copy(fixture, ".b", "b"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".a", ".b", 0), ==, 0);
  fixture_assert_names(fixture, "one+1 one .b", "");
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, ".b");
  g_assert_cmpstr(text, ==, "a");
  FIXTURE_ASSERT_SENDS(fixture, "one", "two");
}

// A letter renamed to a name that is never sent is taken back.
static void test_rename_withdraws(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail", ".mail", 0), ==, 0);
  fixture_assert_state(fixture, ".mail", "draft");
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, ".mail", "");
}

// A rename while it is written: it is committed at its close, under its new name.
static void test_rename_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, ".mail");
  fixture_write_letter(handle, "one");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, 0);
  fixture_assert_state(fixture, "mail", "writing");
  fixture_finish(fixture, handle, getpid());
  fixture_assert_state(fixture, "mail", "held");
  FIXTURE_ASSERT_SENDS(fixture, "one");
}

static void test_editor_lock(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *lock = fixture_create(fixture, ".mail.swp");
  fixture_write(lock, "b0VIM");
  fixture_copy_letter(fixture, "mail");
  fixture_assert_state(fixture, "mail", "draft");
  fixture_copy_letter(fixture, "mail2");
  fixture_assert_state(fixture, "mail2", "held");
  fixture_finish(fixture, lock, getpid());
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail", "held");
  FIXTURE_ASSERT_SENDS(fixture, "mail", "mail2");
}

// A lock is heeded whenever it comes before the letter goes: also after a restart, and for a letter
// that waits for its next try.
static void test_late_lock(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_copy(fixture, ".#mail", "alice@host"), ==, 0);
  fixture_reopen(fixture);
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail", "draft");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".#mail"), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail", "held");
  FIXTURE_ASSERT_SENDS(fixture, "mail");
}

static bool is_offline(Fixture *fixture) {
  return fixture->outbox->failures > 0;
}

static void test_lock_between_tries(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 0;
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_OFFLINE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait(fixture, is_offline);
  g_assert_cmpint(fixture_copy(fixture, ".mail.swp", "b0VIM"), ==, 0);
  fixture_copy_letter(fixture, "other");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_state(fixture, "mail", "draft");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

typedef struct {
  bool called;
  int code;
} Answer;

static void take_answer(const GError *error, gpointer data) {
  Answer *answer = data;
  answer->called = true;
  answer->code = error != NULL ? error->code : 0;
}

// What comes while a rename is on its way to the disk: its letter keeps the bytes that are checked,
// and its attributes go with it.
static void test_while_renamed(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_OFFLINE);
  fake_server_expect(FAKE_OFFLINE);
  fixture_copy_letter(fixture, ".mail");
  OutboxFile file;
  Answer answer = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, ".mail", &file));
  outbox_rename(fixture->outbox, OUTBOX_INO, ".mail", OUTBOX_INO, "mail", 0, take_answer, &answer);
  g_assert_false(outbox_truncate(fixture->outbox, file.ino, NULL, 10, &error));
  g_assert_error(error, OUTBOX_ERROR, EBUSY);
  g_assert_true(outbox_set_mode(fixture->outbox, file.ino, 0640, NULL));
  while (!answer.called)
    g_main_context_iteration(fixture->context, true);
  g_assert_cmpint(answer.code, ==, 0);
  fixture_wait_disk(fixture);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "mail", "");
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_cmpuint(file.mode, ==, 0640);
}

// vim's second :w - the old one aside, a new one written, the old one removed - is one letter.
static void test_vim_writes_again(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail", "mail~", 0), ==, 0);
  g_autofree char *letter = fixture_letter("better");
  g_assert_cmpint(fixture_copy(fixture, "mail", letter), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail~"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "better");
}

static void test_unlinked_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "one");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  fixture_write_letter(handle, "two");
  char first[5] = "";
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(outbox_read(handle, first, 4, 0, &error), ==, 4);
  g_assert_cmpstr(first, ==, "From");
  fixture_finish(fixture, handle, getpid());
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, "", "");
}

// `rm failed/*`: the letter and its note go, whichever is first.
static void test_rm_failed(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "one");
  fixture_fail_letter(fixture, "two");
  fixture_assert_names(fixture, "", "one one.error two two.error");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "one"), ==, 0);
  fixture_assert_names(fixture, "", "one.error two two.error");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "one.error"), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "two.error"), ==, 0);
  fixture_assert_names(fixture, "", "two");
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "two");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "two"), ==, 0);
  fixture_assert_names(fixture, "", "");
}

// A second failure of the same name does not hide the first.
static void test_two_failures(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  fixture_fail_letter(fixture, "mail");
  fixture_assert_names(fixture, "", "mail mail.error mail+1 mail+1.error");
}

// Who accepted a letter gets what is written anew in its place, under a Message-ID of its own; the
// bytes that they have they do not get again.
static void test_written_anew(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE_SECOND);
  fixture->options.send_delay_ms = 0;
  fixture_reopen(fixture);
  fixture_copy(fixture, "mail", "To: a@example.org, b@example.org\nSubject: old\n\nold\n");
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail", &file));
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), NULL);
  fixture_write(handle, "To: a@example.org, c@example.org\nSubject: new\n\nnew\n");
  fixture_finish(fixture, handle, getpid());
  fixture_crash(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  g_autofree char *old = fake_server_letter(0), *new = fake_server_letter(1);
  g_assert_nonnull(strstr(old, "-> a@example.org\n"));
  g_assert_nonnull(strstr(new, "-> a@example.org c@example.org\n"));
  const char *old_id = strstr(old, "Message-ID: "), *new_id = strstr(new, "Message-ID: ");
  g_assert_true(old_id != NULL && new_id != NULL);
  g_assert_false(strncmp(old_id, new_id, strcspn(old_id, "\r")) == 0);
}

// failed/ may be read, mended and taken out of, not put into; a retry is checked as any letter is.
static void test_failed_directory(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, EINVAL);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail.error", "x", 0), ==, EPERM);
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail.error", &file));
  g_assert_true(file.is_error_note);
  g_assert_null(outbox_open_file(fixture->outbox, file.ino, O_RDWR, getpid(), &error));
  g_assert_cmpint(error->code, ==, EPERM);
  g_clear_error(&error);
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail", &file));
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), &error);
  g_assert_no_error(error);
  fixture_write_letter(handle, "mended");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, EBUSY);
  fixture_finish(fixture, handle, getpid());
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
}

static const OutboxCase cases[] = {
    {"rm cancels", test_rm_cancels},
    {"rename commits", test_rename_commits},
    {"rename refuses", test_rename_refuses},
    {"rename relabels", test_rename_relabels},
    {"rename onto", test_rename_onto},
    {"written anew", test_written_anew},
    {"rename withdraws", test_rename_withdraws},
    {"rename while open", test_rename_while_open},
    {"editor's lock", test_editor_lock},
    {"late lock", test_late_lock},
    {"lock between tries", test_lock_between_tries},
    {"while renamed", test_while_renamed},
    {"vim writes again", test_vim_writes_again},
    {"unlinked while open", test_unlinked_while_open},
    {"rm failed", test_rm_failed},
    {"two failures", test_two_failures},
    {"the failed directory", test_failed_directory},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/move", fixture_set_up_holding, cases,
                           G_N_ELEMENTS(cases));
}
