// A letter that was sent is kept in the folder that the server has for sent mail, or in the one
// that was named, with its Bcc; once, also when the connection ends before the server has answered.

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/copy.h"
#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define LETTER \
  "From: a@example.org\nTo: b@example.org\nBcc: c@example.org\nMessage-ID: <x@y>\nDate: d\n\nhi\n"
#define SAVED                                                                            \
  "\\Seen 1700000000 From: a@example.org\r\nTo: b@example.org\r\nBcc: c@example.org\r\n" \
  "Message-ID: <x@y>\r\nDate: d\r\n\r\nhi\r\n;"

typedef struct {
  bool done;
  CopyOutcome outcome;
  bool uncertain;
  GError *error;
} Outcome;

static void outcome_clear(Outcome *outcome) {
  g_clear_error(&outcome->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static void take_outcome(const Copy *copy, const GError *error, gpointer data) {
  Outcome *outcome = data;
  *outcome = (Outcome){.done = true,
                       .outcome = copy->outcome,
                       .uncertain = copy->uncertain,
                       .error = error != NULL ? g_error_copy(error) : NULL};
}

static Copy *new_copy(const char *folder) {
  const LetterDefaults defaults = {.from = "a@example.org", .message_id = "m@n", .date = 1};
  int fd = memfd_create("letter", MFD_CLOEXEC);
  g_assert_cmpint(write(fd, LETTER, strlen(LETTER)), ==, strlen(LETTER));
  Copy *copy = copy_new(folder, fd, &defaults);
  copy->sent_at = 1700000000;
  close(fd);
  return copy;
}

static Outcome run(StoreFixture *fixture, Copy *copy) {
  Outcome outcome = {0};
  store_copy(fixture->store, copy, take_outcome, &outcome);
  store_fixture_wait(fixture, &outcome.done);
  return outcome;
}

static void assert_kept(const char *folder, const char *expected) {
  g_autofree char *kept = fake_appended(folder);
  g_assert_cmpstr(kept, ==, expected);
}

static void test_saved(StoreFixture *fixture, gconstpointer connections) {
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  store_fixture_start_online(fixture, GPOINTER_TO_UINT(connections));
  g_auto(Outcome) outcome = run(fixture, new_copy(NULL));
  g_assert_no_error(outcome.error);
  g_assert_cmpint(outcome.outcome, ==, COPY_SAVED);
  assert_kept("Gesendet", SAVED);
}

// Gmail keeps what is sent through it; another server may have no folder for it.
static void test_unwanted(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  g_auto(Outcome) none = run(fixture, new_copy(NULL));
  g_assert_no_error(none.error);
  g_assert_cmpint(none.outcome, ==, COPY_UNWANTED);
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  fake_keep_sent(true);
  g_auto(Outcome) gmail = run(fixture, new_copy(NULL));
  g_assert_no_error(gmail.error);
  g_assert_cmpint(gmail.outcome, ==, COPY_UNWANTED);
  assert_kept("Gesendet", "");
}

// A folder that was named is meant as the mount shows it, also on a server that keeps copies.
static void test_named(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  fake_add_folder("Ablage.M&APw-ll/x", '.', 0, 13);
  fake_keep_sent(true);
  store_fixture_start_online(fixture, 2);
  g_auto(Outcome) outcome = run(fixture, new_copy("Ablage/Müll%2Fx"));
  g_assert_no_error(outcome.error);
  g_assert_cmpint(outcome.outcome, ==, COPY_SAVED);
  assert_kept("Ablage.M&APw-ll/x", SAVED);
}

static void test_missing(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  g_auto(Outcome) missing = run(fixture, new_copy("Nowhere"));
  g_assert_error(missing.error, NET_ERROR, NET_ERROR_GONE);
}

// A connection that had died unnoticed is no failure.
static void test_stale_connection(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  store_fixture_start_online(fixture, 1);
  fake_fail(FAKE_APPEND, NET_ERROR_OFFLINE, 1);
  g_auto(Outcome) outcome = run(fixture, new_copy(NULL));
  g_assert_no_error(outcome.error);
  assert_kept("Gesendet", SAVED);
}

// One that ends when the server may have had it all: it is not sent again before it was looked for.
static void test_once(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  store_fixture_start_online(fixture, 2);
  fake_lose_answers(true);
  fake_fail(FAKE_APPEND, NET_ERROR_OFFLINE, 1);
  g_auto(Outcome) lost = run(fixture, new_copy(NULL));
  g_assert_error(lost.error, NET_ERROR, NET_ERROR_OFFLINE);
  g_assert_true(lost.uncertain);
  Copy *again = new_copy(NULL);
  again->looks_first = true;
  g_auto(Outcome) found = run(fixture, again);
  g_assert_no_error(found.error);
  g_assert_cmpint(found.outcome, ==, COPY_FOUND);
  assert_kept("Gesendet", SAVED);
}

// Whether a letter was sent at all, only a server that keeps copies by itself can tell.
static void test_only_looks(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("Gesendet", '/', MAILBOX_SENT, 12);
  store_fixture_start_online(fixture, 2);
  Copy *elsewhere = new_copy(NULL);
  elsewhere->only_looks = true;
  g_auto(Outcome) unknown = run(fixture, elsewhere);
  g_assert_cmpint(unknown.outcome, ==, COPY_UNWANTED);
  fake_keep_sent(true);
  Copy *gmail = new_copy(NULL);
  gmail->only_looks = true;
  g_auto(Outcome) absent = run(fixture, gmail);
  g_assert_no_error(absent.error);
  g_assert_cmpint(absent.outcome, ==, COPY_ABSENT);
  assert_kept("Gesendet", "");
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
    unsigned data;
  } tests[] = {
      {"/store-copy/saved/1", test_saved, 1},
      {"/store-copy/saved/4", test_saved, 4},
      {"/store-copy/unwanted", test_unwanted, 0},
      {"/store-copy/named", test_named, 0},
      {"/store-copy/missing", test_missing, 0},
      {"/store-copy/stale-connection", test_stale_connection, 0},
      {"/store-copy/once", test_once, 0},
      {"/store-copy/only-looks", test_only_looks, 0},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, GUINT_TO_POINTER(tests[i].data), store_fixture_set_up,
               tests[i].test, store_fixture_tear_down);
  return g_test_run();
}
