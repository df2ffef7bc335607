// Claim: a drain sends at once all that waits, held or put off, and tells what became of each
// letter, once; it ends also where the server is away or a letter is taken back. And a list of
// letters is the same from the running outbox and from its files.
#include "cache/outbox_drain.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/drop_writer.h"
#include "cache/outbox_summary.h"
#include "outbox_fixture.h"

typedef struct {
  OutboxProgress last;
  char *why;
  unsigned times;
} Told;

static void keep_progress(const OutboxProgress *progress, gpointer data) {
  Told *told = data;
  g_free(told->why);
  told->why = g_strdup(progress->why);
  told->last = *progress;
  told->times++;
}

static void assert_drained(Fixture *fixture, unsigned sent, unsigned failed, unsigned delayed) {
  Told told = {0};
  OutboxDrain *drain = outbox_drain_new(fixture->outbox, keep_progress, &told);
  while (told.times == 0 || told.last.to_come > 0)
    g_main_context_iteration(fixture->context, true);
  g_assert_cmpuint(told.last.total, ==, sent + failed + delayed);
  g_assert_cmpuint(told.last.sent, ==, sent);
  g_assert_cmpuint(told.last.failed, ==, failed);
  g_assert_cmpuint(told.last.delayed, ==, delayed);
  if (delayed > 0) g_assert_nonnull(told.why);
  outbox_drain_free(drain);
  g_free(told.why);
}

static void test_held(Fixture *fixture, gconstpointer unused) {
  assert_drained(fixture, 0, 0, 0);
  fixture_copy_letter(fixture, "one");
  fixture_copy_letter(fixture, "two");
  g_assert_cmpint(fixture_copy(fixture, ".hidden", "no letter"), ==, 0);
  assert_drained(fixture, 2, 0, 0);
  fixture_assert_names(fixture, ".hidden", "");
}

static void copy_letters(Fixture *fixture, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *name = g_strdup_printf("mail%u", i);
    fixture_copy_letter(fixture, name);
  }
}

// Of three: one sent, one refused, one to be tried again.
static void test_each_fate(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  copy_letters(fixture, 3);
  fake_server_expect(FAKE_ACCEPT);
  fake_server_expect(FAKE_REFUSE);
  fake_server_expect(FAKE_LATER);
  assert_drained(fixture, 1, 1, 1);
  // What was put off for an hour goes now.
  assert_drained(fixture, 1, 0, 0);
}

// Without a server all are put off after one try, and the next drain tries again.
static void test_offline(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fixture_reopen(fixture);
  copy_letters(fixture, 5);
  fake_server_set(FAKE_OFFLINE);
  assert_drained(fixture, 0, 0, 5);
  fake_server_set(FAKE_DENIED);
  assert_drained(fixture, 0, 0, 5);
  fake_server_set(FAKE_ACCEPT);
  assert_drained(fixture, 5, 0, 0);
}

static void test_taken_back(Fixture *fixture, gconstpointer unused) {
  Told told = {0};
  fake_server_set(FAKE_STALL);
  copy_letters(fixture, 9);
  OutboxDrain *drain = outbox_drain_new(fixture->outbox, keep_progress, &told);
  fake_server_wait_stalled();
  while (told.times == 0)
    g_main_context_iteration(fixture->context, true);
  g_assert_cmpuint(told.last.to_come, ==, 9);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail8"), ==, 0);
  while (told.last.to_come != 8)
    g_main_context_iteration(fixture->context, true);
  g_assert_cmpuint(told.last.total, ==, 8);
  outbox_drain_free(drain);
  g_free(told.why);
}

// -- Lists.

static bool append(const OutboxSummary *summary, gpointer data) {
  char **recipients = summary->row->envelope.recipients;
  g_string_append_printf(data, "%s%s %s %s %s\n", summary->is_failed ? "failed/" : "",
                         summary->name, summary->state, recipients != NULL ? recipients[0] : "-",
                         summary->why != NULL ? summary->why : "-");
  g_assert_true(g_str_has_prefix(summary->file, "letters/") ||
                g_str_has_prefix(summary->file, "incoming/"));
  return true;
}

static void test_lists(Fixture *fixture, gconstpointer unused) {
  static const char expected[] =
      "failed/refused failed - 550 5.1.1 unknown\nheld held - -\n.hidden draft - -\n";
  g_autoptr(GString) running = g_string_new(NULL);
  g_autoptr(GString) peeked = g_string_new(NULL);
  g_autoptr(GString) both = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "refused");
  assert_drained(fixture, 0, 1, 0);
  fixture_copy_letter(fixture, "held");
  g_assert_cmpint(fixture_copy(fixture, ".hidden", "no letter"), ==, 0);
  outbox_summarize(fixture->outbox, 0, append, running);
  fixture_wait_disk(fixture);
  g_assert_true(outbox_peek(fixture->directory, append, peeked, &error));
  fixture_close(fixture);
  char *carol[] = {(char *)"carol@example.org", NULL};
  const Envelope envelope = {.recipients = carol};
  g_autoptr(DropWriter) writer = drop_writer_new(fixture->directory, &error);
  g_assert_true(drop_writer_commit(writer, "dropped", &envelope, &error));
  g_assert_true(outbox_peek(fixture->directory, append, both, &error));
  g_assert_cmpstr(running->str, ==, expected);
  g_assert_cmpstr(peeked->str, ==, expected);
  g_assert_true(g_str_has_prefix(both->str, expected));
  g_assert_cmpstr(both->str + strlen(expected), ==, "dropped queued carol@example.org -\n");
}

// Where there is nothing, nothing is made.
static void test_nothing(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GString) list = g_string_new(NULL);
  g_assert_true(outbox_peek(fixture->directory, append, list, &error));
  g_assert_cmpstr(list->str, ==, "");
  g_autoptr(GDir) directory = g_dir_open(fixture->directory, 0, NULL);
  g_assert_null(g_dir_read_name(directory));
}

int main(int argc, char **argv) {
  umask(077);
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  static const struct {
    const char *name;
    void (*test)(Fixture *fixture, gconstpointer unused);
  } rows[] = {
      {"/outbox/drain/held", test_held},       {"/outbox/drain/each fate", test_each_fate},
      {"/outbox/drain/offline", test_offline}, {"/outbox/drain/taken back", test_taken_back},
      {"/outbox/drain/lists", test_lists},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].name, Fixture, NULL, fixture_set_up_holding, rows[i].test,
               fixture_tear_down);
  g_test_add("/outbox/drain/nothing", Fixture, NULL, fixture_set_up_closed, test_nothing,
             fixture_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
