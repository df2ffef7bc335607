// A POP3 server has one connection at a time, which locks the mailbox and shows what was there when
// it came: it is held no longer than there is work, listed anew before a body is asked for, made
// anew for news, and waited for while somebody else has it. Bodies come whole, pipelined.

#include <string.h>
#include <unistd.h>

#include "cache/copy.h"
#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define BODY_ONE "Subject: one\r\n\r\nfirst\r\n"
#define POP3_ONE "INBOX/0000-00-00_0000_unknown_one,0000000000000001.eml"
#define POP3_TWO "INBOX/0000-00-00_0000_unknown_two,0000000000000002.eml"

static const MailboxTraits brief = {.connections_max = 1, .linger_ms = 50};

static void set_up(StoreFixture *fixture, gconstpointer data) {
  store_fixture_set_up(fixture, data);
  fixture->is_pop3 = true;
  fixture->traits = &brief;
}

static void start(StoreFixture *fixture) {
  store_fixture_start_online(fixture, 4);
  store_fixture_sync(fixture, "INBOX", -1);
}

static unsigned logouts_wanted;

static bool has_left(StoreFixture *fixture) {
  return fake_logouts() >= logouts_wanted;
}

static void wait_for_logout(StoreFixture *fixture) {
  logouts_wanted = fake_calls(FAKE_OPEN);
  store_fixture_wait_until(fixture, has_left);
}

static bool append_name(const Inode *inode, gpointer names) {
  g_string_append_printf(names, "%s ", inode->name);
  return true;
}

static char *list(StoreFixture *fixture) {
  GString *names = g_string_new(NULL);
  store_children(fixture->store, store_fixture_find(fixture, "INBOX"), 0, append_name, names);
  return g_string_free(names, FALSE);
}

// The tree and the first listing need one login; it ends when nothing more is wanted.
static void test_linger(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 1);
  store_fixture_read(fixture, store_fixture_find(fixture, POP3_ONE), BODY_ONE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 1);
  wait_for_logout(fixture);
  g_assert_cmpuint(fake_logouts(), ==, 1);
}

// Whoever looks at the root does not lock the mailbox for that.
static void test_root(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_assert_cmpint(store_listing(fixture->store, INODE_ROOT), ==, STORE_FRESH);
  g_assert_cmpint(store_listing(fixture->store, store_fixture_find(fixture, "INBOX")), ==,
                  STORE_STALE);
}

// One login, one listing, one fetch.
static void test_fresh_connection(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  wait_for_logout(fixture);
  fake_add_message("INBOX", "three", "Subject: three\r\n\r\n", -1);
  store_fixture_read(fixture, store_fixture_find(fixture, POP3_TWO), BODY_TWO);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 2);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 1);
  // What that listing found is shown.
  g_autofree char *names = list(fixture);
  g_assert_nonnull(strstr(names, "_three,"));
}

static void test_vanished(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t one = store_fixture_find(fixture, POP3_ONE);
  wait_for_logout(fixture);
  fake_remove_message("INBOX", 1);
  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, one, take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_GONE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 2);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 0);
  g_assert_cmpuint(store_fixture_find(fixture, POP3_ONE), ==, 0);
}

// A message that the server does not know any more is looked for by another login before anything
// is said of it; of one that it names and does not give, its own listing has said all.
static void test_not_given(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  uint64_t one = store_fixture_find(fixture, POP3_ONE);
  fake_remove_message("INBOX", 1);
  fake_withhold("INBOX", 2);
  g_auto(Answer) gone = {0}, withheld = {0};
  store_fetch(fixture->store, one, take_body, &gone);
  store_fixture_wait(fixture, &gone.done);
  g_assert_error(gone.error, NET_ERROR, NET_ERROR_GONE);
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_TWO), take_body, &withheld);
  store_fixture_wait(fixture, &withheld.done);
  g_assert_error(withheld.error, NET_ERROR, NET_ERROR_REFUSED);
}

// However many are not given: they cost no login each.
static void test_none_given(StoreFixture *fixture, gconstpointer data) {
  static const MailboxTraits patient = {.connections_max = 1, .linger_ms = 60000};
  fixture->traits = &patient;
  start(fixture);
  const char *const names[] = {POP3_ONE, POP3_TWO};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
    g_auto(Answer) answer = {0};
    fake_withhold("INBOX", i + 1);
    // The login is too old for another listing.
    g_usleep(600000);
    store_fetch(fixture->store, store_fixture_find(fixture, names[i]), take_body, &answer);
    store_fixture_wait(fixture, &answer.done);
    g_assert_error(answer.error, NET_ERROR, NET_ERROR_REFUSED);
  }
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
}

// What came since the login is seen by another one only.
static void test_news(StoreFixture *fixture, gconstpointer data) {
  static const MailboxTraits patient = {.connections_max = 1, .linger_ms = 60000};
  fixture->traits = &patient;
  start(fixture);
  fake_add_message("INBOX", "three", "Subject: three\r\n\r\n", -1);
  store_fixture_sync(fixture, "INBOX", -1);
  g_autofree char *names = list(fixture);
  g_assert_nonnull(strstr(names, "_three,"));
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
}

// A connection that breaks is made anew, and its messages are listed on the new one.
static void test_broken(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
  store_fixture_read(fixture, store_fixture_find(fixture, POP3_ONE), BODY_ONE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 2);
  // The same where it breaks in the listing before.
  wait_for_logout(fixture);
  store_fixture_drop_body(fixture, store_fixture_find(fixture, POP3_ONE));
  fake_fail(FAKE_UPDATE, NET_ERROR_OFFLINE, 1);
  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_ONE), take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_OFFLINE);
}

// What was under way when it broke is asked for again together, not one round trip after the other.
static void test_broken_together(StoreFixture *fixture, gconstpointer data) {
  fake_add_message("INBOX", "three", "Subject: three\r\n\r\n", -1);
  start(fixture);
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "INBOX");
  wait_for_logout(fixture);
  fake_hold(FAKE_OPEN);
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
  Answer answers[3] = {0};
  for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++)
    store_fetch(fixture->store, g_array_index(inos, uint64_t, i), take_body, &answers[i]);
  fake_await_held(FAKE_OPEN);
  fake_release(FAKE_OPEN);
  for (unsigned i = 0; i < G_N_ELEMENTS(answers); i++) {
    store_fixture_wait(fixture, &answers[i].done);
    g_assert_no_error(answers[i].error);
    store_close_body(fixture->store, answers[i].body);
  }
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 3);
  g_assert_cmpuint(fake_most_requests(), ==, 3);
}

// Nobody tells that the store is being closed; by then it has cancelled and waits for its session.
static gpointer release_soon(gpointer data) {
  g_usleep(100000);
  fake_release(FAKE_FETCH);
  return NULL;
}

// Who unmounts while a body arrives cancels the wait for it, not the goodbye: without it a server
// takes what was under way for read.
static void test_goodbye(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_auto(Answer) answer = {0};
  fake_hold(FAKE_FETCH);
  fake_fail(FAKE_FETCH, NET_ERROR_CANCELLED, 1);
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_ONE), take_body, &answer);
  fake_await_held(FAKE_FETCH);
  GThread *thread = g_thread_new("release", release_soon, NULL);
  g_clear_pointer(&fixture->store, store_free);
  g_thread_join(thread);
  g_assert_cmpuint(fake_logouts(), ==, 1);
  g_assert_cmpuint(fake_cut_goodbyes(), ==, 0);
}

// ---- While another client has the mailbox.

// Readers wait for their turn, who want the listing see the last one; and however many wait, the
// server is tried by one.
static void test_in_use(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  wait_for_logout(fixture);
  fake_fail(FAKE_OPEN, NET_ERROR_BUSY, 2);
  g_auto(Answer) one = {0}, two = {0};
  int64_t began_us = g_get_monotonic_time();
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_ONE), take_body, &one);
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_TWO), take_body, &two);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  g_assert_cmpuint(store_fixture_find(fixture, POP3_ONE), !=, 0);
  store_fixture_wait(fixture, &one.done);
  store_fixture_wait(fixture, &two.done);
  assert_body(fixture, &one, BODY_ONE);
  assert_body(fixture, &two, BODY_TWO);
  g_assert_cmpint(g_get_monotonic_time() - began_us, >=, 500000);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1 + 2 + 1);
  store_fixture_sync(fixture, "INBOX", -1);
}

// Who waits can be told to stop, and waits no longer than the account's time-out.
static void test_in_use_for_long(StoreFixture *fixture, gconstpointer data) {
  fixture->account.timeout_ms = 500;
  start(fixture);
  wait_for_logout(fixture);
  fake_fail(FAKE_OPEN, NET_ERROR_BUSY, 1000);
  g_auto(Answer) cancelled = {0}, answer = {0};
  StoreTicket *ticket =
      store_fetch(fixture->store, store_fixture_find(fixture, POP3_ONE), take_body, &cancelled);
  store_fetch(fixture->store, store_fixture_find(fixture, POP3_TWO), take_body, &answer);
  g_main_context_iteration(fixture->context, TRUE);
  store_cancel(ticket);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_BUSY);
  g_assert_false(cancelled.done);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), <=, 4);
  // With a cache, a mount does not wait for it.
  g_clear_pointer(&fixture->store, store_free);
  fixture->account.timeout_ms = 60000;
  g_auto(Answer) ready = store_fixture_start(fixture, 1);
  g_assert_error(ready.error, NET_ERROR, NET_ERROR_BUSY);
}

// Without one it does.
static void test_in_use_at_mount(StoreFixture *fixture, gconstpointer data) {
  fake_fail(FAKE_OPEN, NET_ERROR_BUSY, 2);
  start(fixture);
  g_assert_cmpuint(store_fixture_find(fixture, POP3_ONE), !=, 0);
}

// ---- Where the server wants a pause between logins.

// The connection is kept as long as none may follow: who wants the listing sees the last one, and
// bodies go on; then the listing is made new.
static void test_login_delay(StoreFixture *fixture, gconstpointer data) {
  int64_t began_us = g_get_monotonic_time();
  fake_delay_logins(2);
  start(fixture);
  fake_add_message("INBOX", "three", "Subject: three\r\n\r\n", -1);
  g_usleep(700000);  // the login is too old for another listing
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  g_assert_cmpuint(store_fixture_find(fixture, POP3_ONE), !=, 0);
  store_fixture_read(fixture, store_fixture_find(fixture, POP3_ONE), BODY_ONE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
  // ... and now old enough for another login.
  g_usleep((gulong)MAX(0, began_us + 2100000 - g_get_monotonic_time()));
  store_fixture_sync(fixture, "INBOX", -1);
  g_autofree char *names = list(fixture);
  g_assert_nonnull(strstr(names, "_three,"));
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
}

// A connection that breaks is not made anew before the pause is over, however many ask; readers
// wait for that, and what is here is read meanwhile.
static void test_broken_in_the_pause(StoreFixture *fixture, gconstpointer data) {
  fake_delay_logins(2);
  start(fixture);
  uint64_t one = store_fixture_find(fixture, POP3_ONE);
  store_fixture_read(fixture, store_fixture_find(fixture, POP3_TWO), BODY_TWO);
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
  g_auto(Answer) answer = {0};
  store_fetch(fixture->store, one, take_body, &answer);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  store_fixture_sync(fixture, "INBOX", NET_ERROR_BUSY);
  StoreBody *two = store_body(fixture->store, store_fixture_find(fixture, POP3_TWO));
  g_assert_nonnull(two);
  store_close_body(fixture->store, two);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
  store_fixture_wait(fixture, &answer.done);
  assert_body(fixture, &answer, BODY_ONE);
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 2);
}

// ---- Bodies.

// A large message comes whole, also where it is larger than all that may be kept; that bytes come
// is known by the way.
static void test_large(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *filling = g_strnfill(3 << 20, 'x');
  g_autofree char *body = g_strconcat("Subject: large\r\n\r\n", filling, NULL);
  fake_add_message("INBOX", "large", body, -1);
  fixture->cache_bytes = 1 << 20;
  start(fixture);
  g_auto(Answer) answer = {0};
  uint64_t ino =
      store_fixture_find(fixture, "INBOX/0000-00-00_0000_unknown_large,0000000000000003.eml");
  g_assert_cmpint(store_progress_us(fixture->store), ==, 0);
  store_fetch(fixture->store, ino, take_body, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_no_error(answer.error);
  g_assert_cmpint(g_get_monotonic_time() - store_progress_us(fixture->store), <, 20000000);
  g_assert_true(store_body_is_whole(answer.body));
  g_assert_cmpuint(store_body_size(answer.body), ==, strlen(body));
  g_autofree char *read = g_malloc(strlen(body));
  g_assert_cmpint(pread(store_body_fd(answer.body), read, strlen(body), 0), ==, strlen(body));
  g_assert_cmpint(memcmp(read, body, strlen(body)), ==, 0);
  store_close_body(fixture->store, answer.body);
}

#define MESSAGES 400

static char *body_of(unsigned i) {
  return g_strdup_printf("Subject: m%04u\r\n\r\n%02000u\r\n", i, i);
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

// is_slow: the server answers nothing until all is asked for that follows from this.
static void read_one(StoreFixture *fixture, uint64_t ino, const char *expected, bool is_slow) {
  g_auto(Answer) answer = {.body = store_body(fixture->store, ino)};
  char buffer[4096];
  if (is_slow) fake_hold(FAKE_FETCH);
  if (answer.body == NULL) {
    store_fetch(fixture->store, ino, take_body, &answer);
    if (is_slow) fake_await_held(FAKE_FETCH);
    fake_release(FAKE_FETCH);
    store_fixture_wait(fixture, &answer.done);
  }
  g_assert_no_error(answer.error);
  ssize_t n = pread(store_body_fd(answer.body), buffer, sizeof buffer, 0);
  g_assert_cmpmem(buffer, (size_t)MAX(n, 0), expected, strlen(expected));
  store_close_body(fixture->store, answer.body);
}

static uint64_t awaited;

static bool has_come(StoreFixture *fixture) {
  StoreBody *body = store_body(fixture->store, awaited);
  if (body != NULL) store_close_body(fixture->store, body);
  return body != NULL;
}

// Who reads one message after the other, in the order of the server, or of the ids as a shell sorts
// them, has them fetched ahead on the one connection, with several requests under way.
static void test_ahead(StoreFixture *fixture, gconstpointer uid_names) {
  static const MailboxTraits patient = {.connections_max = 1, .linger_ms = 60000};
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  fixture->traits = &patient;
  fixture->prefetch_bytes = 8 << 20;
  fixture->uid_names = uid_names != NULL;
  for (unsigned i = 3; i <= MESSAGES; i++) {
    g_autofree char *subject = g_strdup_printf("m%04u", i), *body = body_of(i);
    g_autofree char *id = g_strdup_printf("%08x%08x", i * 2654435761u, i);
    fake_set_uidl("INBOX", fake_add_message("INBOX", subject, body, -1), id);
    g_ptr_array_add(names,
                    uid_names != NULL
                        ? g_strdup_printf("INBOX/%s.eml", id)
                        : g_strdup_printf("INBOX/0000-00-00_0000_unknown_m%04u,%s.eml", i, id));
  }
  start(fixture);
  g_ptr_array_sort(names, compare_names);
  for (unsigned i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    unsigned nth = (unsigned)strtoul(name + strlen(name) - strlen("00000000.eml"), NULL, 16);
    g_autofree char *expected = body_of(nth);
    awaited = store_fixture_find(fixture, name);
    if (i > 2) store_fixture_wait_until(fixture, has_come);
    read_one(fixture, awaited, expected, i == 2);
  }
  g_assert_cmpuint(fake_calls(FAKE_OPEN), ==, 1);
  g_assert_cmpuint(fake_calls(FAKE_UPDATE), ==, 1);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), <, MESSAGES / 8);
  g_assert_cmpuint(fake_most_requests(), >, 2);
}

// What elsewhere would come in parts is fetched ahead whole, if it is not too large; and a reader
// of something else finds no more than 2 MiB of it before him.
static void test_ahead_whole(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *filling = g_strnfill(500000, 'x');
  g_autofree char *body = g_strconcat("Subject: m\r\n\r\n", filling, NULL);
  for (unsigned i = 0; i < 40; i++)
    fake_add_message("INBOX", "m", body, -1);
  fixture->prefetch_bytes = 64 << 20;
  start(fixture);
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "INBOX");
  for (unsigned i = 2; i < inos->len; i++) {
    awaited = g_array_index(inos, uint64_t, i);
    // What is here is read while the server is slow; then much is wanted at once.
    if (!has_come(fixture)) fake_release(FAKE_FETCH);
    if (i > 4) store_fixture_wait_until(fixture, has_come);
    if (i == 10) fake_hold(FAKE_FETCH);
    g_auto(Answer) answer = {.body = store_body(fixture->store, awaited)};
    if (answer.body == NULL) {
      store_fetch(fixture->store, awaited, take_body, &answer);
      store_fixture_wait(fixture, &answer.done);
    }
    g_assert_cmpuint(store_body_size(answer.body), ==, strlen(body));
    store_close_body(fixture->store, answer.body);
  }
  g_assert_cmpuint(fake_most_requests(), >, 1);
  g_assert_cmpuint(fake_most_requests(), <=, 4);
}

static void take_copy(const Copy *copy, const GError *error, gpointer data) {
  take_done(error, data);
}

// There is no folder for the letters that were sent.
static void test_no_copies(StoreFixture *fixture, gconstpointer data) {
  start(fixture);
  g_auto(Answer) answer = {0};
  store_copy(fixture->store, g_new0(Copy, 1), take_copy, &answer);
  store_fixture_wait(fixture, &answer.done);
  g_assert_error(answer.error, NET_ERROR, NET_ERROR_UNSUPPORTED);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
    bool uid_names;
  } tests[] = {
      {"/store-pop3-link/linger", test_linger, false},
      {"/store-pop3-link/root", test_root, false},
      {"/store-pop3-link/fresh-connection", test_fresh_connection, false},
      {"/store-pop3-link/vanished", test_vanished, false},
      {"/store-pop3-link/not-given", test_not_given, false},
      {"/store-pop3-link/news", test_news, false},
      {"/store-pop3-link/broken", test_broken, false},
      {"/store-pop3-link/none-given", test_none_given, false},
      {"/store-pop3-link/broken-together", test_broken_together, false},
      {"/store-pop3-link/goodbye", test_goodbye, false},
      {"/store-pop3-link/in-use", test_in_use, false},
      {"/store-pop3-link/in-use-for-long", test_in_use_for_long, false},
      {"/store-pop3-link/in-use-at-mount", test_in_use_at_mount, false},
      {"/store-pop3-link/login-delay", test_login_delay, false},
      {"/store-pop3-link/broken-in-the-pause", test_broken_in_the_pause, false},
      {"/store-pop3-link/large", test_large, false},
      {"/store-pop3-link/ahead/by-name", test_ahead, false},
      {"/store-pop3-link/ahead/by-id", test_ahead, true},
      {"/store-pop3-link/ahead/whole", test_ahead_whole, false},
      {"/store-pop3-link/no-copies", test_no_copies, false},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, tests[i].uid_names ? "" : NULL, set_up, tests[i].test,
               store_fixture_tear_down);
  return g_test_run();
}
