// The cache takes no more room than it may: what is kept for readers to come is little and not for
// long, what nobody knows of goes, and on a full disk bodies make room for what tells of new mail.

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/cache/store_fixture.h"

// What a walk through the bodies finds.
typedef struct {
  uint64_t bytes;
  unsigned files;
} Found;

static Found look_at_bodies(const char *directory) {
  Found found = {0};
  for (unsigned i = 0; i < 256; i++) {
    g_autofree char *path = g_strdup_printf("%s/bodies/%02x", directory, i);
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
    for (const char *name; entries != NULL && (name = g_dir_read_name(entries)) != NULL;) {
      g_autofree char *file = g_build_filename(path, name, NULL);
      struct stat status;
      if (stat(file, &status) != 0) continue;
      found.bytes += (uint64_t)status.st_size;
      found.files++;
    }
  }
  return found;
}

static bool holds_no_body_open(StoreFixture *fixture) {
  g_autoptr(GDir) entries = g_dir_open("/proc/self/fd", 0, NULL);
  g_autofree char *bodies = g_strconcat(fixture->directory, "/bodies/", NULL);
  for (const char *name; (name = g_dir_read_name(entries)) != NULL;) {
    g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
    g_autofree char *target = g_file_read_link(path, NULL);
    if (target != NULL && g_str_has_prefix(target, bodies)) return false;
  }
  return true;
}

static char *body_of(unsigned i, unsigned size) {
  return g_strdup_printf("Subject: m%u\r\n\r\n%0*u\r\n", i, (int)size, i);
}

static void fill(const char *folder, unsigned n, unsigned size) {
  for (unsigned i = 1; i <= n; i++) {
    g_autofree char *subject = g_strdup_printf("m%04u", i), *body = body_of(i, size);
    fake_add_message(folder, subject, body, -1);
  }
}

static bool collect_ino(const Inode *inode, gpointer inos) {
  g_array_append_val((GArray *)inos, inode->ino);
  return true;
}

static GArray *list_inos(StoreFixture *fixture, const char *folder) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  store_fixture_sync(fixture, folder, -1);
  store_children(fixture->store, store_fixture_find(fixture, folder), 0, collect_ino, inos);
  return inos;
}

static void read_any(StoreFixture *fixture, uint64_t ino) {
  g_auto(Answer) answer = {.body = store_body(fixture->store, ino)};
  if (answer.body == NULL) {
    store_fetch(fixture->store, ino, take_body, &answer);
    store_fixture_wait(fixture, &answer.done);
    g_assert_no_error(answer.error);
  }
  store_close_body(fixture->store, answer.body);
}

// Readers who begin and stop leave behind what was fetched for them: it is not kept open, so that
// it goes when the cache is full.
static void test_kept(StoreFixture *fixture, gconstpointer data) {
  fixture->cache_bytes = 1 << 20;
  fixture->prefetch_bytes = 1 << 20;
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *folder = g_strdup_printf("Many%u", i);
    fake_add_folder(folder, '/', 0, 3);
    fill(folder, 20, 20000);
  }
  store_fixture_start_online(fixture, 4);
  for (unsigned i = 0; i < 20; i++) {
    g_autofree char *folder = g_strdup_printf("Many%u", i);
    g_autoptr(GArray) inos = list_inos(fixture, folder);
    for (unsigned j = 0; j < 3; j++)
      read_any(fixture, g_array_index(inos, uint64_t, j));
  }
  store_fixture_wait_until(fixture, holds_no_body_open);
  g_autoptr(GArray) last = list_inos(fixture, "INBOX");
  read_any(fixture, g_array_index(last, uint64_t, 0));
  store_fixture_sync(fixture, "INBOX", -1);
  g_assert_cmpuint(look_at_bodies(fixture->directory).bytes, <=, fixture->cache_bytes);
}

static unsigned expected_files;

static bool is_swept(StoreFixture *fixture) {
  return look_at_bodies(fixture->directory).files == expected_files;
}

static void remove_index(StoreFixture *fixture) {
  static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *path = g_build_filename(fixture->directory, names[i], NULL);
    g_unlink(path);
  }
}

// What an index that was deleted knew of, and what a crash left, is removed behind the readers;
// what is known stays, and so does what is not ours.
static void test_orphans(StoreFixture *fixture, gconstpointer data) {
  store_fixture_start_online(fixture, 2);
  g_autoptr(GArray) inos = list_inos(fixture, "INBOX");
  for (unsigned i = 0; i < inos->len; i++)
    read_any(fixture, g_array_index(inos, uint64_t, i));
  store_fixture_sync(fixture, "INBOX", -1);
  g_clear_pointer(&fixture->store, store_free);
  g_autofree char *shelf = g_build_filename(fixture->directory, "bodies", "34", NULL);
  g_autofree char *orphan = g_build_filename(shelf, "1234", NULL);
  g_autofree char *other = g_build_filename(shelf, "notes", NULL);
  g_mkdir(shelf, 0700);
  g_assert_true(g_file_set_contents(orphan, "left", -1, NULL));
  g_assert_true(g_file_set_contents(other, "mine", -1, NULL));
  expected_files = 3;
  store_fixture_start_online(fixture, 2);
  store_fixture_wait_until(fixture, is_swept);
  g_assert_false(g_file_test(orphan, G_FILE_TEST_EXISTS));
  g_assert_true(g_file_test(other, G_FILE_TEST_EXISTS));
  StoreBody *body = store_body(fixture->store, g_array_index(inos, uint64_t, 1));
  g_assert_nonnull(body);
  store_close_body(fixture->store, body);

  g_clear_pointer(&fixture->store, store_free);
  remove_index(fixture);
  expected_files = 1;
  store_fixture_start_online(fixture, 2);
  store_fixture_wait_until(fixture, is_swept);
}

static void count_warning(const char *domain, GLogLevelFlags level, const char *message,
                          gpointer count) {
  g_test_message("%s", message);
  g_atomic_int_inc((gint *)count);
}

// The cache filled its disk with bodies, and then much mail comes: it is shown all the same,
// and said once.
static void test_full(StoreFixture *fixture, gconstpointer data) {
  gint warnings = 0;
  g_log_set_always_fatal(G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL);
  guint handler = g_log_set_handler("mailfs-cache", G_LOG_LEVEL_WARNING, count_warning, &warnings);
  g_assert_cmpint(mount("mailfs-test", fixture->directory, "tmpfs", 0, "size=24m"), ==, 0);
  fake_add_folder("Many", '/', 0, 3);
  fill("Many", 150, 200000);
  store_fixture_start_online(fixture, 2);
  g_autoptr(GArray) inos = list_inos(fixture, "Many");
  for (unsigned i = 0; i < inos->len; i++)
    read_any(fixture, g_array_index(inos, uint64_t, i));
  Found before = look_at_bodies(fixture->directory);
  g_assert_cmpuint(before.bytes, <, 24 << 20);
  for (unsigned i = 0; i < 3000; i++) {
    g_autofree char *subject =
        g_strdup_printf("%u, of which there is much to be said %0100u", i, i);
    fake_add_message("INBOX", subject, "x", -1);
  }
  g_autoptr(GArray) new = list_inos(fixture, "INBOX");
  g_assert_cmpuint(new->len, ==, 3002);
  // What is left or was evicted can be read.
  for (unsigned i = 0; i < 3; i++)
    read_any(fixture, g_array_index(inos, uint64_t, i));
  g_clear_pointer(&fixture->store, store_free);
  g_log_remove_handler("mailfs-cache", handler);
  g_assert_cmpint(warnings, ==, 1);
  g_assert_cmpint(umount2(fixture->directory, MNT_DETACH), ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  // A mount namespace of our own, for a small disk that can be filled.
  int own = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  g_assert_cmpint(unshare(own), ==, 0);
  g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  static const struct {
    const char *path;
    void (*test)(StoreFixture *fixture, gconstpointer data);
  } tests[] = {
      {"/store-room/kept", test_kept},
      {"/store-room/orphans", test_orphans},
      {"/store-room/full", test_full},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, StoreFixture, NULL, store_fixture_set_up, tests[i].test,
               store_fixture_tear_down);
  return g_test_run();
}
