// What a user removed is not shown again, whatever the server lists, until it is settled; what the
// archive has stays, whatever the server lists and with a new cache too, under its own name; and a
// ledger that cannot be trusted is neither used nor touched.
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/cache/keeper_fixture.h"

static const char *const three[] = {"aa", "bb", "cc", NULL};
static const char *const four[] = {"aa", "bb", "cc", "dd", NULL};
static const char *const nothing[] = {NULL};

static void assert_shown(KeeperFixture *fixture, const char *expected) {
  g_autofree char *shown = keeper_shown(fixture);
  g_assert_cmpstr(shown, ==, expected);
}

static void assert_removals(KeeperFixture *fixture, const char *expected) {
  g_autofree char *removals = keeper_removals(fixture);
  g_assert_cmpstr(removals, ==, expected);
}

// Hidden from the answer on, while the server still lists it, after a restart and with a new cache;
// with none of its bytes in the way.
static void test_removal(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  assert_shown(fixture, "aa cc ");
  keeper_list(fixture, four);
  assert_shown(fixture, "aa cc dd ");
  keeper_stop(fixture);
  keeper_start(fixture);
  assert_removals(fixture, "bb ");
  assert_shown(fixture, "aa cc dd ");
  keeper_stop(fixture);
  keeper_wipe_cache(fixture);
  keeper_start(fixture);
  keeper_list(fixture, four);
  assert_shown(fixture, "aa cc dd ");
}

// The server has confirmed it: a message of that id that comes later is another one.
static void test_settled(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "bb");
  uint64_t ino = keeper_find(fixture, "bb");
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  keeper_end_one(fixture, KEEPER_SETTLE, "bb");
  g_assert_cmpuint(keeper_find(fixture, "bb"), ==, 0);
  g_autofree char *body = keeper_body_of("bb");
  g_assert_cmpint(body_open(fixture->bodies, ino, strlen(body)), ==, -1);
  keeper_stop(fixture);
  keeper_start(fixture);
  assert_removals(fixture, "");
  keeper_list(fixture, three);
  assert_shown(fixture, "aa cc bb ");
}

// What cannot be removed comes back, archived or not.
static void test_shown_again(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  keeper_end_one(fixture, KEEPER_SHOW, "bb");
  assert_shown(fixture, "aa bb cc ");
  keeper_stop(fixture);
  keeper_start(fixture);
  assert_removals(fixture, "");
  assert_shown(fixture, "aa bb cc ");
}

// Which of several messages of one UIDL a user means, no server can be told; and what is removed
// already is not there.
static void test_refused(KeeperFixture *fixture, gconstpointer data) {
  static const char *const twins[] = {"aa", "bb", "bb-2", NULL};
  keeper_list(fixture, twins);
  keeper_start(fixture);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, ENOTSUP);
  g_assert_cmpint(keeper_remove_one(fixture, "bb-2"), ==, ENOTSUP);
  g_assert_cmpint(keeper_remove_one(fixture, "aa"), ==, 0);
  g_assert_cmpint(keeper_remove_one(fixture, "aa"), ==, ENOENT);
  g_assert_cmpint(keeper_remove_one(fixture, "none"), ==, ENOENT);
  assert_shown(fixture, "bb bb-2 ");
}

static Inode get(KeeperFixture *fixture, const char *id) {
  Inode inode;
  g_autoptr(Index) index = index_open(fixture->index_path, INDEX_WRITE, NULL);
  g_assert_cmpint(index_get(index, keeper_find(fixture, id), &inode), ==, INDEX_FOUND);
  static char name[256];
  g_strlcpy(name, inode.name, sizeof name);
  inode.name = name;
  return inode;
}

// Bodies that are here go into the archive, out of the cache; the rest is told. What is archived
// stays when the server lists it no more, is the same message when it does again, and is all there
// with a new cache, before anything was listed.
static void test_archive(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_bring_body(fixture, "bb");
  keeper_start(fixture);
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  g_assert_no_error(round->error);
  g_assert_cmpuint(round->n_kept, ==, 2);
  g_assert_cmpuint(round->missing->len, ==, 1);
  g_assert_true(round->is_end);
  g_assert_cmpuint(g_array_index(round->missing, IndexStep, 0).ino, ==, keeper_find(fixture, "cc"));
  g_assert_true(keeper_has(fixture, "aa") && keeper_has(fixture, "bb"));
  g_autofree char *body = keeper_body_of("aa");
  g_assert_cmpint(body_open(fixture->bodies, keeper_find(fixture, "aa"), strlen(body)), ==, -1);
  uint64_t ino = keeper_find(fixture, "bb");
  keeper_list(fixture, nothing);
  assert_shown(fixture, "aa bb ");
  keeper_list(fixture, four);
  assert_shown(fixture, "aa bb cc dd ");
  g_assert_cmpuint(keeper_find(fixture, "bb"), ==, ino);
  Inode before = get(fixture, "bb");
  g_autofree char *name = g_strdup(before.name);
  keeper_stop(fixture);
  keeper_wipe_cache(fixture);
  keeper_start(fixture);
  assert_shown(fixture, "aa bb ");
  Inode after = get(fixture, "bb");
  g_assert_cmpstr(after.name, ==, name);
  g_assert_cmpint(after.mtime_ns, ==, before.mtime_ns);
  g_assert_cmpint(after.ctime_ns, ==, before.ctime_ns);
  g_assert_cmpuint(after.size, ==, strlen(body));
  g_assert_true(after.size_exact);
  keeper_list(fixture, four);
  assert_shown(fixture, "aa bb cc dd ");
}

// Removing takes it out of the archive too, there and then.
static void test_removed_from_archive(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "bb");
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  g_assert_true(keeper_has(fixture, "bb"));
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  g_assert_false(keeper_has(fixture, "bb"));
  keeper_list(fixture, nothing);
  keeper_stop(fixture);
  keeper_wipe_cache(fixture);
  keeper_start(fixture);
  assert_removals(fixture, "bb ");
  keeper_list(fixture, three);
  assert_shown(fixture, "aa cc ");
}

// Bytes that are not those that came are not kept for ever, but fetched again; those that cannot
// have a second name are copied.
static void test_bytes(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_start(fixture);
  uint64_t ino = keeper_find(fixture, "aa");
  g_autofree char *path = g_strdup_printf("%s/cache/bodies/%02x/%" G_GINT64_MODIFIER "x",
                                          fixture->directory, (unsigned)(ino & 0xff), ino);
  int fd = open(path, O_WRONLY);
  g_assert_cmpint(pwrite(fd, "X", 1, 3), ==, 1);
  close(fd);
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  g_assert_no_error(round->error);
  g_assert_cmpuint(round->missing->len, ==, 3);
  g_assert_cmpuint(round->n_kept, ==, 0);
  int memory = memfd_create("body", MFD_CLOEXEC);
  g_autofree char *body = keeper_body_of("cc");
  uint8_t sha256[BODY_SHA256_BYTES];
  gsize digest_bytes = sizeof sha256;
  GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);
  g_checksum_update(checksum, (const guchar *)body, (gssize)strlen(body));
  g_checksum_get_digest(checksum, sha256, &digest_bytes);
  g_checksum_free(checksum);
  g_assert_cmpint(write(memory, body, strlen(body)), ==, (ssize_t)strlen(body));
  g_autoptr(GError) error = NULL;
  Archive *archive = keeper_archive(fixture->keeper);
  const char *const cc[] = {"cc"};
  for (int i = 0; i < 2; i++) {
    g_assert_true(archive_lay(archive, "cc", memory, strlen(body), sha256, &error));
    g_assert_true(archive_place(archive, cc, 1, &error));
  }
  close(memory);
  g_assert_true(keeper_has(fixture, "cc"));
  g_assert_false(archive_lay(archive, "../cc", -1, 1, sha256, &error));
  g_assert_error(error, LEDGER_ERROR, EINVAL);
}

static bool has_body(KeeperFixture *fixture, const char *id) {
  IndexMessage message;
  g_autoptr(Index) index = index_open(fixture->index_path, INDEX_WRITE, NULL);
  g_assert_cmpint(index_message(index, keeper_find(fixture, id), &message), ==, INDEX_FOUND);
  return message.has_body;
}

// As keeper_archive_all; the body of a message is at hand in what answers EIO to all reading.
static KeeperJob *archive_with_unreadable(KeeperFixture *fixture, const char *id) {
  KeeperJob *job = keeper_job_new(KEEPER_ARCHIVE);
  uint64_t ino = keeper_find(fixture, id);
  int unreadable = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  char byte;
  g_assert_cmpint(pread(unreadable, &byte, 1, 0), ==, -1);
  g_assert_cmpint(errno, ==, EIO);
  job->most_bytes = 1 << 20;
  job->held = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  g_hash_table_insert(job->held, g_memdup2(&ino, sizeof ino), GINT_TO_POINTER(unreadable + 1));
  KeeperJob *round = keeper_do(fixture, job);
  close(unreadable);
  return round;
}

// A body that cannot be read is in nobody's way: it is out of the cache, and is fetched again.
static void test_unreadable(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_bring_body(fixture, "bb");
  keeper_start(fixture);
  g_autoptr(KeeperJob) round = archive_with_unreadable(fixture, "aa");
  g_assert_no_error(round->error);
  g_assert_cmpuint(round->n_kept, ==, 1);
  g_assert_true(keeper_has(fixture, "bb"));
  g_assert_cmpuint(round->missing->len, ==, 2);
  g_assert_cmpuint(g_array_index(round->missing, IndexStep, 0).ino, ==, keeper_find(fixture, "aa"));
  g_assert_false(has_body(fixture, "aa"));
  g_autofree char *body = keeper_body_of("aa");
  g_assert_cmpint(body_open(fixture->bodies, keeper_find(fixture, "aa"), strlen(body)), ==, -1);
  keeper_bring_body(fixture, "aa");
  g_autoptr(KeeperJob) again = keeper_archive_all(fixture);
  g_assert_cmpuint(again->n_kept, ==, 1);
  g_assert_true(keeper_has(fixture, "aa"));
}

static void count_told(const char *domain, GLogLevelFlags level, const char *text, gpointer n) {
  if (strstr(text, "does not have it any more") != NULL) g_atomic_int_inc((int *)n);
}

// What nobody has any more but we is not given up for one reading that failed; its user is told,
// once.
static void test_unreadable_last_copy(KeeperFixture *fixture, gconstpointer data) {
  int n_told = 0;
  guint handler = g_log_set_handler("mailfs-cache", G_LOG_LEVEL_MESSAGE, count_told, &n_told);
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_start(fixture);
  keeper_list(fixture, nothing);
  g_autoptr(KeeperJob) round = archive_with_unreadable(fixture, "aa");
  g_assert_no_error(round->error);
  g_assert_cmpuint(round->n_kept, ==, 0);
  keeper_job_free(archive_with_unreadable(fixture, "aa"));
  g_log_remove_handler("mailfs-cache", handler);
  g_assert_cmpint(g_atomic_int_get(&n_told), ==, 1);
  assert_shown(fixture, "aa ");
  g_assert_true(has_body(fixture, "aa"));
  g_autoptr(KeeperJob) again = keeper_archive_all(fixture);
  g_assert_cmpuint(again->n_kept, ==, 1);
  g_assert_true(keeper_has(fixture, "aa"));
}

static bool append_ino(uint64_t ino, uint64_t size, gpointer inos) {
  g_array_append_val((GArray *)inos, ino);
  return true;
}

// What would be evicted when the cache is full, the first one first.
static GArray *evictable(KeeperFixture *fixture) {
  GArray *inos = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_autoptr(Index) index = index_open(fixture->index_path, INDEX_WRITE, NULL);
  g_assert_true(index_oldest_bodies(index, append_ino, inos, NULL));
  return inos;
}

// Where all is to be kept, a body is not evicted before it is archived: the server may have lost
// the message when it is to be fetched again. What is archived may go, and where nothing is to be
// kept all may.
static void test_eviction(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_start(fixture);
  keeper_bring_body(fixture, "aa");
  keeper_job_free(keeper_archive_all(fixture));
  keeper_bring_body(fixture, "aa");
  keeper_bring_body(fixture, "bb");
  g_autoptr(GArray) archived = evictable(fixture);
  g_assert_cmpuint(archived->len, ==, 1);
  g_assert_cmpuint(g_array_index(archived, uint64_t, 0), ==, keeper_find(fixture, "aa"));
  keeper_stop(fixture);
  fixture->keeps_forever = false;
  keeper_start(fixture);
  g_autoptr(GArray) all = evictable(fixture);
  g_assert_cmpuint(all->len, ==, 2);
}

// What a crash left there unfinished is nobody's.
static void test_orphans(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  keeper_bring_body(fixture, "bb");
  uint64_t ino = keeper_find(fixture, "bb");
  g_autofree char *cached = g_strdup_printf("%s/cache/bodies/%02x/%" G_GINT64_MODIFIER "x",
                                            fixture->directory, (unsigned)(ino & 0xff), ino);
  g_autofree char *orphan = g_build_filename(fixture->directory, "state/archive/bb", NULL);
  g_autofree char *beside = g_build_filename(fixture->directory, "state/archive/.aa", NULL);
  g_assert_cmpint(link(cached, orphan), ==, 0);
  g_assert_true(g_file_set_contents(beside, "x", 1, NULL));
  keeper_stop(fixture);
  keeper_start(fixture);
  g_assert_false(g_file_test(orphan, G_FILE_TEST_EXISTS));
  g_assert_false(g_file_test(beside, G_FILE_TEST_EXISTS));
  g_assert_true(keeper_has(fixture, "aa"));
}

static void assert_will_not_start(KeeperFixture *fixture, const char *words) {
  g_autoptr(GError) error = NULL;
  g_assert_null(keeper_try(fixture, &error));
  g_assert_error(error, LEDGER_ERROR, EIO);
  if (strstr(error->message, words) == NULL) g_error("%s", error->message);
}

// A ledger that is damaged, of another version or lost ends the start; mail and file stay.
static void test_damaged(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_start(fixture);
  keeper_job_free(keeper_archive_all(fixture));
  keeper_stop(fixture);
  g_autofree char *path = g_build_filename(fixture->directory, "state/mail.db", NULL);
  g_autofree char *good = NULL, *found = NULL;
  g_autofree char *damage = g_strnfill(4096, 'x');
  size_t size, found_size;
  g_assert_true(g_file_get_contents(path, &good, &size, NULL));
  g_assert_true(g_file_set_contents(path, damage, 4096, NULL));
  assert_will_not_start(fixture, "not a database");
  g_assert_true(g_file_get_contents(path, &found, &found_size, NULL));
  g_assert_cmpmem(found, found_size, damage, 4096);
  g_assert_cmpint(g_unlink(path), ==, 0);
  assert_will_not_start(fixture, "is lost");
  good[63]++;  // user_version
  g_assert_true(g_file_set_contents(path, good, (gssize)size, NULL));
  assert_will_not_start(fixture, "not a ledger of this version");
  good[63]--;
  g_assert_true(g_file_set_contents(path, good, (gssize)size, NULL));
  keeper_start(fixture);
  g_assert_true(keeper_has(fixture, "aa"));
}

#define MANY 150

static void take_round(KeeperJob *job, gpointer data) {
  KeeperJob *round = job->done_data;
  g_assert_no_error(job->error);
  round->n_kept = job->n_kept;
  round->reached = job->reached;
  round->is_end = job->is_end;
}

// Who removes something does not wait until a round is through; what was left is for the next one.
static void test_removed_within_a_round(KeeperFixture *fixture, gconstpointer data) {
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(KeeperJob) round = keeper_job_new(KEEPER_ARCHIVE);
  KeeperJob *job = keeper_job_new(KEEPER_ARCHIVE);
  for (unsigned i = 0; i < MANY; i++)
    g_ptr_array_add(ids, g_strdup_printf("%04x", i));
  g_ptr_array_add(ids, NULL);
  keeper_list(fixture, (const char *const *)ids->pdata);
  for (unsigned i = 0; i < MANY; i++)
    keeper_bring_body(fixture, ids->pdata[i]);
  keeper_start(fixture);
  job->most_bytes = 1 << 20;
  job->done = take_round;
  job->done_data = round;
  keeper_push(fixture->keeper, job);
  g_assert_cmpint(keeper_remove_one(fixture, ids->pdata[MANY - 1]), ==, 0);
  g_assert_cmpuint(round->n_kept, >, 0);
  g_assert_cmpuint(round->n_kept, <, MANY - 1);
  g_assert_false(round->is_end);
  job = keeper_job_new(KEEPER_ARCHIVE);
  job->most_bytes = 1 << 20;
  job->after = round->reached;
  g_autoptr(KeeperJob) rest = keeper_do(fixture, job);
  g_assert_true(rest->is_end);
  g_assert_cmpuint(rest->n_kept, ==, MANY - 1 - round->n_kept);
}

// No file of ours can grow from now on; or it can again.
static void fill_disk(bool full) {
  static struct rlimit before;
  struct rlimit now;
  signal(SIGXFSZ, SIG_IGN);
  if (full) {
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &before), ==, 0);
    now = (struct rlimit){0, before.rlim_max};
  } else {
    now = before;
  }
  g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &now), ==, 0);
}

// Where nothing can be written, nothing is removed and nothing is lost; later it can be.
static void test_unwritable(KeeperFixture *fixture, gconstpointer data) {
  keeper_list(fixture, three);
  keeper_bring_body(fixture, "aa");
  keeper_start(fixture);
  fill_disk(true);
  int code = keeper_remove_one(fixture, "bb");
  g_autoptr(KeeperJob) round = keeper_archive_all(fixture);
  fill_disk(false);
  g_assert_cmpint(code, !=, 0);
  g_assert_nonnull(round->error);
  assert_shown(fixture, "aa bb cc ");
  g_autoptr(KeeperJob) again = keeper_archive_all(fixture);
  g_assert_no_error(again->error);
  g_assert_cmpuint(again->n_kept, ==, 1);
  g_assert_cmpint(keeper_remove_one(fixture, "bb"), ==, 0);
  assert_shown(fixture, "aa cc ");
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(KeeperFixture *fixture, gconstpointer data);
  } rows[] = {
      {"/keeper/removal", test_removal},
      {"/keeper/settled", test_settled},
      {"/keeper/shown again", test_shown_again},
      {"/keeper/refused", test_refused},
      {"/keeper/archive", test_archive},
      {"/keeper/removed from archive", test_removed_from_archive},
      {"/keeper/bytes", test_bytes},
      {"/keeper/unreadable", test_unreadable},
      {"/keeper/unreadable last copy", test_unreadable_last_copy},
      {"/keeper/eviction", test_eviction},
      {"/keeper/orphans", test_orphans},
      {"/keeper/damaged", test_damaged},
      {"/keeper/removed within a round", test_removed_within_a_round},
      {"/keeper/unwritable", test_unwritable},
  };
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, KeeperFixture, NULL, keeper_set_up, rows[i].run, keeper_tear_down);
  return g_test_run();
}
