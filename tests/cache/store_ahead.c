// Readers who go through a folder find what comes next already here; prefetch=0 fetches nothing
// ahead; and whatever becomes of the folder meanwhile, nobody gets another message's bytes.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define MESSAGES 400

static char *body_of(unsigned i) {
  return g_strdup_printf("Subject: m%04u\r\n\r\n%0500u\r\n", i, i);
}

static void fill(const char *folder, unsigned n) {
  for (unsigned i = 1; i <= n; i++) {
    g_autofree char *subject = g_strdup_printf("m%04u", i), *body = body_of(i);
    fake_add_message(folder, subject, body, -1);
  }
}

// From disk if it is there, as the file system does; true if it had to be waited for.
static bool read_one(StoreFixture *fixture, uint64_t ino, const char *expected) {
  g_auto(Answer) answer = {.body = store_body(fixture->store, ino)};
  bool waited = answer.body == NULL;
  if (waited) {
    store_fetch(fixture->store, ino, take_body, &answer);
    store_fixture_wait(fixture, &answer.done);
  }
  char buffer[1024];
  g_assert_no_error(answer.error);
  ssize_t n = pread(store_body_fd(answer.body), buffer, sizeof buffer, 0);
  g_assert_cmpmem(buffer, (size_t)MAX(n, 0), expected, strlen(expected));
  store_close_body(fixture->store, answer.body);
  return waited;
}

static GArray *open_many(StoreFixture *fixture, uint64_t prefetch_bytes, unsigned connections) {
  fake_add_folder("Many", '/', 0, 3);
  fill("Many", MESSAGES);
  fixture->prefetch_bytes = prefetch_bytes;
  store_fixture_start_online(fixture, connections);
  store_fixture_sync(fixture, "Many", -1);
  return store_fixture_inos(fixture, "Many");
}

static uint64_t awaited;

static bool has_come(StoreFixture *fixture) {
  StoreBody *body = store_body(fixture->store, awaited);
  if (body != NULL) store_close_body(fixture->store, body);
  return body != NULL;
}

// It starts with the third file, and from then on one command brings many: a reader who is slower
// than they come asks for none himself.
static void test_in_order(StoreFixture *fixture, gconstpointer connections) {
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, GPOINTER_TO_UINT(connections));
  for (unsigned i = 0; i < inos->len; i++) {
    g_autofree char *expected = body_of(i + 1);
    awaited = g_array_index(inos, uint64_t, i);
    if (i > 2) store_fixture_wait_until(fixture, has_come);
    read_one(fixture, awaited, expected);
    if (i == 1) g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 2);
  }
  g_assert_cmpuint(fake_calls(FAKE_FETCH), <, MESSAGES / 8);
}

static int compare_names(gconstpointer a, gconstpointer b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

// A shell's `*` has 10.eml before 2.eml: that is the order in which names=uid are read.
static void test_shell_order(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  fixture->uid_names = true;
  g_array_unref(open_many(fixture, 1 << 20, 4));
  for (unsigned i = 1; i <= MESSAGES; i++)
    g_ptr_array_add(names, g_strdup_printf("Many/%u.eml", i));
  g_ptr_array_sort(names, compare_names);
  for (unsigned i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    g_autofree char *expected = body_of((unsigned)atoi(name + strlen("Many/")));
    awaited = store_fixture_find(fixture, name);
    if (i > 2) store_fixture_wait_until(fixture, has_come);
    read_one(fixture, awaited, expected);
  }
  g_assert_cmpuint(fake_calls(FAKE_FETCH), <, MESSAGES / 8);
}

static void test_off(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_many(fixture, 0, 4);
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *expected = body_of(i + 1);
    g_assert_true(read_one(fixture, g_array_index(inos, uint64_t, i), expected));
  }
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 20);
}

// Who reads here and there gets what he reads.
static void test_random(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, 4);
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  g_autoptr(GHashTable) read = g_hash_table_new(NULL, NULL);
  for (unsigned i = 0; i < 40; i++) {
    unsigned at = (unsigned)g_rand_int_range(random, 0, MESSAGES);
    g_autofree char *expected = body_of(at + 1);
    read_one(fixture, g_array_index(inos, uint64_t, at), expected);
    g_hash_table_add(read, GUINT_TO_POINTER(at + 1));
  }
  g_assert_cmpuint(fake_calls(FAKE_FETCH), <=, g_hash_table_size(read));
}

// When the reader stops, so does what is fetched for him: within a window, which for a reader of a
// few small messages is 256 KiB at first and doubles.
static void test_stops(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, 4);
  for (unsigned i = 0; i < 5; i++) {
    g_autofree char *expected = body_of(i + 1);
    read_one(fixture, g_array_index(inos, uint64_t, i), expected);
  }
  store_fixture_sync(fixture, "Many", -1);
  uint64_t bytes = fake_bytes();
  store_fixture_sync(fixture, "Many", -1);
  g_assert_cmpuint(bytes, <=, 5 * 520 + 256 * 1024);
}

// While a message that will be wanted is held back with others, a reader who wants it now gets it
// on another connection.
static void test_hurry(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, 1);
  fake_hold(FAKE_FETCH);
  Answer answers[3] = {0};
  for (unsigned i = 0; i < 3; i++)
    store_fetch(fixture->store, g_array_index(inos, uint64_t, i), take_body, &answers[i]);
  g_auto(Answer) later = {0};
  store_fetch(fixture->store, g_array_index(inos, uint64_t, 150), take_body, &later);
  fake_release(FAKE_FETCH);
  store_fixture_wait(fixture, &later.done);
  g_autofree char *expected = body_of(151);
  assert_body(fixture, &later, expected);
  for (unsigned i = 0; i < 3; i++) {
    store_fixture_wait(fixture, &answers[i].done);
    store_close_body(fixture->store, answers[i].body);
  }
}

// Messages that are recognised wherever they are: number `first` has the first free UID.
static void fill_named(unsigned first, unsigned last) {
  for (unsigned i = first; i <= last; i++) {
    g_autofree char *subject = g_strdup_printf("m%04u", i), *text = body_of(i);
    g_autofree char *id = g_strdup_printf("E%u", i);
    fake_set_email_id("Many", fake_add_message("Many", subject, text, -1), id);
  }
}

static GArray *open_named(StoreFixture *fixture, uint64_t prefetch_bytes) {
  fake_add_folder("Many", '/', 0, 3);
  fill_named(1, MESSAGES);
  fixture->prefetch_bytes = prefetch_bytes;
  store_fixture_start_online(fixture, 4);
  store_fixture_sync(fixture, "Many", -1);
  return store_fixture_inos(fixture, "Many");
}

// The server made the folder anew, with another UIDVALIDITY, and its first messages are no more:
// the UIDs that they had are others' now.
static void renumber(unsigned first) {
  fake_remove_folder("Many");
  fake_add_folder("Many", '/', 0, 4);
  fill_named(first, MESSAGES);
}

// A message that is gone is gone, and never another one's bytes; those that are left are
// themselves.
static void test_renumbered(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_named(fixture, 0);
  renumber(3);
  for (unsigned i = 0; i < 2; i++) {
    g_auto(Answer) gone = {0};
    store_fetch(fixture->store, g_array_index(inos, uint64_t, i), take_body, &gone);
    store_fixture_wait(fixture, &gone.done);
    g_assert_error(gone.error, NET_ERROR, NET_ERROR_GONE);
  }
  for (unsigned i = 2; i < 20; i++) {
    g_autofree char *expected = body_of(i + 1);
    read_one(fixture, g_array_index(inos, uint64_t, i), expected);
  }
}

// The same for what is fetched ahead, some of which is gone, some not; and for a connection that
// breaks before the renumbering is noticed.
static void test_renumbered_ahead(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_named(fixture, 1 << 20);
  for (unsigned i = 0; i < 2; i++) {
    g_autofree char *expected = body_of(i + 1);
    read_one(fixture, g_array_index(inos, uint64_t, i), expected);
  }
  renumber(11);
  fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
  for (unsigned i = 2; i < 100; i++) {
    g_autofree char *expected = body_of(i + 1);
    uint64_t ino = g_array_index(inos, uint64_t, i);
    g_auto(Answer) answer = {.body = store_body(fixture->store, ino)};
    if (answer.body == NULL) {
      store_fetch(fixture->store, ino, take_body, &answer);
      store_fixture_wait(fixture, &answer.done);
    }
    if (i < 10)
      g_assert_error(answer.error, NET_ERROR, NET_ERROR_GONE);
    else
      assert_body(fixture, &answer, expected);
  }
}

// Of what another folder has already, a file is linked; once, also when the connection on which the
// rest was to come breaks and all of it is done again.
static void test_twins(StoreFixture *fixture, gconstpointer data) {
  fake_add_folder("Many", '/', 0, 3);
  fake_add_folder("Twin", '/', 0, 5);
  fill("Many", 40);
  fill("Twin", 40);
  for (unsigned i = 1; i <= 40; i++) {
    g_autofree char *id = g_strdup_printf("E%u", i);
    fake_set_email_id("Many", i, id);
    if (i % 2 == 1) fake_set_email_id("Twin", i, id);
  }
  fixture->prefetch_bytes = 1 << 20;
  store_fixture_start_online(fixture, 2);
  store_fixture_sync(fixture, "Many", -1);
  store_fixture_sync(fixture, "Twin", -1);
  g_autoptr(GArray) many = store_fixture_inos(fixture, "Many");
  g_autoptr(GArray) twins = store_fixture_inos(fixture, "Twin");
  for (unsigned i = 0; i < many->len; i++) {
    g_autofree char *text = body_of(i + 1);
    read_one(fixture, g_array_index(many, uint64_t, i), text);
  }
  for (unsigned i = 0; i < twins->len; i++) {
    g_autofree char *text = body_of(i + 1);
    if (i == 2) fake_fail(FAKE_FETCH, NET_ERROR_OFFLINE, 1);
    read_one(fixture, g_array_index(twins, uint64_t, i), text);
    // What comes behind may end before the next one is read.
    if (i == 2) store_fixture_sync(fixture, "Twin", -1);
  }
}

// Of messages some of which were expunged a server may leave out others too: each is asked for once
// more by itself before it is taken for gone.
static void test_left_out(StoreFixture *fixture, gconstpointer data) {
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, 4);
  const unsigned left_out[] = {1, 2, 10, 11, 50};
  for (unsigned i = 0; i < G_N_ELEMENTS(left_out); i++)
    fake_leave_out("Many", left_out[i], 1);
  for (unsigned i = 0; i < 100; i++) {
    g_autofree char *expected = body_of(i + 1);
    read_one(fixture, g_array_index(inos, uint64_t, i), expected);
  }
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
    unsigned connections;
  } tests[] = {
      {"/store-ahead/in-order/1", test_in_order, 1},
      {"/store-ahead/in-order/2", test_in_order, 2},
      {"/store-ahead/in-order/4", test_in_order, 4},
      {"/store-ahead/shell-order", test_shell_order, 0},
      {"/store-ahead/off", test_off, 0},
      {"/store-ahead/random", test_random, 0},
      {"/store-ahead/stops", test_stops, 0},
      {"/store-ahead/hurry", test_hurry, 0},
      {"/store-ahead/renumbered", test_renumbered, 0},
      {"/store-ahead/renumbered-ahead", test_renumbered_ahead, 0},
      {"/store-ahead/twins", test_twins, 0},
      {"/store-ahead/left-out", test_left_out, 0},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, GUINT_TO_POINTER(tests[i].connections),
               store_fixture_set_up, tests[i].test, store_fixture_tear_down);
  return g_test_run();
}
