// Claim: a letter that another program hands over is sent once, with the envelope it came with,
// whenever the program ends in between; one that cannot be sent lies in failed/ and says why.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/drop.h"
#include "cache/drop_writer.h"
#include "cache/outbox_journal.h"
#include "outbox_fixture.h"
#include "scratch.h"

static char *carol[] = {(char *)"carol@example.org", NULL};
static const Envelope to_carol = {.from = (char *)"list@example.org", .recipients = carol};

static void drop(const char *directory, const char *name, const Envelope *envelope,
                 const char *text) {
  g_autoptr(GError) error = NULL;
  g_autoptr(DropWriter) writer = drop_writer_new(directory, &error);
  g_assert_no_error(error);
  ssize_t length = (ssize_t)strlen(text);
  g_assert_cmpint(write(drop_writer_fd(writer), text, (size_t)length), ==, length);
  g_assert_true(drop_writer_commit(writer, name, envelope, &error));
}

static void drop_letter(const char *directory, const char *name, const Envelope *envelope) {
  g_autofree char *text = fixture_letter(name);
  drop(directory, name, envelope, text);
}

static void put_file(Fixture *fixture, const char *name, const char *text) {
  g_autofree char *path = g_build_filename(fixture->directory, DROP_DIRECTORY, name, NULL);
  g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static unsigned count_incoming(const char *directory) {
  g_autofree char *path = g_build_filename(directory, DROP_DIRECTORY, NULL);
  g_autoptr(GDir) incoming = g_dir_open(path, 0, NULL);
  unsigned count = 0;
  while (incoming != NULL && g_dir_read_name(incoming) != NULL)
    count++;
  return count;
}

static void set_done(const GError *error, gpointer data) {
  g_assert_no_error(error);
  *(bool *)data = true;
}

static void take_all(Fixture *fixture) {
  bool done = false;
  outbox_take_drops(fixture->outbox, set_done, &done);
  while (!done)
    g_main_context_iteration(fixture->context, true);
}

static void assert_sent(unsigned i, const char *start) {
  g_autofree char *letter = fake_server_letter(i);
  if (!g_str_has_prefix(letter, start)) g_error("sent %s", letter);
}

// At the start, what came before; then whatever comes, seen by itself.
static void test_taken(Fixture *fixture, gconstpointer unused) {
  const Envelope plain = {0};
  drop_letter(fixture->directory, "before", &to_carol);
  fixture_open(fixture);
  while (fake_server_count() < 1)
    g_main_context_iteration(fixture->context, true);
  drop_letter(fixture->directory, "after", &plain);
  while (fake_server_count() < 2)
    g_main_context_iteration(fixture->context, true);
  fixture_wait_sent(fixture);
  assert_sent(0, "list@example.org -> carol@example.org\n");
  assert_sent(1, "alice@example.org -> bob@example.org\n");
  fixture_assert_names(fixture, "", "");
  g_assert_cmpuint(count_incoming(fixture->directory), ==, 0);
  g_assert_true(fixture_was_told(fixture, "* outbox"));
}

// While the server is away they are files like the others: seen, removed, renamed by who wants the
// name; and they keep their envelope over a restart.
static void test_waiting(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  for (unsigned i = 0; i < 10; i++)
    fake_server_expect(FAKE_OFFLINE);
  fixture_open(fixture);
  drop_letter(fixture->directory, "mail", &to_carol);
  drop_letter(fixture->directory, "mail", &to_carol);
  drop_letter(fixture->directory, "other", &to_carol);
  take_all(fixture);
  fixture_assert_names(fixture, "mail mail+1 other", "");
  while (fixture_unlink(fixture, OUTBOX_INO, "other") == EBUSY)
    g_main_context_iteration(fixture->context, true);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "mail mail+1", "");
  fixture_close(fixture);
  fake_server_end();
  fake_server_begin();
  fixture_open(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  assert_sent(0, "list@example.org -> carol@example.org\n");
}

static void assert_note(Fixture *fixture, const char *name, const char *words) {
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, name);
  if (strstr(note, words) == NULL) g_error("%s: %s", name, note);
}

static void test_bad(Fixture *fixture, gconstpointer unused) {
  const Envelope plain = {0};
  fixture_open(fixture);
  drop(fixture->directory, "headless", &plain, "no letter");
  put_file(fixture, "a.eml", "To: eve@example.org\n\nsecret\n");
  put_file(fixture, "a.drop", "[drop]\nversion=1\nname=odd\nrecipients=eve;\n");
  put_file(fixture, "b.drop", "[drop]\nversion=1\nname=lost\nrecipients=bob@example.org;\n");
  take_all(fixture);
  fixture_assert_names(fixture, "", "headless headless.error odd odd.error lost lost.error");
  assert_note(fixture, "headless.error", "it does not begin with a header");
  assert_note(fixture, "odd.error", "the envelope it came with is broken: \"eve\" is no address");
  assert_note(fixture, "lost.error", "it came without its text");
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  g_assert_cmpuint(count_incoming(fixture->directory), ==, 0);
}

// One that failed is sent again to the same recipients; one that is written anew, to those of its
// header.
static void test_again(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_open(fixture);
  drop_letter(fixture->directory, "mail", &to_carol);
  take_all(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  fake_server_expect(FAKE_REFUSE);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  assert_note(fixture, "mail.error", "carol@example.org: refused");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail", &file));
  g_autoptr(GError) error = NULL;
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), &error);
  g_assert_no_error(error);
  fixture_write_letter(handle, "mail");
  fixture_finish(fixture, handle, getpid());
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  assert_sent(0, "list@example.org -> bob@example.org\n");
}

// What is no drop is left alone.
static void test_foreign(Fixture *fixture, gconstpointer unused) {
  fixture_open(fixture);
  g_autofree char *directory = g_build_filename(fixture->directory, DROP_DIRECTORY, "x.drop", NULL);
  g_autofree char *link = g_build_filename(fixture->directory, DROP_DIRECTORY, "y.drop", NULL);
  g_assert_cmpint(mkdir(directory, 0700), ==, 0);
  g_assert_cmpint(symlink("/etc/passwd", link), ==, 0);
  put_file(fixture, "README", "a text");
  put_file(fixture, ".drop", "[drop]\nversion=1\n");
  drop_letter(fixture->directory, "mail", &to_carol);
  take_all(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
  g_assert_cmpuint(count_incoming(fixture->directory), ==, 4);
}

// More than one round takes.
static void test_many(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 150; i++)
    drop_letter(fixture->directory, "mail", &to_carol);
  fixture_open(fixture);
  take_all(fixture);
  g_assert_cmpuint(count_incoming(fixture->directory), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 150);
}

// -- Killed after every step.

#define LETTERS 3

typedef struct {
  char *directory;
  unsigned sent[LETTERS];
} Snapshot;

typedef struct {
  Fixture fixture;
  char *account;
  GPtrArray *snapshots;
} Story;

static void count_sent(unsigned sent[LETTERS]) {
  for (unsigned i = 0; i < fake_server_count(); i++) {
    g_autofree char *letter = fake_server_letter(i);
    for (unsigned j = 0; j < LETTERS; j++) {
      g_autofree char *line = g_strdup_printf("\r\nSubject: mail%u\r\n", j);
      if (strstr(letter, line) != NULL) sent[j]++;
    }
  }
}

static void take_snapshot(gpointer data) {
  Story *story = data;
  Snapshot *snapshot = g_new0(Snapshot, 1);
  count_sent(snapshot->sent);
  snapshot->directory =
      g_strdup_printf("%s/copies/%u", story->fixture.directory, story->snapshots->len);
  scratch_copy(story->account, snapshot->directory);
  g_ptr_array_add(story->snapshots, snapshot);
}

static void snapshot_free(gpointer item) {
  Snapshot *snapshot = item;
  g_free(snapshot->directory);
  g_free(snapshot);
}

static void set_up(Story *story, gconstpointer unused) {
  fixture_set_up_closed(&story->fixture, NULL);
  story->account = g_build_filename(story->fixture.directory, "account", NULL);
  story->snapshots = g_ptr_array_new_with_free_func(snapshot_free);
  story->fixture.options.directory = story->account;
  story->fixture.options.after_step = take_snapshot;
  story->fixture.options.data = story;
  for (unsigned i = 0; i < LETTERS; i++) {
    g_autofree char *name = g_strdup_printf("mail%u", i);
    drop_letter(story->account, name, &to_carol);
  }
}

static void tear_down(Story *story, gconstpointer unused) {
  g_ptr_array_unref(story->snapshots);
  fixture_tear_down(&story->fixture, NULL);
  g_free(story->account);
}

static void look_at_row(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  bool *sent_data = data;
  unsigned i = (unsigned)row->name[strlen("mail")] - '0';
  g_assert_cmpuint(i, <, LETTERS);
  if (row->phase == OUTBOX_SENT_DATA) sent_data[i] = true;
}

static void look_at_journal(const Snapshot *snapshot, bool sent_data[LETTERS]) {
  g_autofree char *path = g_build_filename(snapshot->directory, "outbox.db", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(OutboxJournal) journal = outbox_journal_open(path, &error);
  g_assert_no_error(error);
  g_assert_true(outbox_journal_load(journal, look_at_row, sent_data, &error));
}

// Not before it is gone from there.
static void check_sent_later(const Snapshot *snapshot) {
  unsigned sent = 0;
  for (unsigned i = 0; i < LETTERS; i++)
    sent += snapshot->sent[i];
  int fd = drop_directory_find(snapshot->directory);
  g_autoptr(GPtrArray) ids = drop_list(fd, NULL, 100, NULL);
  close(fd);
  g_assert_cmpuint(ids->len + sent, <=, LETTERS);
}

static void start_again(Story *story, const Snapshot *snapshot) {
  bool sent_data[LETTERS] = {false};
  unsigned sent[LETTERS] = {0};
  check_sent_later(snapshot);
  look_at_journal(snapshot, sent_data);
  fake_server_end();
  fake_server_begin();
  Fixture again = story->fixture;
  again.options.directory = snapshot->directory;
  again.options.after_step = NULL;
  fixture_open(&again);
  take_all(&again);
  fixture_wait_sent(&again);
  count_sent(sent);
  for (unsigned i = 0; i < LETTERS; i++) {
    g_assert_cmpuint(sent[i], <=, 1);
    g_assert_cmpuint(snapshot->sent[i] + sent[i], >=, 1);
    if (snapshot->sent[i] > 0 && sent[i] > 0) g_assert_true(sent_data[i]);
  }
  fixture_assert_names(&again, "", "");
  fixture_close(&again);
  g_assert_cmpuint(count_incoming(snapshot->directory), ==, 0);
}

static void test_every_step(Story *story, gconstpointer unused) {
  fixture_open(&story->fixture);
  take_all(&story->fixture);
  fixture_wait_sent(&story->fixture);
  fixture_close(&story->fixture);
  g_test_message("%u steps", story->snapshots->len);
  g_assert_cmpuint(story->snapshots->len, >, 10);
  for (unsigned i = 0; i < story->snapshots->len; i++)
    start_again(story, g_ptr_array_index(story->snapshots, i));
}

int main(int argc, char **argv) {
  umask(077);
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/intake/taken", Fixture, NULL, fixture_set_up_closed, test_taken,
             fixture_tear_down);
  g_test_add("/outbox/intake/waiting", Fixture, NULL, fixture_set_up_closed, test_waiting,
             fixture_tear_down);
  g_test_add("/outbox/intake/bad", Fixture, NULL, fixture_set_up_closed, test_bad,
             fixture_tear_down);
  g_test_add("/outbox/intake/again", Fixture, NULL, fixture_set_up_closed, test_again,
             fixture_tear_down);
  g_test_add("/outbox/intake/foreign", Fixture, NULL, fixture_set_up_closed, test_foreign,
             fixture_tear_down);
  g_test_add("/outbox/intake/many", Fixture, NULL, fixture_set_up_closed, test_many,
             fixture_tear_down);
  g_test_add("/outbox/intake/every step", Story, NULL, set_up, test_every_step, tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
