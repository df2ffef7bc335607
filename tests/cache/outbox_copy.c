// A letter that was sent to somebody is copied once, for the Sent folder: also when the first try
// fails, when the program ends before, and when only some have got it. Whether a letter was sent at
// all is asked before it is sent again, where somebody can tell.
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/copy.h"
#include "cache/outbox_private.h"
#include "net/error.h"
#include "outbox_fixture.h"

// What stands for the store: each Copy is answered by the script, at once or never.
typedef enum {
  ANSWER_SAVED,
  ANSWER_FOUND,
  ANSWER_ABSENT,
  ANSWER_FAILED,
  ANSWER_UNSURE,
  ANSWER_LATER,  // as SAVED, when the test says so
  NONE,
} Step;

static struct {
  Step steps[8];
  unsigned n, at;
  GString *asked;  // of each: "subject" and what was wanted
  struct Asked *later;
} saver;

typedef struct Asked {
  Copy *copy;
  CopyDone done;
  gpointer data;
  Step step;
} Asked;

static gboolean answer(gpointer data) {
  g_autofree Asked *asked = data;
  g_autoptr(Copy) copy = asked->copy;
  g_autoptr(GError) error = NULL;
  static const CopyOutcome outcomes[] = {COPY_SAVED, COPY_FOUND, COPY_ABSENT};
  bool failed = asked->step == ANSWER_FAILED || asked->step == ANSWER_UNSURE;
  if (failed) g_set_error(&error, NET_ERROR, NET_ERROR_OFFLINE, "away");
  if (!failed) copy->outcome = outcomes[asked->step];
  copy->uncertain = asked->step == ANSWER_UNSURE;
  asked->done(copy, error, asked->data);
  return G_SOURCE_REMOVE;
}

static void save(Copy *copy, CopyDone done, gpointer data, gpointer context) {
  g_autofree char *subject = fixture_subject_of(copy);
  Step step = saver.at < saver.n ? saver.steps[saver.at++] : ANSWER_SAVED;
  g_string_append_printf(saver.asked, "%s%s%s;", subject, copy->looks_first ? " look" : "",
                         copy->only_looks ? " sent?" : "");
  if (step == NONE) {
    copy_free(copy);
    return;
  }
  Asked *asked = g_new0(Asked, 1);
  *asked = (Asked){copy, done, data, step};
  if (step == ANSWER_LATER) {
    *asked = (Asked){copy, done, data, ANSWER_SAVED};
    saver.later = asked;
    return;
  }
  GSource *source = g_idle_source_new();
  g_source_set_callback(source, answer, asked, NULL);
  g_source_attach(source, ((Fixture *)context)->context);
  g_source_unref(source);
}

static void script(unsigned n, const Step *steps) {
  saver.at = 0;
  saver.n = n;
  memcpy(saver.steps, steps, n * sizeof *steps);
}
#define SCRIPT(...) script(G_N_ELEMENTS(((const Step[]){__VA_ARGS__})), (const Step[]){__VA_ARGS__})

static void set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, NULL);
  saver.asked = g_string_new(NULL);
  saver.at = saver.n = 0;
  fixture->options.save_copy = save;
  fixture->options.saver = fixture;
  fixture_open(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
  fixture_tear_down(fixture, NULL);
  g_string_free(saver.asked, TRUE);
}

static unsigned wanted;

static bool was_asked(Fixture *fixture) {
  unsigned n = 0;
  for (const char *at = saver.asked->str; (at = strchr(at, ';')) != NULL; at++)
    n++;
  return n >= wanted;
}

// All that the spool was told of is on disk; nobody on the main loop has heard of it.
static void wait_stored(Fixture *fixture) {
  Queue *replies = queue_new((GDestroyNotify)spool_job_free);
  SpoolJob *job = spool_job_new(SPOOL_NO_CHANGE);
  job->reply = replies;
  outbox_spool_push(fixture->outbox->spool, job);
  spool_job_free(queue_pop(replies, -1));
  queue_free(replies);
}

static void note_accepted(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  if (row->phase == OUTBOX_ACCEPTED) *(bool *)data = true;
}

static void wait_accepted(Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_JOURNAL_NAME, NULL);
  bool is_accepted = false;
  while (!is_accepted) {
    g_autoptr(GError) error = NULL;
    g_autoptr(OutboxJournal) journal = outbox_journal_open_to_read(path, &error);
    g_assert_no_error(error);
    g_assert_true(outbox_journal_load(journal, note_accepted, &is_accepted, &error));
    g_usleep(1000);  // nobody tells of it: the main loop is not to hear
  }
}

// Until so many were asked for, answered and stored.
static void wait_asked(Fixture *fixture, unsigned n) {
  wanted = n;
  fixture_wait(fixture, was_asked);
  while (g_main_context_pending(fixture->context))
    g_main_context_iteration(fixture->context, false);
  fixture_wait_disk(fixture);
}

// Nothing is left of it that a new start would take up.
static void assert_done(Fixture *fixture, const char *asked) {
  g_assert_cmpstr(saver.asked->str, ==, asked);
  fixture_reopen(fixture);
  fixture_wait_disk(fixture);
  g_assert_cmpstr(saver.asked->str, ==, asked);
}

static void test_saved(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "one");
  wait_asked(fixture, 1);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
  assert_done(fixture, "one;");
}

// It is asked for again until it succeeds; looked for first only if it may be there.
static void test_failures(Fixture *fixture, gconstpointer unused) {
  SCRIPT(ANSWER_FAILED, ANSWER_UNSURE, ANSWER_FOUND);
  fixture_copy_letter(fixture, "one");
  wait_asked(fixture, 3);
  assert_done(fixture, "one;one;one look;");
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// The program ends between sending and copying.
static void test_crash(Fixture *fixture, gconstpointer unused) {
  SCRIPT(NONE);
  fixture_copy_letter(fixture, "one");
  wait_asked(fixture, 1);
  fixture_reopen(fixture);
  wait_asked(fixture, 2);
  fixture_assert_names(fixture, "", "");
  assert_done(fixture, "one;one look;");
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

static int64_t seconds;

static int64_t tell_time(gpointer unused) {
  return seconds * G_USEC_PER_SEC;
}

// How long it is tried counts from when the letter was taken, however long that took.
static void test_late_letter(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  seconds = 1000000000;
  fixture_reopen(fixture);
  SCRIPT(ANSWER_FAILED, ANSWER_SAVED);
  fake_server_expect(FAKE_STALL);
  fixture_copy_letter(fixture, "one");
  fake_server_wait_stalled();
  seconds += 6 * 24 * 3600;
  fake_server_go_on();
  wait_asked(fixture, 2);
  assert_done(fixture, "one;one;");
}

// Not for ever, also not by starting again and again.
static void test_too_late(Fixture *fixture, gconstpointer unused) {
  fixture->options.now_us = tell_time;
  seconds = 1000000000;
  fixture_reopen(fixture);
  SCRIPT(ANSWER_FAILED, NONE, ANSWER_FAILED);
  fixture_copy_letter(fixture, "one");
  wait_asked(fixture, 2);
  seconds += 6 * 24 * 3600;
  fixture_reopen(fixture);
  wait_asked(fixture, 3);
  assert_done(fixture, "one;one;one look;");
}

static void copy_to_two(Fixture *fixture, const char *name) {
  g_autofree char *text = g_strdup_printf(
      "From: a@example.org\nTo: b@example.org, c@example.org\nSubject: %s\n\nx\n", name);
  g_assert_cmpint(fixture_copy(fixture, name, text), ==, 0);
}

static bool has_failed(Fixture *fixture) {
  g_autofree char *names = fixture_names(fixture, OUTBOX_FAILED_INO);
  return strstr(names, "one") != NULL;
}

// What some have got is copied, though it lies in failed/; and not again when the rest have got it.
static void test_some(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE_SECOND);
  copy_to_two(fixture, "one");
  fixture_wait(fixture, has_failed);
  wait_asked(fixture, 1);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "one", "one", 0), ==, 0);
  fixture_wait_sent(fixture);
  assert_done(fixture, "one;");
}

// A copy that is kept while the letter is sent to those who lacked it: the courier's row stays as
// it is, so that a crash does not send it to them again.
static void test_late_answer(Fixture *fixture, gconstpointer unused) {
  SCRIPT(ANSWER_LATER);
  fake_server_expect(FAKE_REFUSE_SECOND);
  copy_to_two(fixture, "one");
  fixture_wait(fixture, has_failed);
  wait_asked(fixture, 1);
  fake_server_expect(FAKE_STALL);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "one", "one", 0), ==, 0);
  fake_server_wait_stalled();
  fake_server_go_on();
  // The server has it, the journal says so, and the main loop has not heard of it yet.
  wait_accepted(fixture);
  answer(saver.later);
  wait_stored(fixture);
  fixture_crash(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  fixture_assert_names(fixture, "", "");
}

// Written anew while its copy is on its way: what was copied is not this text.
static void test_written_anew(Fixture *fixture, gconstpointer unused) {
  SCRIPT(ANSWER_LATER);
  fake_server_expect(FAKE_REFUSE_SECOND);
  copy_to_two(fixture, "one");
  fixture_wait(fixture, has_failed);
  wait_asked(fixture, 1);
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "one", &file));
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), NULL);
  fixture_write_letter(handle, "two");
  fixture_finish(fixture, handle, getpid());
  answer(saver.later);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "one", "one", 0), ==, 0);
  wait_asked(fixture, 2);
  assert_done(fixture, "one;two;");
}

// What nobody has got is not.
static void test_refused(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "one");
  fixture_wait(fixture, has_failed);
  assert_done(fixture, "");
}

// A letter whose fate is unknown was sent, if the server that keeps copies has one.
static void test_was_sent(Fixture *fixture, gconstpointer unused) {
  SCRIPT(ANSWER_FOUND);
  fake_server_expect(FAKE_TAKE_HANG_UP);
  fixture_copy_letter(fixture, "one");
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  assert_done(fixture, "one sent?;");
}

// Otherwise, or if that cannot be told, it is sent again.
static void test_was_not_sent(Fixture *fixture, gconstpointer data) {
  SCRIPT(GPOINTER_TO_UINT(data), ANSWER_SAVED);
  fake_server_expect(FAKE_HANG_UP);
  fake_server_expect(FAKE_TAKE_HANG_UP);
  fixture_copy_letter(fixture, "one");
  fixture_wait_sent(fixture);
  wait_asked(fixture, 2);
  g_assert_cmpuint(fake_server_count(), ==, 2);
  assert_done(fixture, "one sent?;one;");
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(Fixture *fixture, gconstpointer data);
    Step data;
  } tests[] = {
      {"/outbox/copy/saved", test_saved, 0},
      {"/outbox/copy/failures", test_failures, 0},
      {"/outbox/copy/crash", test_crash, 0},
      {"/outbox/copy/late-letter", test_late_letter, 0},
      {"/outbox/copy/too-late", test_too_late, 0},
      {"/outbox/copy/some", test_some, 0},
      {"/outbox/copy/late-answer", test_late_answer, 0},
      {"/outbox/copy/written-anew", test_written_anew, 0},
      {"/outbox/copy/refused", test_refused, 0},
      {"/outbox/copy/was-sent", test_was_sent, 0},
      {"/outbox/copy/was-not-sent", test_was_not_sent, ANSWER_ABSENT},
      {"/outbox/copy/cannot-tell", test_was_not_sent, ANSWER_FAILED},
  };
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, GUINT_TO_POINTER(tests[i].data), set_up, tests[i].test,
               tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
