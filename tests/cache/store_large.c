// A large message is open as soon as its size is sure, and moves no more than is read of it or will
// be; its size and every byte are right whatever the server says, however often it is opened, and
// whatever becomes of it meanwhile.

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

#define LARGE_BYTES 3000000

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
  fake_set_email_id("Large", fake_add_message("Large", "large", body, size_told), "E1");
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
  unsigned quirks;
} Lie;

// Whatever size the server told, the size is right when the body is open, and so is every byte.
static void test_lie(StoreFixture *fixture, gconstpointer data) {
  const Lie *lie = data;
  g_autofree char *body = large_body(lie->size);
  g_auto(Answer) answer = {0};
  fake_be(lie->quirks);
  uint64_t ino = open_large(fixture, body, lie->told, 4, &answer);
  g_assert_cmpuint(store_body_size(answer.body), ==, lie->size);
  Inode inode;
  store_get(fixture->store, ino, &inode);
  g_assert_cmpuint(inode.size, ==, lie->size);
  for (uint64_t at = 0; at < lie->size; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  store_close_body(fixture->store, answer.body);
}

// A server that knows no parts sent all of it already.
static void test_no_parts(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(600000);
  g_auto(Answer) answer = {0};
  fake_be(FAKE_NO_PARTS);
  open_large(fixture, body, -1, 4, &answer);
  g_assert_cmpuint(fake_calls(FAKE_FETCH), ==, 1);
  g_assert_true(store_body_is_whole(answer.body));
  read_range(fixture, answer.body, 0, 600000, body);
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

// Waits for a part that is held back in the server, as a reader who then gives up would.
static void leave_a_part_under_way(StoreFixture *fixture, StoreBody *body) {
  g_auto(Answer) part = {0};
  fake_hold(FAKE_FETCH);
  StoreTicket *ticket = store_want(fixture->store, body, 1 << 20, 131072, take_done, &part);
  fake_await_held(FAKE_FETCH);
  store_cancel(ticket);
  store_close_body(fixture->store, body);
  g_assert_false(part.done);
}

// What is here of it, or else from the server.
static StoreBody *open_again(StoreFixture *fixture, uint64_t ino) {
  g_auto(Answer) answer = {.body = store_body(fixture->store, ino)};
  if (answer.body == NULL) {
    store_fetch(fixture->store, ino, take_body, &answer);
    store_fixture_wait(fixture, &answer.done);
  }
  g_assert_no_error(answer.error);
  return answer.body;
}

// Who opens a large message again while a part of it is under way has the same file, with what is
// here of it, at once; also while it is put in its place.
static void test_reopened(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  uint64_t ino = open_large(fixture, body, -1, 4, &answer);
  leave_a_part_under_way(fixture, answer.body);
  StoreBody *again = store_body(fixture->store, ino);
  g_assert_nonnull(again);
  g_assert_cmpuint(store_body_size(again), ==, LARGE_BYTES);
  fake_release(FAKE_FETCH);
  for (uint64_t at = 0; at < LARGE_BYTES; at += 131072) {
    // From the start, for it may have been opened anew.
    for (uint64_t before = 0; before <= at; before += 131072)
      read_range(fixture, again, before, 131072, body);
    store_close_body(fixture->store, again);
    again = open_again(fixture, ino);
  }
  store_fixture_wait_until(fixture, is_sealed);
  read_range(fixture, again, 5, 100, body);
  store_close_body(fixture->store, again);
}

static uint64_t closed;

static bool is_forgotten(StoreFixture *fixture) {
  StoreBody *body = store_body(fixture->store, closed);
  if (body != NULL) store_close_body(fixture->store, body);
  return body == NULL;
}

// The same, and closed a second time before the part ends: then it goes, with its file.
static void test_reopened_and_closed(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  closed = open_large(fixture, body, -1, 4, &answer);
  leave_a_part_under_way(fixture, answer.body);
  store_close_body(fixture->store, store_body(fixture->store, closed));
  fake_release(FAKE_FETCH);
  store_fixture_wait_until(fixture, is_forgotten);
}

// There is one of it even if it is fetched a second time while it is open.
static void test_fetched_twice(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0}, again = {0};
  uint64_t ino = open_large(fixture, body, -1, 4, &answer);
  g_auto(Answer) part = {0};
  store_want(fixture->store, answer.body, 1 << 20, 131072, take_done, &part);
  store_fetch(fixture->store, ino, take_body, &again);
  store_fixture_wait(fixture, &again.done);
  store_fixture_wait(fixture, &part.done);
  g_assert_no_error(again.error);
  g_assert_true(again.body == answer.body);
  read_range(fixture, again.body, 1 << 20, 131072, body);
  store_close_body(fixture->store, answer.body);
  store_close_body(fixture->store, again.body);
}

static StoreBody *open_until_told;

static void close_and_take(const GError *error, gpointer data) {
  store_close_body(((StoreFixture *)data)->store, open_until_told);
  open_until_told = NULL;
}

static bool was_told(StoreFixture *fixture) {
  return open_until_told == NULL;
}

// It may be closed by who is told that a part came.
static void test_closed_when_told(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  closed = open_large(fixture, body, -1, 4, &answer);
  open_until_told = answer.body;
  store_want(fixture->store, answer.body, 2 << 20, 65536, close_and_take, fixture);
  store_fixture_wait_until(fixture, was_told);
  store_fixture_wait_until(fixture, is_forgotten);
}

// Three messages in one folder, on one connection, whose server tells only behind the bytes whose
// they were, and answers what is under way in another order: everybody gets his own.
static void test_mixed(StoreFixture *fixture, gconstpointer quirks) {
  g_autofree char *first = large_body(LARGE_BYTES), *second = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0}, other = {0}, small = {0};
  Answer parts[8] = {0};
  fake_be(GPOINTER_TO_UINT(quirks));
  memset(second + 1000, '#', LARGE_BYTES - 1000);
  open_large(fixture, first, -1, 1, &answer);
  fake_add_message("Large", "second", second, -1);
  fake_add_message("Large", "small", "Subject: small\r\n\r\nsmall\r\n", -1);
  store_fixture_sync(fixture, "Large", -1);
  g_autoptr(GArray) inos = store_fixture_inos(fixture, "Large");
  // While one part is held back, all that is wanted next gathers.
  fake_hold(FAKE_FETCH);
  store_want(fixture->store, answer.body, 1 << 20, 1000, take_done, &parts[0]);
  fake_await_held(FAKE_FETCH);
  store_fetch(fixture->store, g_array_index(inos, uint64_t, 1), take_body, &other);
  store_fetch(fixture->store, g_array_index(inos, uint64_t, 2), take_body, &small);
  fake_release(FAKE_FETCH);
  store_fixture_wait(fixture, &other.done);
  store_fixture_wait(fixture, &small.done);
  g_assert_no_error(other.error);
  assert_body(fixture, &small, "Subject: small\r\n\r\nsmall\r\n");
  fake_hold(FAKE_FETCH);
  store_want(fixture->store, answer.body, 2 << 20, 1000, take_done, &parts[1]);
  fake_await_held(FAKE_FETCH);
  for (unsigned i = 0; i < 3; i++) {
    uint64_t offset = (8 + 2 * i) << 16;
    store_want(fixture->store, answer.body, offset, 1000, take_done, &parts[2 + 2 * i]);
    store_want(fixture->store, other.body, offset, 1000, take_done, &parts[3 + 2 * i]);
  }
  fake_release(FAKE_FETCH);
  for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
    store_fixture_wait(fixture, &parts[i].done);
    g_assert_no_error(parts[i].error);
  }
  for (uint64_t at = 0; at < LARGE_BYTES; at += 131072) {
    read_range(fixture, answer.body, at, 131072, first);
    read_range(fixture, other.body, at, 131072, second);
  }
  store_close_body(fixture->store, answer.body);
  store_close_body(fixture->store, other.body);
}

// A part that was left out is asked for once more by itself, and so is an opening.
static void test_part_left_out(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0}, again = {0};
  uint64_t ino = open_large(fixture, body, -1, 4, &answer);
  fake_leave_out("Large", 1, 1);
  read_range(fixture, answer.body, 2000000, 1000, body);
  store_close_body(fixture->store, answer.body);
  fake_leave_out("Large", 1, 1);
  store_fetch(fixture->store, ino, take_body, &again);
  store_fixture_wait(fixture, &again.done);
  g_assert_no_error(again.error);
  read_range(fixture, again.body, 2000000, 1000, body);
  // Now it is gone indeed.
  fake_remove_message("Large", 1);
  g_auto(Answer) gone = {0};
  store_want(fixture->store, again.body, 1000000, 1000, take_done, &gone);
  store_fixture_wait(fixture, &gone.done);
  g_assert_error(gone.error, NET_ERROR, NET_ERROR_GONE);
  read_range(fixture, again.body, 2000000, 1000, body);
  store_close_body(fixture->store, again.body);
}

// Who has read some of a large message in order can read it to its end although it is expunged
// while he rests: it comes ahead of him, all of it. It does not for one who looked at its
// beginning.
static void test_finished_ahead(StoreFixture *fixture, gconstpointer data) {
  const uint64_t size = 16000000, begun = 1 << 20;
  g_autofree char *body = large_body(size);
  g_auto(Answer) answer = {0};
  open_large(fixture, body, -1, 4, &answer);
  read_range(fixture, answer.body, 0, 262144, body);
  store_fixture_sync(fixture, "Large", -1);
  g_assert_cmpuint(fake_bytes(), ==, 262144 + 1);
  for (uint64_t at = 262144; at < begun; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  store_fixture_wait_until(fixture, is_sealed);
  fake_remove_message("Large", 1);
  for (uint64_t at = begun; at < size; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  g_assert_cmpuint(fake_bytes(), <=, size + 1);
  store_close_body(fixture->store, answer.body);
}

// Of a message that is larger than the whole cache may be no more lies on disk than what was read,
// and it can be read all the same.
static void test_larger_than_cache(StoreFixture *fixture, gconstpointer data) {
  g_autofree char *body = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  struct stat status;
  fixture->cache_bytes = 1 << 20;
  open_large(fixture, body, -1, 4, &answer);
  g_assert_cmpint(fstat(store_body_fd(answer.body), &status), ==, 0);
  g_assert_cmpint(status.st_size, ==, LARGE_BYTES);
  g_assert_cmpint(status.st_blocks * 512, <=, 512 * 1024);
  for (uint64_t at = 0; at < LARGE_BYTES; at += 131072)
    read_range(fixture, answer.body, at, 131072, body);
  store_close_body(fixture->store, answer.body);
}

// The folder is renumbered while a large message is open: what is missing of it comes from where it
// is now, and if it is gone from nowhere.
static void test_large_renumbered(StoreFixture *fixture, gconstpointer is_gone) {
  g_autofree char *body = large_body(LARGE_BYTES), *other = large_body(LARGE_BYTES);
  g_auto(Answer) answer = {0};
  memset(other, '#', LARGE_BYTES);
  open_large(fixture, body, -1, 4, &answer);
  fake_remove_folder("Large");
  fake_add_folder("Large", '/', 0, 4);
  fake_add_message("Large", "other", other, -1);
  if (!is_gone) fake_set_email_id("Large", fake_add_message("Large", "large", body, -1), "E1");
  g_auto(Answer) part = {0};
  store_want(fixture->store, answer.body, 2 << 20, 65536, take_done, &part);
  store_fixture_wait(fixture, &part.done);
  if (is_gone)
    g_assert_error(part.error, NET_ERROR, NET_ERROR_GONE);
  else
    read_range(fixture, answer.body, 2 << 20, 65536, body);
  store_close_body(fixture->store, answer.body);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
    unsigned data;
  } tests[] = {
      {"/store-large/head", test_head_of_large, 0},
      {"/store-large/whole/1", test_whole_large, 1},
      {"/store-large/whole/4", test_whole_large, 4},
      {"/store-large/again", test_large_again, 0},
      {"/store-large/part-fails", test_part_fails, 0},
      {"/store-large/reopened", test_reopened, 0},
      {"/store-large/reopened-and-closed", test_reopened_and_closed, 0},
      {"/store-large/renumbered", test_large_renumbered, 0},
      {"/store-large/renumbered-gone", test_large_renumbered, 1},
      {"/store-large/left-out", test_part_left_out, 0},
      {"/store-large/no-parts", test_no_parts, 0},
      {"/store-large/mixed/swapped", test_mixed, FAKE_SWAPS},
      {"/store-large/mixed/uid-last", test_mixed, FAKE_UID_LAST},
      {"/store-large/mixed/both", test_mixed, FAKE_UID_LAST | FAKE_SWAPS},
      {"/store-large/finished-ahead", test_finished_ahead, 0},
      {"/store-large/larger-than-cache", test_larger_than_cache, 0},
      {"/store-large/fetched-twice", test_fetched_twice, 0},
      {"/store-large/closed-when-told", test_closed_when_told, 0},
  };
  static const Lie lies[] = {
      {"too-small", 600000, 590000},
      {"far-too-small", 900000, 400000},
      {"too-big", 600000, 610000},
      {"small-told-big", 1000, 5000000},
      {"one-off", 600001, 600000},
      {"first-part-exactly", 262144, 600000},
      {"no-parts", 600000, 600000, FAKE_NO_PARTS},
      {"no-parts-too-small", 600000, 590000, FAKE_NO_PARTS},
      {"no-parts-too-big", 600000, 610000, FAKE_NO_PARTS},
      {"sends-more-too-small", 500000, 400000, FAKE_SENDS_MORE},
      {"sends-more-too-big", 500000, 600000, FAKE_SENDS_MORE},
      {"sends-more", 500000, 500000, FAKE_SENDS_MORE},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, GUINT_TO_POINTER(tests[i].data), store_fixture_set_up,
               tests[i].test, store_fixture_tear_down);
  for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
    g_autofree char *path = g_strconcat("/store-large/lie/", lies[i].name, NULL);
    g_test_add(path, StoreFixture, &lies[i], store_fixture_set_up, test_lie,
               store_fixture_tear_down);
  }
  return g_test_run();
}
