// Claim: what was half written is never sent: whoever closed it last, whatever it was called while
// it was written and is called later, and whether its writer was killed or we were.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "outbox_cases.h"

// Its writer is killed while it writes.
static void write_half(Fixture *fixture, OutboxHandle *handle) {
  fixture_write_letter(handle, "half");
  fixture_flush(fixture, handle, fixture_killed_process());
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
}

static OutboxHandle *open_failed(Fixture *fixture, const char *name, int flags) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, name, &file));
  OutboxHandle *handle = outbox_open_file(fixture->outbox, file.ino, flags, getpid(), &error);
  g_assert_no_error(error);
  return handle;
}

static void assert_nothing_sent(Fixture *fixture) {
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

static void test_draft(Fixture *fixture, gconstpointer unused) {
  write_half(fixture, fixture_create(fixture, ".mail"));
  for (unsigned i = 0; i < 2; i++) {
    g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, ECANCELED);
    g_assert_cmpint(fixture_link(fixture, ".mail", "mail"), ==, ECANCELED);
    assert_nothing_sent(fixture);
  }
  OutboxHandle *handle = fixture_open_letter(fixture, ".mail", O_WRONLY | O_TRUNC, getpid());
  fixture_write_letter(handle, "whole");
  fixture_finish(fixture, handle, getpid());
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "whole");
}

static void test_under_a_lock(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(fixture_copy(fixture, ".mail.swp", "b0VIM"), ==, 0);
  write_half(fixture, fixture_create(fixture, "mail"));
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "killed before it had finished"));
  assert_nothing_sent(fixture);
}

static void assert_note(Fixture *fixture, const char *reason, bool is_whole) {
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, reason));
  g_assert_true((strstr(note, "(mv)") != NULL) == is_whole);
  g_assert_true((strstr(note, "can only be sent when it was written anew") == NULL) == is_whole);
}

static void test_failed(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  write_half(fixture, open_failed(fixture, "mail", O_WRONLY | O_TRUNC));
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, ECANCELED);
  assert_note(fixture, "Why: the program that wrote it anew was killed", false);
  assert_nothing_sent(fixture);
  assert_note(fixture, "Why: the program that wrote it anew was killed", false);
}

// The last to close it wrote all that it wanted to, after another was killed.
static void test_two_writers(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  fixture_write_letter(first, "half");
  OutboxHandle *second =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_APPEND, fixture_other_process());
  write_half(fixture, first);
  g_assert_cmpint(fixture_flush(fixture, second, fixture_other_process()), ==, ECANCELED);
  g_assert_cmpint(fixture_release(fixture, second), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, ECANCELED);
  assert_nothing_sent(fixture);
}

// A file that has no bytes yet is not half of anything.
static void test_empty(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_flush(fixture, handle, fixture_killed_process());
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_APPEND, fixture_other_process());
  fixture_write_letter(handle, "whole");
  fixture_finish(fixture, handle, fixture_other_process());
  FIXTURE_ASSERT_SENDS(fixture, "whole");
}

static void crash(Fixture *fixture) {
  fixture_wait_disk(fixture);
  fixture_crash(fixture);
}

static void test_crash_of_a_draft(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, ".mail");
  fixture_write_letter(handle, "half");
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  crash(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, EOWNERDEAD);
  assert_nothing_sent(fixture);
}

static void test_crash_of_one_continued(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, ".mail");
  OutboxHandle *handle = fixture_open_letter(fixture, ".mail", O_WRONLY, getpid());
  fixture_write_letter(handle, "half");
  crash(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, EOWNERDEAD);
  assert_nothing_sent(fixture);
}

static void test_crash_of_a_failed_one(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  OutboxHandle *handle = open_failed(fixture, "mail", O_WRONLY);
  fixture_write_letter(handle, "half");
  assert_note(fixture, "Why: it does not begin with a header", true);
  crash(fixture);
  assert_note(fixture, "Why: it was still being written anew when mailfs ended", false);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, EOWNERDEAD);
  assert_nothing_sent(fixture);
}

// Its note tells at each time what there is of it: not all, all, all but what the disk did not
// take; a look with an editor that changes nothing leaves it alone.
static void test_note_of_a_failed_one(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  fixture_finish(fixture, open_failed(fixture, "mail", O_WRONLY), getpid());
  assert_note(fixture, "Why: it does not begin with a header", true);
  write_half(fixture, open_failed(fixture, "mail", O_WRONLY | O_TRUNC));
  assert_note(fixture, "Why: the program that wrote it anew was killed", false);
  OutboxHandle *handle = open_failed(fixture, "mail", O_WRONLY | O_TRUNC);
  fixture_write_letter(handle, "whole");
  fixture_finish(fixture, handle, getpid());
  assert_note(fixture, "Why: it was written anew since it failed", true);
  handle = open_failed(fixture, "mail", O_WRONLY);
  g_autoptr(GError) error = NULL;
  g_assert_false(outbox_truncate(fixture->outbox, 0, handle, INT64_MAX, &error));
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  assert_note(fixture, "Why: it was written anew, and a part could not be written", false);
}

// One that was written to its end can be retried.
static void test_failed_and_finished(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "mail");
  OutboxHandle *handle = open_failed(fixture, "mail", O_WRONLY | O_TRUNC);
  fixture_write_letter(handle, "whole");
  fixture_finish(fixture, handle, getpid());
  crash(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "whole");
}

static const OutboxCase cases[] = {
    {"draft", test_draft},
    {"under a lock", test_under_a_lock},
    {"failed", test_failed},
    {"two writers", test_two_writers},
    {"empty", test_empty},
    {"crash of a draft", test_crash_of_a_draft},
    {"crash of one continued", test_crash_of_one_continued},
    {"crash of a failed one", test_crash_of_a_failed_one},
    {"note of a failed one", test_note_of_a_failed_one},
    {"failed and finished", test_failed_and_finished},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/half", fixture_set_up_holding, cases,
                           G_N_ELEMENTS(cases));
}
