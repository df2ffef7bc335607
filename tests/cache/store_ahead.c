// Readers who go through a folder find what comes next already here; a large message is open as
// soon as its size is sure and moves no more than is read of it; prefetch=0 fetches nothing ahead.

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define MESSAGES 400
#define LARGE_BYTES 3000000

static char *body_of(unsigned i) {
  return g_strdup_printf("Subject: m%04u\r\n\r\n%0500u\r\n", i, i);
}

static void fill(const char *folder, unsigned n) {
  for (unsigned i = 1; i <= n; i++) {
    g_autofree char *subject = g_strdup_printf("m%04u", i), *body = body_of(i);
    fake_add_message(folder, subject, body, -1);
  }
}

static bool collect_ino(const Inode *inode, gpointer inos) {
  g_array_append_val((GArray *)inos, inode->ino);
  return true;
}

static GArray *list_inos(StoreFixture *fixture, uint64_t folder) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  store_children(fixture->store, folder, 0, collect_ino, inos);
  return inos;
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
  return list_inos(fixture, store_fixture_find(fixture, "Many"));
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
  g_autoptr(GArray) inos = open_many(fixture, 1 << 20, 4);
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

// ---- Large messages.

static char *large_body(size_t size) {
  char *body = g_malloc(size + 1);
  for (size_t i = 0; i < size; i++)
    body[i] = (char)('a' + (i / 7 + i / 4096) % 26);
  body[size] = '\0';
  return body;
}

static uint64_t open_large(StoreFixture *fixture, const char *body, int64_t size_told,
                           unsigned connections, Answer *answer) {
  fake_add_folder("Large", '/', 0, 3);
  fake_add_message("Large", "large", body, size_told);
  fixture->prefetch_bytes = 64 << 20;
  store_fixture_start_online(fixture, connections);
  store_fixture_sync(fixture, "Large", -1);
  uint64_t ino = store_fixture_find(fixture, "Large/2023-11-14_2213_alice@example.org_large,1.eml");
  store_fetch(fixture->store, ino, take_body, answer);
  store_fixture_wait(fixture, &answer->done);
  g_assert_no_error(answer->error);
  return ino;
}

static void read_range(StoreFixture *fixture, StoreBody *body, uint64_t offset, size_t size,
                       const char *expected) {
  g_autofree char *buffer = g_malloc(size);
  if (!store_body_is_ready(body, offset, size)) {
    g_auto(Answer) answer = {0};
    store_want(fixture->store, body, offset, size, take_done, &answer);
    store_fixture_wait(fixture, &answer.done);
    g_assert_no_error(answer.error);
  }
  g_assert_true(store_body_is_ready(body, offset, size));
  ssize_t n = pread(store_body_fd(body), buffer, size, (off_t)offset);
  g_assert_cmpmem(buffer, (size_t)MAX(n, 0), expected + offset, (size_t)MAX(n, 0));
  g_assert_cmpint(n, ==, MIN(size, store_body_size(body) - offset));
}

static void test_head_of_large(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  uint64_t ino = open_large(fixture, body, -1, 4, &answer);
  g_assert_cmpuint(store_body_size(answer.body), ==, LARGE_BYTES);
  read_range(fixture, answer.body, 0, 131072, body);
  g_assert_cmpuint(fake_bytes(), <=, 256 * 1024 + 1);
  // Another reader shares what is here.
  StoreBody *shared = store_body(fixture->store, ino);
  g_assert_nonnull(shared);
  store_close_body(fixture->store, answer.body);
  read_range(fixture, shared, LARGE_BYTES - 1000, 5000, body);
  store_close_body(fixture->store, shared);
  g_assert_cmpuint(fake_bytes(), <, LARGE_BYTES / 3);
}

static bool is_sealed(StoreFixture *fixture) {
  Inode inode;
  uint64_t ino = store_fixture_find(fixture, "Large/2023-11-14_2213_alice@example.org_large,1.eml");
  store_get(fixture->store, ino, &inode);
  g_autofree char *path = g_strdup_printf("%s/bodies/%02x/%" G_GINT64_MODIFIER "x",
                                          fixture->directory, (unsigned)(ino & 0xff), ino);
  return g_file_test(path, G_FILE_TEST_EXISTS) && inode.size_exact;
}

static void test_whole_large(StoreFixture *fixture, gconstpointer connections) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  uint64_t ino = open_large(fixture, body, -1, GPOINTER_TO_UINT(connections), &answer);
  for (uint64_t at = 0; at < LARGE_BYTES; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  // Parts were asked for ahead of the reader, each byte once.
  g_assert_cmpuint(fake_bytes(), <=, LARGE_BYTES + 1);
  store_fixture_wait_until(fixture, is_sealed);
  read_range(fixture, answer.body, 5, 100, body);
  store_close_body(fixture->store, answer.body);
  g_clear_pointer(&fixture->store, store_free);
  store_fixture_start_online(fixture, 2);
  StoreBody *again = store_body(fixture->store, ino);
  g_assert_nonnull(again);
  read_range(fixture, again, LARGE_BYTES / 2, 1000, body);
  store_close_body(fixture->store, again);
}

// What is fetched anew may be others than the bytes that came before, for all that is known when
// it is open.
static void test_large_again(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) first = {0}, again = {0};
  uint64_t ino = open_large(fixture, body, -1, 2, &first);
  g_assert_cmpuint(store_edition(fixture->store, ino), ==, 0);
  store_close_body(fixture->store, first.body);
  store_fixture_sync(fixture, "Large", -1);
  store_fetch(fixture->store, ino, take_body, &again);
  store_fixture_wait(fixture, &again.done);
  g_assert_cmpuint(store_edition(fixture->store, ino), ==, 1);
  store_close_body(fixture->store, again.body);
}

typedef struct {
  const char *name;
  size_t size;
  int64_t told;
} Lie;

// Whatever size the server told, the size is right when the body is open, and so is every byte.
static void test_lie(StoreFixture *fixture, gconstpointer data) {
  const Lie *lie = data;
  g_autofree char *body = large_body(lie->size);
  g_auto(Answer) answer = {0};
  uint64_t ino = open_large(fixture, body, lie->told, 4, &answer);
  g_assert_cmpuint(store_body_size(answer.body), ==, lie->size);
  Inode inode;
  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, lie->size);
  for (uint64_t at = 0; at < lie->size; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  store_close_body(fixture->store, answer.body);
}

// An error of one part is the error of those who wait for it; a later try can succeed.
static void test_part_fails(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  open_large(fixture, body, -1, 2, &answer);
  fake_fail(FAKE_FETCH, NET_ERROR_REFUSED, 1);
  g_auto(Answer) refused = {0};
  store_want(fixture->store, answer.body, 2000000, 1000, take_done, &refused);
  store_fixture_wait(fixture, &refused.done);
  g_assert_error(refused.error, NET_ERROR, NET_ERROR_REFUSED);
  read_range(fixture, answer.body, 2000000, 1000, body);
  fake_fail(FAKE_FETCH, NET_ERROR_BUSY, 1);
  read_range(fixture, answer.body, 1000000, 1000, body);
  StoreTicket *ticket = store_want(fixture->store, answer.body, 1500000, 1000, take_done, &refused);
  store_cancel(ticket);
  store_close_body(fixture->store, answer.body);
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
      {"/store-large/head", test_head_of_large, 0},
      {"/store-large/whole/1", test_whole_large, 1},
      {"/store-large/whole/4", test_whole_large, 4},
      {"/store-large/again", test_large_again, 0},
      {"/store-large/part-fails", test_part_fails, 0},
  };
  static const Lie lies[] = {
      {"too-small", 600000, 590000}, {"far-too-small", 900000, 400000},
      {"too-big", 600000, 610000},   {"small-told-big", 1000, 5000000},
      {"one-off", 600001, 600000},   {"first-part-exactly", 262144, 600000},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, GUINT_TO_POINTER(tests[i].connections),
               store_fixture_set_up, tests[i].test, store_fixture_tear_down);
  for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
    g_autofree char *path = g_strconcat("/store-large/lie/", lies[i].name, NULL);
    g_test_add(path, StoreFixture, &lies[i], store_fixture_set_up, test_lie,
               store_fixture_tear_down);
  }
  return g_test_run();
}
