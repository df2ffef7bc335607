// Claim: who sends a letter for the servers can be set until it is queued, is kept over a restart,
// and is what the server is told.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "outbox_fixture.h"

static void keep_code(const GError *error, gpointer data) {
  *(int *)data = error != NULL ? error->code : 0;
}

static int set_from(Fixture *fixture, uint64_t directory, const char *name, const char *from) {
  OutboxFile file;
  int code = -1;
  g_assert_true(outbox_lookup(fixture->outbox, directory, name, &file));
  outbox_set_envelope_from(fixture->outbox, file.ino, from, keep_code, &code);
  while (code < 0)
    g_main_context_iteration(fixture->context, true);
  return code;
}

static void assert_from(Fixture *fixture, const char *name, const char *expected) {
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  g_autofree char *found = outbox_detail(fixture->outbox, file.ino, OUTBOX_ENVELOPE_FROM);
  g_assert_cmpstr(found, ==, expected);
}

static void assert_sent(const char *start) {
  g_assert_cmpuint(fake_server_count(), ==, 1);
  g_autofree char *letter = fake_server_letter(0);
  if (!g_str_has_prefix(letter, start)) g_error("sent %s", letter);
}

static void test_held(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  assert_from(fixture, "mail", NULL);
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", "no address"), ==, EINVAL);
  assert_from(fixture, "mail", NULL);
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", "<list@example.org>"), ==, 0);
  assert_from(fixture, "mail", "list@example.org");
  FIXTURE_ASSERT_SENDS(fixture, "mail");
  assert_sent("list@example.org -> bob@example.org\n");
}

// While it is being written, and before that is on disk.
static void test_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", "a@example.org"), ==, 0);
  fixture_write_letter(handle, "mail");
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", ""), ==, 0);
  assert_from(fixture, "mail", "<>");
  fixture_finish(fixture, handle, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "mail");
  assert_sent(" -> bob@example.org\n");
}

static void test_taken_back(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", "<>"), ==, 0);
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", NULL), ==, 0);
  FIXTURE_ASSERT_SENDS(fixture, "mail");
  assert_sent("alice@example.org -> bob@example.org\n");
}

static void test_queued(Fixture *fixture, gconstpointer unused) {
  fixture->options.retry_ms = 3600 * 1000;
  fake_server_expect(FAKE_LATER);
  fixture_reopen(fixture);
  fixture_copy_letter(fixture, "mail");
  g_autofree char *state = fixture_state(fixture, OUTBOX_INO, "mail");
  while (strcmp(state, "queued") != 0) {
    g_main_context_iteration(fixture->context, true);
    g_free(state);
    state = fixture_state(fixture, OUTBOX_INO, "mail");
  }
  g_assert_cmpint(set_from(fixture, OUTBOX_INO, "mail", "a@example.org"), ==, EBUSY);
}

static void test_failed(Fixture *fixture, gconstpointer unused) {
  fake_server_expect(FAKE_REFUSE);
  fixture_copy_letter(fixture, "mail");
  fixture_wait_sent(fixture);
  OutboxFile note;
  int code = -1;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail.error", &note));
  outbox_set_envelope_from(fixture->outbox, note.ino, "a@example.org", keep_code, &code);
  g_assert_cmpint(code, ==, EPERM);
  g_assert_cmpint(set_from(fixture, OUTBOX_FAILED_INO, "mail", "a@example.org"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  assert_sent("a@example.org -> bob@example.org\n");
}

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/attr/held", Fixture, NULL, fixture_set_up_holding, test_held,
             fixture_tear_down);
  g_test_add("/outbox/attr/open", Fixture, NULL, fixture_set_up_holding, test_open,
             fixture_tear_down);
  g_test_add("/outbox/attr/taken back", Fixture, NULL, fixture_set_up_holding, test_taken_back,
             fixture_tear_down);
  g_test_add("/outbox/attr/queued", Fixture, NULL, fixture_set_up, test_queued, fixture_tear_down);
  g_test_add("/outbox/attr/failed", Fixture, NULL, fixture_set_up, test_failed, fixture_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
