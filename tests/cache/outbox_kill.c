// Claim: at every change of the disk and at every step of sending, one after another, the program
// may be killed or the power may fail: the next start loses no letter that was committed, sends
// none that was not, and sends one twice only if its final dot had gone out and the answer was not
// yet on disk; then it is the same letter, Message-ID and all. What somebody has got lies in the
// Sent folder once.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/copy.h"
#include "cache/outbox_journal.h"
#include "cache/outbox_private.h"
#include "crash_story.h"
#include "outbox_fixture.h"

#define MESSAGE_ID_MAX 200

typedef enum {
  PLAIN,
  RENAMED,
  REFUSED,
  PARTLY,
  LATER,
  TWICE,
  CONTINUED,
  CANCELLED,
  HELD,
  UNFINISHED,
  LETTERS,
} StoryLetter;
static const char *const subjects[LETTERS] = {"plain", "renamed",   "refused",   "partly",
                                              "later", "twice",     "continued", "cancelled",
                                              "held",  "unfinished"};

// What the world outside the process knows of a letter; lives in memory shared with it.
typedef struct {
  atomic_bool begun;      // its commit was asked for
  atomic_bool committed;  // ... and answered
  atomic_bool settled;    // it left the outbox: whatever the server said is on disk
  atomic_bool unwanted;   // its removal was asked for
  atomic_bool cancelled;  // ... and answered
  atomic_bool flushed;    // UNFINISHED: what there is of it is safe
  atomic_uint taken;      // by the server
  atomic_uint copies;     // in the Sent folder
  char message_id[MESSAGE_ID_MAX];
} Known;

typedef struct {
  Known *known;  // [LETTERS], shared
  Fixture fixture;
} Story;

// -- The server, and what is told of it.

static int letter_of(const char *text) {
  for (int i = 0; i < LETTERS; i++) {
    g_autofree char *line = g_strdup_printf("\r\nSubject: %s\r\n", subjects[i]);
    if (strstr(text, line) != NULL) return i;
  }
  g_assert_not_reached();
}

static void note_taken(Known *known, const char *text) {
  const char *id = strstr(text, "\r\nMessage-ID: ");
  g_assert_nonnull(id);
  g_autofree char *line = g_strndup(id + 2, strcspn(id + 2, "\r"));
  if (*known->message_id == '\0') g_strlcpy(known->message_id, line, MESSAGE_ID_MAX);
  g_assert_cmpstr(known->message_id, ==, line);
  const char *header = strchr(text, '\n');
  g_assert_null(strstr(header, "Bcc"));
  g_assert_null(strstr(header, "secret@"));
  atomic_fetch_add(&known->taken, 1);
}

static void watch_server(FakeMoment moment, const char *text, gpointer data) {
  Story *story = data;
  if (moment == FAKE_TAKEN) note_taken(&story->known[letter_of(text)], text);
  crash_disk_step();
}

static void on_removed(uint64_t parent, uint64_t ino, const char *name, gpointer data) {
  Story *story = data;
  for (int i = 0; i < LETTERS; i++)
    if (parent == OUTBOX_INO && strcmp(name, subjects[i]) == 0)
      atomic_store(&story->known[i].settled, true);
}

static void on_changed(uint64_t parent, gpointer data) {}

// -- The Sent folder, which outlives the process.

typedef struct {
  Copy *copy;
  CopyDone done;
  gpointer data;
} Kept;

static gboolean answer_kept(gpointer item) {
  g_autofree Kept *kept = item;
  kept->done(kept->copy, NULL, kept->data);
  copy_free(kept->copy);
  return G_SOURCE_REMOVE;
}

static void keep_copy(Copy *copy, CopyDone done, gpointer data, gpointer saver) {
  Story *story = saver;
  g_autofree char *subject = fixture_subject_of(copy);
  int which = 0;
  while (strcmp(subjects[which], subject) != 0)
    g_assert_cmpint(++which, <, LETTERS);
  crash_disk_step();
  bool is_there = copy->looks_first && atomic_load(&story->known[which].copies) > 0;
  if (!is_there) atomic_fetch_add(&story->known[which].copies, 1);
  copy->outcome = is_there ? COPY_FOUND : COPY_SAVED;
  crash_disk_step();
  Kept *kept = g_new0(Kept, 1);
  *kept = (Kept){copy, done, data};
  g_autoptr(GSource) source = g_idle_source_new();
  g_source_set_callback(source, answer_kept, kept, NULL);
  g_source_attach(source, story->fixture.context);
}

static bool nothing_is_copied(Fixture *fixture) {
  return fixture->outbox->copyings->len == 0;
}

static void wait_copied(Story *story) {
  fixture_wait_sent(&story->fixture);
  fixture_wait(&story->fixture, nothing_is_copied);
  fixture_wait_disk(&story->fixture);
}

static void open_outbox(Story *story) {
  static const OutboxListener listener = {on_removed, on_changed};
  Fixture *fixture = &story->fixture;
  g_autoptr(GError) error = NULL;
  fixture->options.save_copy = keep_copy;
  fixture->options.saver = story;
  fixture->options.copy_folder = "Sent";
  fixture->outbox = outbox_open(&fixture->options, fixture->context, &error);
  g_assert_no_error(error);
  outbox_set_listener(fixture->outbox, &listener, story);
  outbox_start(fixture->outbox);
}

// -- The story.

static char *text_of(StoryLetter which) {
  return g_strdup_printf(
      "To: a@example.org, b@example.org\nBcc: secret@example.org\nSubject: %s\n\nHello\n",
      subjects[which]);
}

static OutboxHandle *write_letter(Story *story, StoryLetter which) {
  g_autofree char *text = text_of(which);
  OutboxHandle *handle = fixture_create(&story->fixture, subjects[which]);
  fixture_write(handle, text);
  return handle;
}

static void release(Story *story, StoryLetter which, OutboxHandle *handle) {
  g_assert_cmpint(fixture_flush(&story->fixture, handle, getpid()), ==, 0);
  atomic_store(&story->known[which].begun, true);
  g_assert_cmpint(fixture_release(&story->fixture, handle), ==, 0);
  atomic_store(&story->known[which].committed, true);
}

static void send_letter(Story *story, StoryLetter which, FakeStep step) {
  fake_server_expect(step);
  release(story, which, write_letter(story, which));
  wait_copied(story);
}

static void rename_letter(Story *story, StoryLetter which) {
  g_autofree char *text = text_of(which);
  g_assert_cmpint(fixture_copy(&story->fixture, ".hidden", text), ==, 0);
  atomic_store(&story->known[which].begun, true);
  g_assert_cmpint(fixture_rename(&story->fixture, OUTBOX_INO, ".hidden", subjects[which], 0), ==,
                  0);
  atomic_store(&story->known[which].committed, true);
  fixture_wait_sent(&story->fixture);
}

static OutboxHandle *begin_unfinished(Story *story) {
  OutboxHandle *handle = write_letter(story, UNFINISHED);
  g_assert_cmpint(fixture_fsync(&story->fixture, handle), ==, 0);
  atomic_store(&story->known[UNFINISHED].flushed, true);
  return handle;
}

static void cancel(Story *story, uint64_t directory, StoryLetter which) {
  atomic_store(&story->known[which].unwanted, true);
  g_assert_cmpint(fixture_unlink(&story->fixture, directory, subjects[which]), ==, 0);
  atomic_store(&story->known[which].cancelled, true);
}

static void reopen(Story *story, unsigned send_delay_ms) {
  fixture_close(&story->fixture);
  story->fixture.options.send_delay_ms = send_delay_ms;
  open_outbox(story);
}

// Written, closed, written to again, closed again: the first close is a commit already.
static void continue_letter(Story *story, StoryLetter which) {
  release(story, which, write_letter(story, which));
  atomic_store(&story->known[which].committed, false);
  OutboxHandle *handle = fixture_open_letter(&story->fixture, subjects[which], O_WRONLY, getpid());
  release(story, which, handle);
}

static void tell(gpointer data) {
  Story *story = data;
  open_outbox(story);
  OutboxHandle *unfinished = begin_unfinished(story);
  send_letter(story, PLAIN, FAKE_ACCEPT);
  rename_letter(story, RENAMED);
  send_letter(story, REFUSED, FAKE_REFUSE);
  send_letter(story, PARTLY, FAKE_REFUSE_SECOND);
  send_letter(story, LATER, FAKE_LATER);
  send_letter(story, TWICE, FAKE_TAKE_HANG_UP);
  cancel(story, OUTBOX_FAILED_INO, REFUSED);
  atomic_store(&story->known[UNFINISHED].flushed, false);
  cancel(story, OUTBOX_INO, UNFINISHED);
  g_assert_cmpint(fixture_release(&story->fixture, unfinished), ==, 0);
  reopen(story, 3600 * 1000);
  release(story, CANCELLED, write_letter(story, CANCELLED));
  release(story, HELD, write_letter(story, HELD));
  continue_letter(story, CONTINUED);
  cancel(story, OUTBOX_INO, CANCELLED);
  reopen(story, 0);
  wait_copied(story);
  fixture_close(&story->fixture);
}

// -- What the next start does.

typedef struct {
  bool sent_data[LETTERS];
} Stored;

static void look_at_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  Stored *stored = data;
  for (int i = 0; i < LETTERS; i++)
    if (strcmp(row->name, subjects[i]) == 0) stored->sent_data[i] = row->phase == OUTBOX_SENT_DATA;
}

static void look_at_journal(const char *directory, Stored *stored) {
  g_autofree char *path = g_build_filename(directory, "outbox.db", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(OutboxJournal) journal = outbox_journal_open(path, &error);
  g_assert_no_error(error);
  g_assert_true(outbox_journal_load(journal, look_at_row, stored, &error));
}

typedef struct {
  bool settled, cancelled, flushed;
  unsigned taken;
} Before;

static void check_letter(const Known *known, const Before *before, StoryLetter which,
                         bool sent_data, bool is_exact, bool in_failed) {
  unsigned again = known->taken - before->taken;
  if (known->committed && !known->unwanted && known->taken == 0 && !in_failed)
    g_error("%s is lost", subjects[which]);
  if (before->cancelled) g_assert_false(in_failed);
  if (!known->begun || before->cancelled || before->settled) g_assert_cmpuint(again, ==, 0);
  g_assert_cmpuint(again, <=, 1);
  g_assert_cmpuint(known->copies, ==, known->taken > 0 ? 1 : 0);
  // A killed program has left in the journal how far it was; a power failure may take that back.
  if (again > 0 && before->taken > 0 && is_exact) g_assert_true(which == TWICE || sent_data);
}

static void start_again(gpointer data, const CrashStart *start) {
  Story *story = data;
  Stored stored = {0};
  Before before[LETTERS];
  if (start->is_exact) look_at_journal(story->fixture.options.directory, &stored);
  for (int i = 0; i < LETTERS; i++)
    before[i] = (Before){story->known[i].settled, story->known[i].cancelled,
                         story->known[i].flushed, story->known[i].taken};
  open_outbox(story);
  wait_copied(story);
  OutboxFile file;
  for (int i = 0; i < LETTERS; i++)
    check_letter(&story->known[i], &before[i], (StoryLetter)i, stored.sent_data[i], start->is_exact,
                 outbox_lookup(story->fixture.outbox, OUTBOX_FAILED_INO, subjects[i], &file));
  g_assert_cmpuint(story->known[UNFINISHED].taken, ==, 0);
  if (before[UNFINISHED].flushed)
    g_assert_true(
        outbox_lookup(story->fixture.outbox, OUTBOX_FAILED_INO, subjects[UNFINISHED], &file));
  g_autofree char *left = fixture_names(&story->fixture, OUTBOX_INO);
  if (*left != '\0') g_assert_cmpstr(left, ==, ".hidden");
  fixture_close(&story->fixture);
}

static void begin(gpointer data, gpointer known, const char *directory) {
  Story *story = data;
  story->known = known;
  fixture_set_up_closed(&story->fixture, NULL);
  remove(story->fixture.directory);
  story->fixture.options.directory = directory;
  fake_server_watch(watch_server, story);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  Story story = {0};
  const CrashStory crash = {
      .steps_min = 200,
      .starts = 1,
      .known_size = LETTERS * sizeof(Known),
      .data = &story,
      .begin = begin,
      .tell = tell,
      .start_again = start_again,
  };
  crash_story_add("/outbox/kill", &crash);
  return g_test_run();
}
