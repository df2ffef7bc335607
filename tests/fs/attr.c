// What stat shows of a thing, and which changes of it are none.
#include "fs/attr.h"

#include "tests/fs/fake.h"

static const Identity alice = {.uid = 1000, .gid = 100, .umask = 0};

// Sizes are exact, blocks cover them, and an absurd size does not become negative.
static void test_sizes(void) {
  static const struct {
    uint64_t size;
    off_t expected;
    blkcnt_t blocks;
  } rows[] = {
      {0, 0, 0},
      {1, 1, 1},
      {512, 512, 1},
      {513, 513, 2},
      {25000000, 25000000, 48829},
      {UINT64_MAX, INT64_MAX, INT64_MAX / 512 + 1},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    Thing thing = {.kind = THING_MESSAGE, .size = rows[i].size, .permissions = 0600};
    struct stat attr;
    attr_fill(&alice, &thing, &attr);
    g_assert_cmpint(attr.st_size, ==, rows[i].expected);
    g_assert_cmpint(attr.st_blocks, ==, rows[i].blocks);
    g_assert_cmpint(attr.st_blksize, ==, 4096);
    g_assert_cmpuint(attr.st_uid, ==, 1000);
    g_assert_cmpuint(attr.st_gid, ==, 100);
  }
}

// Kind, permissions below the umask, and links: two and one for each subfolder, none once gone.
static void test_kinds(void) {
  static const struct {
    Thing thing;
    mode_t umask, mode;
    nlink_t links;
  } rows[] = {
      {{.kind = THING_MESSAGE, .permissions = 0600}, 0, S_IFREG | 0600, 1},
      {{.kind = THING_MESSAGE, .permissions = 0600}, 0277, S_IFREG | 0400, 1},
      {{.kind = THING_MESSAGE, .permissions = 0600, .gone = true}, 0, S_IFREG | 0600, 0},
      {{.kind = THING_FOLDER, .permissions = 0700, .subfolders = 3}, 0, S_IFDIR | 0700, 5},
      {{.kind = THING_FOLDER, .permissions = 0700}, 0222, S_IFDIR | 0500, 2},
      {{.kind = THING_OUTBOX, .permissions = 0700, .subfolders = 1}, 0, S_IFDIR | 0700, 3},
      {{.kind = THING_LETTER, .permissions = 0640}, 0, S_IFREG | 0640, 1},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    Identity identity = {.umask = rows[i].umask};
    struct stat attr;
    attr_fill(&identity, &rows[i].thing, &attr);
    g_assert_cmpuint(attr.st_mode, ==, rows[i].mode);
    g_assert_cmpuint(attr.st_nlink, ==, rows[i].links);
  }
}

// Times keep their nanoseconds, also before 1970.
static void test_times(void) {
  static const struct {
    int64_t ns;
    time_t seconds;
    long rest;
  } rows[] = {{0, 0, 0}, {1700000000123456789, 1700000000, 123456789}, {-1, -1, 999999999}};
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    Thing thing = {.kind = THING_MESSAGE, .mtime_ns = rows[i].ns};
    struct stat attr;
    attr_fill(&alice, &thing, &attr);
    g_assert_cmpint(attr.st_mtim.tv_sec, ==, rows[i].seconds);
    g_assert_cmpint(attr.st_mtim.tv_nsec, ==, rows[i].rest);
  }
}

// Mail may be kept long by the kernel, since it is told of changes; the outbox's files may not.
static void test_timeouts(void) {
  g_assert_cmpfloat(attr_timeout(&(Thing){.kind = THING_MESSAGE}), ==, 86400);
  g_assert_cmpfloat(attr_timeout(&(Thing){.kind = THING_FOLDER}), ==, 86400);
  g_assert_cmpfloat(attr_timeout(&(Thing){.kind = THING_OUTBOX}), ==, 0);
  g_assert_cmpfloat(attr_timeout(&(Thing){.kind = THING_LETTER}), ==, 0);
}

static void test_unchanged(void) {
  static const struct stat now = {
      .st_mode = S_IFREG | 0600,
      .st_uid = 1,
      .st_gid = 2,
      .st_size = 3,
      .st_atim = {4, 5},
      .st_mtim = {6, 7},
  };
  static const struct stat other = {.st_mode = S_IFREG | 0644, .st_mtim = {6, 8}};
  static const int bits[] = {FUSE_SET_ATTR_MODE, FUSE_SET_ATTR_UID,   FUSE_SET_ATTR_GID,
                             FUSE_SET_ATTR_SIZE, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_MTIME};
  g_assert_true(attr_is_unchanged(&now, &other, 0));
  for (size_t i = 0; i < G_N_ELEMENTS(bits); i++) {
    g_assert_true(attr_is_unchanged(&now, &now, bits[i]));
    g_assert_false(attr_is_unchanged(&now, &other, bits[i]));
  }
  g_assert_false(attr_is_unchanged(&now, &now, FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW));
}

// A time from a program may be anything.
static void test_time_wanted(void) {
  const struct timespec wanted = {.tv_sec = 5, .tv_nsec = 6};
  const struct timespec absurd = {.tv_sec = INT64_MAX, .tv_nsec = 999999999};
  g_assert_cmpint(attr_time_ns(&wanted, 1, true, false), ==, 5000000006);
  g_assert_cmpint(attr_time_ns(&wanted, 1, false, false), ==, 1);
  g_assert_cmpint(attr_time_ns(&wanted, 1, true, true), >, 5000000006);
  g_assert_cmpint(attr_time_ns(&absurd, 1, true, false), >, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/attr/sizes", test_sizes);
  g_test_add_func("/attr/kinds", test_kinds);
  g_test_add_func("/attr/times", test_times);
  g_test_add_func("/attr/timeouts", test_timeouts);
  g_test_add_func("/attr/unchanged", test_unchanged);
  g_test_add_func("/attr/time-wanted", test_time_wanted);
  return g_test_run();
}
