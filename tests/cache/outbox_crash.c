// Claim: whenever the program or the machine ends, the next start loses no letter that was
// committed, sends none that was not, and sends one twice only if its final dot had gone out and
// the answer was not yet on disk. Held against a copy of the state directory taken after every step
// of the spool, each started from again.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_journal.h"
#include "outbox_fixture.h"
#include "scratch.h"

// What the story below has done so far with each of its letters.
typedef enum { PLAIN, RENAMED, REFUSED, PARTLY, LATER, TWICE, UNFINISHED, LETTERS } StoryLetter;
static const char *const subjects[LETTERS] = {"plain", "renamed", "refused",   "partly",
                                              "later", "twice",   "unfinished"};
typedef struct {
  atomic_bool begun[LETTERS];      // its commit was asked for
  atomic_bool committed[LETTERS];  // ... and answered
  atomic_bool unfinished;          // UNFINISHED was flushed, and not yet given up
} Progress;

typedef struct {
  char *directory;
  bool begun[LETTERS], committed[LETTERS], unfinished;
  unsigned taken[LETTERS];  // how often the server has taken it by then
} Snapshot;

typedef struct {
  Fixture fixture;
  Progress progress;
  GPtrArray *snapshots;  // of Snapshot *; the spool thread's until it has ended
} Story;

static void count_taken(unsigned taken[LETTERS]) {
  for (unsigned i = 0; i < fake_server_count(); i++) {
    g_autofree char *letter = fake_server_letter(i);
    for (unsigned j = 0; j < LETTERS; j++) {
      g_autofree char *line = g_strdup_printf("\r\nSubject: %s\r\n", subjects[j]);
      if (strstr(letter, line) != NULL) taken[j]++;
    }
  }
}

// What is owed is looked at before the copy is made, what is allowed after it.
static void take_snapshot(gpointer data) {
  Story *story = data;
  Snapshot *snapshot = g_new0(Snapshot, 1);
  for (unsigned i = 0; i < LETTERS; i++)
    snapshot->committed[i] = atomic_load(&story->progress.committed[i]);
  snapshot->unfinished = atomic_load(&story->progress.unfinished);
  count_taken(snapshot->taken);
  snapshot->directory =
      g_strdup_printf("%s/copies/%u", story->fixture.directory, story->snapshots->len);
  g_autofree char *account = g_build_filename(story->fixture.directory, "account", NULL);
  scratch_copy(account, snapshot->directory);
  for (unsigned i = 0; i < LETTERS; i++)
    snapshot->begun[i] = atomic_load(&story->progress.begun[i]);
  g_ptr_array_add(story->snapshots, snapshot);
}

static void snapshot_free(gpointer item) {
  Snapshot *snapshot = item;
  g_free(snapshot->directory);
  g_free(snapshot);
}

static void set_up(Story *story, gconstpointer unused) {
  fixture_set_up_closed(&story->fixture, NULL);
  g_autofree char *account = g_build_filename(story->fixture.directory, "account", NULL);
  g_assert_cmpint(g_mkdir_with_parents(account, 0700), ==, 0);
  story->snapshots = g_ptr_array_new_with_free_func(snapshot_free);
  story->fixture.options.directory = g_strdup(account);
  story->fixture.options.after_step = take_snapshot;
  story->fixture.options.data = story;
}

static void tear_down(Story *story, gconstpointer unused) {
  g_ptr_array_unref(story->snapshots);
  g_free((char *)story->fixture.options.directory);
  fixture_tear_down(&story->fixture, NULL);
}

static void copy_letter(Story *story, StoryLetter which) {
  g_autofree char *text =
      g_strdup_printf("To: a@example.org, b@example.org\nSubject: %s\n\n", subjects[which]);
  OutboxHandle *handle = fixture_create(&story->fixture, subjects[which]);
  fixture_write(handle, text);
  g_assert_cmpint(fixture_flush(&story->fixture, handle, getpid()), ==, 0);
  atomic_store(&story->progress.begun[which], true);
  g_assert_cmpint(fixture_release(&story->fixture, handle), ==, 0);
  atomic_store(&story->progress.committed[which], true);
}

static void rename_letter(Story *story, StoryLetter which) {
  g_autofree char *text = fixture_letter(subjects[which]);
  g_assert_cmpint(fixture_copy(&story->fixture, ".hidden", text), ==, 0);
  atomic_store(&story->progress.begun[which], true);
  g_assert_cmpint(fixture_rename(&story->fixture, OUTBOX_INO, ".hidden", subjects[which], 0), ==,
                  0);
  atomic_store(&story->progress.committed[which], true);
}

static OutboxHandle *begin_letter(Story *story, StoryLetter which) {
  g_autofree char *text = fixture_letter(subjects[which]);
  OutboxHandle *handle = fixture_create(&story->fixture, subjects[which]);
  fixture_write(handle, text);
  g_assert_cmpint(fixture_fsync(&story->fixture, handle), ==, 0);
  atomic_store(&story->progress.unfinished, true);
  return handle;
}

static void tell_story(Story *story) {
  Fixture *fixture = &story->fixture;
  fixture_open(fixture);
  OutboxHandle *unfinished = begin_letter(story, UNFINISHED);
  copy_letter(story, PLAIN);
  rename_letter(story, RENAMED);
  fixture_wait_sent(fixture);
  fake_server_expect(FAKE_REFUSE);
  copy_letter(story, REFUSED);
  fixture_wait_sent(fixture);
  fake_server_expect(FAKE_REFUSE_SECOND);
  copy_letter(story, PARTLY);
  fixture_wait_sent(fixture);
  fake_server_expect(FAKE_LATER);
  copy_letter(story, LATER);
  fixture_wait_sent(fixture);
  fake_server_expect(FAKE_TAKE_HANG_UP);
  copy_letter(story, TWICE);
  fixture_wait_sent(fixture);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, subjects[REFUSED]), ==, 0);
  atomic_store(&story->progress.unfinished, false);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, subjects[UNFINISHED]), ==, 0);
  g_assert_cmpint(fixture_release(fixture, unfinished), ==, 0);
  fixture_wait_sent(fixture);
  fixture_close(fixture);
}

typedef struct {
  bool sent_data[LETTERS];
} Stored;

static void look_at_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Stored *stored = data;
  for (unsigned i = 0; i < LETTERS; i++)
    if (strcmp(row->name, subjects[i]) == 0) stored->sent_data[i] = row->phase == OUTBOX_SENT_DATA;
}

static void look_at_journal(const Snapshot *snapshot, Stored *stored) {
  g_autofree char *path = g_build_filename(snapshot->directory, "outbox.db", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(OutboxJournal) journal = outbox_journal_open(path, &error);
  g_assert_no_error(error);
  g_assert_true(outbox_journal_load(journal, look_at_row, stored, &error));
}

static void check_letter(const Snapshot *snapshot, StoryLetter which, const Stored *stored,
                         unsigned taken_now, bool in_failed) {
  unsigned taken = snapshot->taken[which] + taken_now;
  if (snapshot->committed[which] && which != REFUSED) g_assert_true(taken > 0 || in_failed);
  if (!snapshot->begun[which]) g_assert_cmpuint(taken_now, ==, 0);
  if (taken_now > 0 && snapshot->taken[which] > 0)
    g_assert_true(which == TWICE || stored->sent_data[which]);
  g_assert_cmpuint(taken_now, <=, 1);
}

// Starts from a snapshot and lets it send all that it has.
static void start_again(Story *story, const Snapshot *snapshot) {
  Stored stored = {0};
  look_at_journal(snapshot, &stored);
  fake_server_end();
  fake_server_begin();
  Fixture again = story->fixture;
  again.options.directory = snapshot->directory;
  again.options.after_step = NULL;
  fixture_open(&again);
  fixture_wait_sent(&again);
  unsigned taken[LETTERS] = {0};
  count_taken(taken);
  OutboxFile file;
  for (unsigned i = 0; i < LETTERS; i++)
    check_letter(snapshot, (StoryLetter)i, &stored, taken[i],
                 outbox_lookup(again.outbox, OUTBOX_FAILED_INO, subjects[i], &file));
  g_assert_cmpuint(taken[UNFINISHED], ==, 0);
  if (snapshot->unfinished)
    g_assert_true(outbox_lookup(again.outbox, OUTBOX_FAILED_INO, subjects[UNFINISHED], &file));
  g_autofree char *left = fixture_names(&again, OUTBOX_INO);
  g_assert_true(*left == '\0' || strcmp(left, ".hidden") == 0);
  fixture_close(&again);
}

static void test_every_step(Story *story, gconstpointer unused) {
  tell_story(story);
  g_test_message("%u steps", story->snapshots->len);
  g_assert_cmpuint(story->snapshots->len, >, 30);
  for (unsigned i = 0; i < story->snapshots->len; i++)
    start_again(story, g_ptr_array_index(story->snapshots, i));
}

static unsigned count_files(const Fixture *fixture) {
  g_autofree char *letters = g_build_filename(fixture->directory, "letters", NULL);
  g_autoptr(GDir) directory = g_dir_open(letters, 0, NULL);
  unsigned count = 0;
  while (g_dir_read_name(directory) != NULL)
    count++;
  return count;
}

// What was flushed but never closed lies in failed/ and says so; what never reached the disk by a
// flush is gone, its file too.
static void test_unfinished(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *flushed = fixture_create(fixture, "flushed");
  g_autofree char *text = fixture_letter("flushed");
  fixture_write(flushed, text);
  g_assert_cmpint(fixture_flush(fixture, flushed, getpid()), ==, 0);
  fixture_write(fixture_create(fixture, "unflushed"), text);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "flushed flushed.error");
  g_assert_cmpuint(count_files(fixture), ==, 1);
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "flushed.error");
  g_assert_nonnull(strstr(note, "still being written when mailfs ended"));
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

// A held letter that is being continued is not finished.
static void test_continued(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  g_autofree char *text = fixture_letter("mail");
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  fixture_open_letter(fixture, "mail", O_WRONLY, getpid());
  fixture_wait_disk(fixture);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

static void assert_will_not_open(Fixture *fixture, const char *words) {
  g_autoptr(GError) error = NULL;
  g_assert_null(outbox_open(&fixture->options, fixture->context, &error));
  g_assert_error(error, OUTBOX_ERROR, EIO);
  if (strstr(error->message, words) == NULL) g_error("%s", error->message);
}

// A journal that cannot be read, or is not there though letters are, ends the start; nothing is
// overwritten or removed.
static void test_damaged_journal(Fixture *fixture, gconstpointer unused) {
  fixture->options.send_delay_ms = 3600 * 1000;
  fixture_reopen(fixture);
  g_autofree char *text = fixture_letter("mail");
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  fixture_close(fixture);
  g_autofree char *path = g_build_filename(fixture->directory, "outbox.db", NULL);
  g_autofree char *good = NULL;
  g_autofree char *found = NULL;
  size_t size, found_size;
  g_assert_true(g_file_get_contents(path, &good, &size, NULL));
  static const char damage[] =
      "this is no database, but it has its length and more than a header "
      "of one hundred bytes, so that nothing else is wrong with it .......";
  g_assert_true(g_file_set_contents(path, damage, sizeof damage, NULL));
  assert_will_not_open(fixture, "not a database");
  g_assert_true(g_file_get_contents(path, &found, &found_size, NULL));
  g_assert_cmpmem(found, found_size, damage, sizeof damage);
  g_assert_cmpint(remove(path), ==, 0);
  assert_will_not_open(fixture, "the journal that belongs to them is lost");
  g_assert_true(g_file_set_contents(path, good, (gssize)size, NULL));
  fixture_open(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/crash/every step", Story, NULL, set_up, test_every_step, tear_down);
  g_test_add("/outbox/crash/unfinished", Fixture, NULL, fixture_set_up, test_unfinished,
             fixture_tear_down);
  g_test_add("/outbox/crash/continued", Fixture, NULL, fixture_set_up, test_continued,
             fixture_tear_down);
  g_test_add("/outbox/crash/damaged journal", Fixture, NULL, fixture_set_up, test_damaged_journal,
             fixture_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
