// Claim: a name in the outbox is a label: whoever else writes or renames to it while a letter has
// it, also before that letter has any bytes, takes the name only, and both letters go as they were
// written; a draft that an editor holds back is neither overwritten nor sent.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

static OutboxHandle *take_over(Fixture *fixture, const char *name) {
  return fixture_open_letter(fixture, name, O_WRONLY | O_TRUNC, fixture_other_process());
}

static void write_as_other(Fixture *fixture, const char *name, const char *subject) {
  OutboxFile file;
  OutboxHandle *handle =
      outbox_create(fixture->outbox, OUTBOX_INO, name, 0600, fixture_other_process(), &file, NULL);
  fixture_write_letter(handle, subject);
  fixture_finish(fixture, handle, fixture_other_process());
}

// Two shells that redirect into the same name.
static void test_both_empty(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  OutboxHandle *second = take_over(fixture, "mail");
  fixture_assert_names(fixture, "mail mail+1", "");
  fixture_write_letter(second, "second");
  fixture_write_letter(first, "first");
  fixture_finish(fixture, second, fixture_other_process());
  fixture_finish(fixture, first, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "first", "second");
}

// sort -o, truncate -s 0: the name was opened as it is, and emptied then.
static void test_emptied(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxFile before, after;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &before));
  OutboxHandle *handle =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_CREAT, fixture_other_process());
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_truncate(fixture->outbox, before.ino, handle, 0, &error));
  fixture_assert_names(fixture, "mail mail+1", "");
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail+1", "held");
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &after));
  g_assert_cmpuint(after.ino, ==, before.ino);
  g_assert_cmpuint(after.size, ==, 0);
  fixture_write_letter(handle, "second");
  // Its own it may empty as it likes.
  g_assert_true(outbox_truncate(fixture->outbox, before.ino, handle, 0, &error));
  fixture_write_letter(handle, "third");
  fixture_finish(fixture, handle, fixture_other_process());
  fixture_assert_names(fixture, "mail mail+1", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail", "third");
}

static OutboxHandle *open_stalled(Fixture *fixture) {
  fixture->options.send_delay_ms = 0;
  fixture_reopen(fixture);
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "mail");
  fake_server_wait_stalled();
  return fixture_open_letter(fixture, "mail", O_WRONLY | O_CREAT, getpid());
}

// What is being sent cannot be written to, but its name can be had, also by who wrote it.
static void test_emptied_while_sent(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = open_stalled(fixture);
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(outbox_write(handle, "To: eve@example.org\n", 20, 0, &error), ==, -1);
  g_assert_error(error, OUTBOX_ERROR, EBUSY);
  g_clear_error(&error);
  g_assert_false(outbox_truncate(fixture->outbox, 0, handle, 1, &error));
  g_assert_error(error, OUTBOX_ERROR, EBUSY);
  g_clear_error(&error);
  g_assert_true(outbox_truncate(fixture->outbox, 0, handle, 0, &error));
  fixture_assert_names(fixture, "mail mail+1", "");
  fixture_write_letter(handle, "second");
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "mail", "second");
}

// Also before that one has written anything; what nobody has open is not left behind empty.
static void test_emptied_before_written(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  OutboxHandle *second = fixture_open_letter(fixture, "mail", O_WRONLY, fixture_other_process());
  g_assert_true(outbox_truncate(fixture->outbox, 0, first, 0, NULL));
  fixture_write_letter(first, "first");
  g_assert_true(outbox_truncate(fixture->outbox, 0, second, 0, NULL));
  fixture_write_letter(second, "second");
  fixture_finish(fixture, second, fixture_other_process());
  fixture_finish(fixture, first, getpid());
  OutboxHandle *third = fixture_create(fixture, "note");
  OutboxHandle *fourth = fixture_open_letter(fixture, "note", O_WRONLY, fixture_other_process());
  g_assert_true(outbox_truncate(fixture->outbox, 0, fourth, 0, NULL));
  fixture_write_letter(third, "third");
  fixture_write_letter(fourth, "fourth");
  fixture_finish(fixture, third, getpid());
  fixture_finish(fixture, fourth, fixture_other_process());
  fixture_finish(fixture, fixture_create(fixture, "empty"), getpid());
  OutboxHandle *fifth = fixture_open_letter(fixture, "empty", O_WRONLY, fixture_other_process());
  g_assert_true(outbox_truncate(fixture->outbox, 0, fifth, 0, NULL));
  fixture_finish(fixture, fifth, fixture_other_process());
  g_autofree char *names = fixture_names(fixture, OUTBOX_INO);
  g_assert_null(strstr(names, "empty+1"));
  FIXTURE_ASSERT_SENDS(fixture, "first", "second", "third", "fourth");
}

// Two that opened the same letter, each for its name: it and both of theirs go.
static void test_emptied_twice_while_sent(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = open_stalled(fixture);
  OutboxHandle *second =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_CREAT, fixture_other_process());
  g_assert_true(outbox_truncate(fixture->outbox, 0, first, 0, NULL));
  fixture_write_letter(first, "second");
  g_assert_true(outbox_truncate(fixture->outbox, 0, second, 0, NULL));
  fixture_assert_names(fixture, "mail mail+1 mail+1+1", "");
  fixture_write_letter(second, "third");
  fixture_finish(fixture, second, fixture_other_process());
  fixture_finish(fixture, first, getpid());
  fake_server_go_on();
  FIXTURE_ASSERT_SENDS(fixture, "mail", "second", "third");
}

// Nor does it matter to it that somebody had it open so.
static void test_opened_while_sent(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = open_stalled(fixture);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  fake_server_go_on();
  fixture_wait_sent(fixture);
  g_autoptr(GError) error = NULL;
  g_assert_false(outbox_truncate(fixture->outbox, 0, handle, 0, &error));
  g_assert_error(error, OUTBOX_ERROR, ENOENT);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail");
}

// Also while the other still writes.
static void test_emptied_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  fixture_write_letter(first, "first");
  OutboxHandle *second = fixture_open_letter(fixture, "mail", O_WRONLY, fixture_other_process());
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_truncate(fixture->outbox, 0, second, 0, &error));
  fixture_write_letter(second, "second");
  fixture_finish(fixture, second, fixture_other_process());
  fixture_assert_state(fixture, "mail+1", "writing");
  fixture_finish(fixture, first, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "first", "second");
}

static void test_rename_onto_empty(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  fixture_copy_letter(fixture, ".hidden");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".hidden", "mail", 0), ==, 0);
  fixture_write_letter(first, "first");
  fixture_finish(fixture, first, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "first", ".hidden");
}

// One that lost its name and got no bytes is nobody's.
static void test_stays_empty(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  OutboxHandle *second = take_over(fixture, "mail");
  fixture_write_letter(second, "second");
  fixture_finish(fixture, first, getpid());
  fixture_assert_names(fixture, "mail", "");
  g_assert_true(fixture_was_told(fixture, "- outbox/mail+1"));
  fixture_finish(fixture, second, fixture_other_process());
  FIXTURE_ASSERT_SENDS(fixture, "second");
}

// An empty file that nobody has open is there to be written to.
static void test_touched(Fixture *fixture, gconstpointer unused) {
  fixture_finish(fixture, fixture_create(fixture, "mail"), getpid());
  OutboxHandle *handle = take_over(fixture, "mail");
  fixture_assert_names(fixture, "mail", "");
  fixture_write_letter(handle, "one");
  fixture_finish(fixture, handle, fixture_other_process());
  FIXTURE_ASSERT_SENDS(fixture, "one");
}

// What is appended goes to the end of the letter that was opened, however long the other is.
static void test_append(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  fixture_write_letter(first, "first");
  OutboxHandle *second = take_over(fixture, "mail");
  fixture_write(second, "To: bob@example.org\n\n");
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(outbox_write(first, "more\n", 5, OUTBOX_APPEND, &error), ==, 5);
  g_assert_cmpint(outbox_write(first, "yet more\n", 9, OUTBOX_APPEND, &error), ==, 9);
  fixture_finish(fixture, first, getpid());
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, "mail+1");
  g_autofree char *letter = fixture_letter("first");
  g_autofree char *expected = g_strconcat(letter, "more\nyet more\n", NULL);
  g_assert_cmpstr(text, ==, expected);
  fixture_finish(fixture, second, fixture_other_process());
}

static void assert_draft_failed(Fixture *fixture, const char *name, const char *subject) {
  g_autofree char *text = fixture_read(fixture, OUTBOX_FAILED_INO, name);
  g_autofree char *expected = fixture_letter(subject);
  g_assert_cmpstr(text, ==, expected);
  g_autofree char *note_name = g_strconcat(name, ".error", NULL);
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, note_name);
  g_assert_nonnull(strstr(note, "while an editor was at work on it"));
}

static void begin_draft(Fixture *fixture) {
  g_assert_cmpint(fixture_copy(fixture, ".mail.swp", "b0VIM"), ==, 0);
  fixture_copy_letter(fixture, "mail");
  fixture_assert_state(fixture, "mail", "draft");
}

static void test_copy_onto_draft(Fixture *fixture, gconstpointer unused) {
  begin_draft(fixture);
  OutboxHandle *handle = take_over(fixture, "mail");
  fixture_write_letter(handle, "other");
  fixture_finish(fixture, handle, fixture_other_process());
  assert_draft_failed(fixture, "mail", "mail");
  fixture_assert_state(fixture, "mail", "draft");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail", "held");
  FIXTURE_ASSERT_SENDS(fixture, "other");
  assert_draft_failed(fixture, "mail", "mail");
}

static void test_rename_onto_draft(Fixture *fixture, gconstpointer unused) {
  begin_draft(fixture);
  write_as_other(fixture, ".other", "other");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".other", "mail", 0), ==, 0);
  assert_draft_failed(fixture, "mail", "mail");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "other");
}

// One that an editor holds back is not sent for it.
static void test_empty_a_draft(Fixture *fixture, gconstpointer unused) {
  begin_draft(fixture);
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY, fixture_other_process());
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_truncate(fixture->outbox, 0, handle, 0, &error));
  fixture_write_letter(handle, "other");
  fixture_finish(fixture, handle, fixture_other_process());
  assert_draft_failed(fixture, "mail", "mail");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "other");
}

// A process that has the number of one that is gone is another.
static void test_number_used_again(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  OutboxLetter *letter = outbox_table_get(fixture->outbox->table, file.ino);
  g_assert_cmpuint(letter->writer.started, >, 0);
  letter->writer.started--;
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, getpid());
  fixture_write_letter(handle, "other");
  fixture_finish(fixture, handle, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "mail", "other");
}

// The editor itself may overwrite its draft, in place or with a file that it wrote beside it.
static void test_editor_saves_draft(Fixture *fixture, gconstpointer unused) {
  begin_draft(fixture);
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, getpid());
  fixture_write_letter(handle, "second");
  fixture_finish(fixture, handle, getpid());
  fixture_copy_letter(fixture, ".third");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".third", "mail", 0), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  fixture_assert_names(fixture, "mail", "");
  FIXTURE_ASSERT_SENDS(fixture, ".third");
}

static void ignore(const GError *error, gpointer unused) {
  g_assert_no_error(error);
}

static void unlink_as_other(Fixture *fixture, const char *name) {
  outbox_unlink(fixture->outbox, OUTBOX_INO, name, fixture_other_process(), ignore, NULL);
}

// mv from another file system: it removes what is there, and creates its own.
static void test_removed_and_made(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  unlink_as_other(fixture, "mail");
  fixture_assert_names(fixture, "", "");
  write_as_other(fixture, "mail", "other");
  fixture_assert_names(fixture, "mail+1 mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail", "other");
}

// Whoever had looked it up looks again, and opens what has the name now.
static void test_removed_before_open(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  g_assert_null(outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), &error));
  g_assert_error(error, OUTBOX_ERROR, ESTALE);
}

static uint64_t id_of(const Fixture *fixture, const char *name) {
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  return outbox_table_get(fixture->outbox->table, file.ino)->row.id;
}

// What cannot be synced while it is removed does not come back to life by that.
static void test_broken_while_removed(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  uint64_t id = id_of(fixture, "mail");
  outbox_unlink(fixture->outbox, OUTBOX_INO, "mail", getpid(), ignore, NULL);
  outbox_take_unsynced(id, EIO, fixture->outbox);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "");
}

// Where it comes back, it is not sent.
static void test_removed_and_broken(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  uint64_t id = id_of(fixture, "mail");
  unlink_as_other(fixture, "mail");
  outbox_take_unsynced(id, EIO, fixture->outbox);
  fixture_assert_names(fixture, "", "");
  write_as_other(fixture, "mail", "other");
  fixture_assert_names(fixture, "mail+1 mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "other");
  fixture_assert_names(fixture, "", "mail+1 mail+1.error");
}

// What is made durable while it has no name is, once it has one again.
static void test_removed_and_synced(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "first");
  unlink_as_other(fixture, "mail");
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  write_as_other(fixture, "mail", "other");
  fixture_wait_disk(fixture);
  fixture_crash(fixture);
  fixture_assert_names(fixture, "mail", "mail+1 mail+1.error");
}

// Another program takes the name in between: it fails, and has removed nothing of anybody's.
static void test_removed_too_late(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  unlink_as_other(fixture, "mail");
  outbox_seen(fixture->outbox, "mail", getpid());
  fixture_assert_names(fixture, "", "");
  g_autofree char *text = fixture_letter("faster");
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  fixture_assert_names(fixture, "mail", "");
  outbox_seen(fixture->outbox, "mail", fixture_other_process());
  fixture_assert_names(fixture, "mail+1 mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail", "faster");
}

// Also while it is still written, whether it is closed before the name is taken or after.
static void test_removed_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  unlink_as_other(fixture, "mail");
  write_as_other(fixture, "mail", "second");
  fixture_assert_names(fixture, "mail+1 mail", "");
  fixture_write_letter(first, "first");
  fixture_finish(fixture, first, getpid());
  OutboxHandle *third = fixture_create(fixture, "note");
  fixture_write_letter(third, "third");
  unlink_as_other(fixture, "note");
  fixture_finish(fixture, third, getpid());
  fixture_assert_names(fixture, "mail+1 mail", "");
  write_as_other(fixture, "note", "fourth");
  fixture_assert_names(fixture, "mail+1 mail note+1 note", "");
  OutboxHandle *gone = fixture_create(fixture, "gone");
  fixture_write_letter(gone, "gone");
  unlink_as_other(fixture, "gone");
  fixture_finish(fixture, gone, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "first", "second", "third", "fourth");
}

// The program ends between the two: what was meant is not known, so the letter is not lost and not
// sent.
static void test_removed_and_crashed(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  unlink_as_other(fixture, "mail");
  fixture_wait_disk(fixture);
  fixture_crash(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "another program removed it"));
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "mail");
}

// It ends just after them: the letter that was there and the one that took its name are on disk.
static void test_removed_made_and_crashed(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  unlink_as_other(fixture, "mail");
  write_as_other(fixture, "mail", "other");
  fixture_crash(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
}

// The disk's own time: two steps take longer than a letter is kept.
static void wait_long(gpointer unused) {
  g_usleep(600 * 1000);
}

static void note_answer(const GError *error, gpointer answered) {
  g_assert_no_error(error);
  *(bool *)answered = true;
}

static bool was_answered;

static bool is_answered(Fixture *fixture) {
  return was_answered;
}

// However long the disk takes for the removal: the program cannot go on before.
static void test_slow_disk(Fixture *fixture, gconstpointer unused) {
  fixture->options.after_step = wait_long;
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "mail");
  was_answered = false;
  outbox_unlink(fixture->outbox, OUTBOX_INO, "mail", fixture_other_process(), note_answer,
                &was_answered);
  fixture_wait(fixture, is_answered);
  write_as_other(fixture, "mail", "other");
  fixture->options.after_step = NULL;
  FIXTURE_ASSERT_SENDS(fixture, "mail", "other");
}

// Removed for good: by who wrote it, by one program before another writes, or if nothing follows.
static void test_removed(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "own");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "own"), ==, 0);
  fixture_copy_letter(fixture, "rm");
  unlink_as_other(fixture, "rm");
  fixture_copy_letter(fixture, "rm");
  fixture_copy_letter(fixture, "gone");
  unlink_as_other(fixture, "gone");
  fixture_assert_names(fixture, "rm", "");
  FIXTURE_ASSERT_SENDS(fixture, "rm");
}

static const OutboxCase cases[] = {
    {"both empty", test_both_empty},
    {"emptied", test_emptied},
    {"emptied while it is written", test_emptied_while_open},
    {"emptied before it is written", test_emptied_before_written},
    {"emptied while it is sent", test_emptied_while_sent},
    {"emptied twice while it is sent", test_emptied_twice_while_sent},
    {"opened while it is sent", test_opened_while_sent},
    {"empty a draft", test_empty_a_draft},
    {"a number used again", test_number_used_again},
    {"rename onto an empty one", test_rename_onto_empty},
    {"stays empty", test_stays_empty},
    {"touched", test_touched},
    {"removed and made", test_removed_and_made},
    {"removed and made while it is written", test_removed_while_open},
    {"removed too late", test_removed_too_late},
    {"removed before it is opened", test_removed_before_open},
    {"removed and broken", test_removed_and_broken},
    {"broken while it is removed", test_broken_while_removed},
    {"removed and synced", test_removed_and_synced},
    {"removed", test_removed},
    {"removed, and a crash", test_removed_and_crashed},
    {"removed and made, and a crash", test_removed_made_and_crashed},
    {"a slow disk", test_slow_disk},
    {"append", test_append},
    {"copy onto a draft", test_copy_onto_draft},
    {"rename onto a draft", test_rename_onto_draft},
    {"the editor saves its draft", test_editor_saves_draft},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/label", fixture_set_up_holding, cases,
                           G_N_ELEMENTS(cases));
}
