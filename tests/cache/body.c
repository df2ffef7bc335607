// A body is there whole or not at all, under exactly the size that its reader expects; unfinished
// ones leave nothing behind; and when the disk is full it lives in memory, within a limit for all
// bodies together, until the last of its descriptors is closed.

#include "cache/body_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/error.h"
#include "scratch.h"

// In the place of the C library's: tells how often, and of which file last.
static unsigned n_synced;
static struct stat synced;
static int sync_errno;

int fdatasync(int fd) {
  n_synced++;
  fstat(fd, &synced);
  errno = sync_errno;
  return sync_errno != 0 ? -1 : (int)syscall(SYS_fdatasync, fd);
}

static int finish(BodyStore *bodies, uint64_t ino, const char *bytes, size_t size, bool *on_disk) {
  g_autoptr(GError) error = NULL;
  uint8_t sha256[BODY_SHA256_BYTES];
  uint64_t written;
  // Whose it is may be known from the beginning, or at the end only.
  g_autoptr(BodyWriter) writer = body_writer_new(bodies, size % 2 == 0 ? ino : 0, &error);
  g_assert_no_error(error);
  for (size_t done = 0; done < size;) {
    size_t part = MIN(size - done, 10000);
    g_assert_true(body_writer_write(writer, bytes + done, part, &error));
    done += part;
  }
  int fd = body_writer_finish(writer, ino, &written, sha256, on_disk, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(written, ==, size);
  g_autofree char *expected = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, size);
  for (int i = 0; i < BODY_SHA256_BYTES; i++) {
    char hex[3];
    g_snprintf(hex, sizeof hex, "%02x", sha256[i]);
    g_assert_cmpmem(hex, 2, expected + 2 * i, 2);
  }
  return fd;
}

static void assert_holds(int fd, const char *bytes, size_t size) {
  g_autofree char *buffer = g_malloc(size + 1);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(pread(fd, buffer, size + 1, 0), ==, size);
  g_assert_cmpmem(buffer, size, bytes, size);
}

static char *new_directory(void) {
  return g_dir_make_tmp("mailfs-body-XXXXXX", NULL);
}

static void remove_directory(char *directory) {
  scratch_remove(directory);
  g_free(directory);
}

static void test_whole(void) {
  char *directory = new_directory();
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  bool on_disk;
  int fd = finish(bodies, 0x1a2b3f, "bytes\r\n", 7, &on_disk);
  g_assert_true(on_disk);
  assert_holds(fd, "bytes\r\n", 7);
  body_close(bodies, 0x1a2b3f, fd);
  g_assert_cmpint(body_open(bodies, 0x1a2b3f, 8), ==, -1);
  g_assert_cmpint(body_open(bodies, 0x1a2b40, 7), ==, -1);
  fd = body_open(bodies, 0x1a2b3f, 7);
  body_remove(bodies, 0x1a2b3f);
  g_assert_cmpint(body_open(bodies, 0x1a2b3f, 7), ==, -1);
  assert_holds(fd, "bytes\r\n", 7);
  body_close(bodies, 0x1a2b3f, fd);

  fd = finish(bodies, 0xff, "", 0, &on_disk);
  body_close(bodies, 0xff, fd);
  g_assert_true(body_store_clear(bodies, NULL));
  g_assert_cmpint(body_open(bodies, 0xff, 0), ==, -1);
  remove_directory(directory);
}

static unsigned count_unfinished(const char *directory) {
  g_autofree char *path = g_build_filename(directory, "bodies", "unfinished", NULL);
  g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
  unsigned n = 0;
  while (g_dir_read_name(entries) != NULL)
    n++;
  return n;
}

static void test_unfinished(void) {
  char *directory = new_directory();
  BodyStore *bodies = body_store_new(directory, NULL);
  BodyWriter *writer = body_writer_new(bodies, 0, NULL);
  g_assert_true(body_writer_write(writer, "half", 4, NULL));
  g_assert_cmpuint(count_unfinished(directory), ==, 1);
  body_writer_free(writer);
  g_assert_cmpuint(count_unfinished(directory), ==, 0);

  // What a crash left is removed at the next start.
  g_autofree char *left = g_build_filename(directory, "bodies", "unfinished", "0", NULL);
  g_assert_true(g_file_set_contents(left, "left", -1, NULL));
  body_store_free(bodies);
  bodies = body_store_new(directory, NULL);
  g_assert_cmpuint(count_unfinished(directory), ==, 0);

  body_store_free(bodies);
  remove_directory(directory);
}

static BodyWriter *write_parts(BodyStore *bodies) {
  BodyWriter *writer = body_writer_new(bodies, 0, NULL);
  g_assert_true(body_writer_write(writer, "first ", 6, NULL));
  g_assert_true(body_writer_set_size(writer, 10, 0, NULL));
  g_assert_true(body_writer_write_at(writer, 6, "last", 4, NULL));
  return writer;
}

// What came in parts is on disk, all of it, when it is said to be; what grew need not be, since it
// would be too short. A disk that cannot tell is not believed.
static void test_synced(void) {
  char *directory = new_directory();
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(BodyWriter) writer = write_parts(bodies), bad = write_parts(bodies);
  uint8_t sha256[BODY_SHA256_BYTES];
  uint64_t size;
  bool on_disk;
  struct stat status;
  n_synced = 0;
  int fd = body_writer_finish(writer, 9, &size, sha256, &on_disk, &error);
  g_assert_no_error(error);
  g_assert_cmpuint(n_synced, ==, 1);
  g_assert_cmpint(fstat(fd, &status), ==, 0);
  g_assert_cmpuint(synced.st_ino, ==, status.st_ino);
  g_assert_cmpint(synced.st_size, ==, 10);
  body_close(bodies, 9, fd);
  body_close(bodies, 8, finish(bodies, 8, "whole", 5, &on_disk));
  g_assert_cmpuint(n_synced, ==, 1);

  sync_errno = EIO;
  g_assert_cmpint(body_writer_finish(bad, 7, &size, sha256, &on_disk, &error), ==, -1);
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_IO);
  g_assert_cmpint(body_open(bodies, 7, 10), ==, -1);
  sync_errno = 0;
  remove_directory(directory);
}

// A body whose size is known takes its parts in any order, is read meanwhile, and becomes one like
// any other.
static void test_parts(void) {
  char *directory = new_directory();
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  g_autoptr(BodyWriter) writer = body_writer_new(bodies, 0, NULL);
  uint8_t sha256[BODY_SHA256_BYTES];
  uint64_t size;
  bool on_disk;
  g_assert_true(body_writer_write(writer, "first ", 6, NULL));
  g_assert_true(body_writer_set_size(writer, 17, 0, NULL));
  g_assert_true(body_writer_write_at(writer, 13, "last", 4, NULL));
  char part[4];
  g_assert_cmpint(pread(body_writer_fd(writer), part, 4, 13), ==, 4);
  g_assert_cmpmem(part, 4, "last", 4);
  g_assert_true(body_writer_write_at(writer, 6, "middle ", 7, NULL));
  int fd = body_writer_finish(writer, 9, &size, sha256, &on_disk, NULL);
  g_assert_true(on_disk);
  assert_holds(fd, "first middle last", 17);
  g_autofree char *expected =
      g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)"first middle last", 17);
  char hex[3];
  g_snprintf(hex, sizeof hex, "%02x", sha256[0]);
  g_assert_cmpmem(hex, 2, expected, 2);
  body_close(bodies, 9, fd);
  fd = body_open(bodies, 9, 17);
  g_assert_cmpint(fd, >=, 0);
  body_close(bodies, 9, fd);
  remove_directory(directory);
}

// One file may be the body of two messages; one that is open stays, others are evicted; what was
// opened is remembered once.
static void test_link_and_evict(void) {
  char *directory = new_directory();
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  bool on_disk;
  body_close(bodies, 1, finish(bodies, 1, "shared", 6, &on_disk));
  g_array_unref(body_take_used(bodies));
  g_assert_false(body_link(bodies, 1, 5, 2));
  g_assert_false(body_link(bodies, 3, 6, 2));
  g_assert_true(body_link(bodies, 1, 6, 2));
  g_assert_true(body_link(bodies, 1, 6, 2));
  int fd = body_open(bodies, 2, 6), again = body_open(bodies, 2, 6);
  struct stat status;
  g_assert_cmpint(fstat(fd, &status), ==, 0);
  g_assert_cmpuint(status.st_nlink, ==, 2);
  bool is_last;
  g_assert_true(body_evict(bodies, 1, &is_last));
  g_assert_false(is_last);
  g_assert_cmpint(body_open(bodies, 1, 6), ==, -1);
  g_assert_false(body_evict(bodies, 2, &is_last));
  body_close(bodies, 2, fd);
  g_assert_false(body_evict(bodies, 2, &is_last));
  assert_holds(again, "shared", 6);
  g_autoptr(GArray) used = body_take_used(bodies);
  g_assert_cmpuint(used->len, ==, 2);
  body_close(bodies, 2, again);
  g_assert_true(body_evict(bodies, 2, &is_last));
  g_assert_true(is_last);
  g_assert_cmpint(body_open(bodies, 2, 6), ==, -1);
  remove_directory(directory);
}

// A sweep finds what lay there before, and leaves alone what is open or came since.
static void test_sweep(void) {
  char *directory = new_directory();
  BodyStore *bodies = body_store_new(directory, NULL);
  bool on_disk;
  for (uint64_t ino = 0x100; ino <= 0x300; ino += 0x100)
    body_close(bodies, ino, finish(bodies, ino, "old", 3, &on_disk));
  body_store_free(bodies);
  bodies = body_store_new(directory, NULL);
  int open = body_open(bodies, 0x100, 3);
  body_close(bodies, 0x200, finish(bodies, 0x200, "new", 3, &on_disk));
  g_autoptr(GArray) inos = body_in_directory(bodies, 0), none = body_in_directory(bodies, 1);
  g_assert_cmpuint(inos->len, ==, 3);
  g_assert_cmpuint(none->len, ==, 0);
  for (unsigned i = 0; i < inos->len; i++)
    body_sweep(bodies, g_array_index(inos, uint64_t, i));
  g_autoptr(GArray) left = body_in_directory(bodies, 0);
  g_assert_cmpuint(left->len, ==, 2);
  assert_holds(open, "old", 3);
  body_close(bodies, 0x100, open);
  g_assert_cmpint(body_open(bodies, 0x300, 3), ==, -1);
  open = body_open(bodies, 0x200, 3);
  assert_holds(open, "new", 3);
  body_close(bodies, 0x200, open);
  body_end_sweep(bodies);
  body_store_free(bodies);
  remove_directory(directory);
}

static bool fill(BodyStore *bodies, size_t size, GError **error) {
  g_autoptr(BodyWriter) writer = body_writer_new(bodies, 0, error);
  g_autofree char *bytes = g_malloc0(size);
  return body_writer_write(writer, bytes, size, error);
}

// A large body takes its room at once, so that its parts find it; but no more than it should, or
// than there is: then its parts take theirs as they come, for as long as there is any. What is not
// very large finds it in memory.
static void test_room(void) {
  char *directory = new_directory();
  g_assert_cmpint(mount("mailfs-test", directory, "tmpfs", 0, "size=1m"), ==, 0);
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  const struct {
    uint64_t size, most;
    bool is_taken, in_memory;
  } rows[] = {
      {500000, 0, true, false},         {500000, 500000, true, false},
      {500000, 499999, false, false},   {4000000, 0, false, true},
      {4000000, 3999999, false, false}, {BODY_MEMORY_MAX + 1, 0, false, false},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(BodyWriter) writer = body_writer_new(bodies, 0, &error);
    struct stat status;
    char byte = 'x';
    g_assert_true(body_writer_write(writer, "first ", 6, &error));
    g_assert_true(body_writer_set_size(writer, rows[i].size, rows[i].most, &error));
    g_assert_cmpint(body_writer_is_in_memory(writer), ==, rows[i].in_memory);
    g_assert_cmpint(fstat(body_writer_fd(writer), &status), ==, 0);
    g_assert_cmpuint(status.st_size, ==, rows[i].size);
    g_assert_cmpint((uint64_t)status.st_blocks * 512 >= rows[i].size, ==, rows[i].is_taken);
    g_assert_true(body_writer_write_at(writer, rows[i].size - 1, "x", 1, &error));
    g_assert_cmpint(pread(body_writer_fd(writer), &byte, 1, 0), ==, 1);
    g_assert_cmpint(byte, ==, 'f');
  }
  g_autoptr(GError) error = NULL;
  g_autoptr(BodyWriter) writer = body_writer_new(bodies, 0, &error);
  g_autofree char *bytes = g_malloc0(1 << 20);
  g_assert_true(body_writer_set_size(writer, BODY_MEMORY_MAX + 1, 0, &error));
  g_assert_true(body_writer_write_at(writer, 5000000, bytes, 1 << 19, &error));
  g_assert_false(body_writer_write_at(writer, 8000000, bytes, 1 << 20, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
  g_clear_pointer(&writer, body_writer_free);
  g_assert_cmpint(umount2(directory, MNT_DETACH), ==, 0);
  remove_directory(directory);
}

static void test_full(void) {
  char *directory = new_directory();
  g_assert_cmpint(mount("mailfs-test", directory, "tmpfs", 0, "size=64k"), ==, 0);
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  g_autofree char *bytes = g_malloc(300000);
  for (int i = 0; i < 300000; i++)
    bytes[i] = (char)(i * 7);
  bool on_disk;
  int fd = finish(bodies, 1, bytes, 300000, &on_disk);
  g_assert_false(on_disk);
  assert_holds(fd, bytes, 300000);
  g_assert_cmpint(body_open(bodies, 1, 300000), ==, -1);

  // What is left of the limit is counted to the byte, and comes back with the last descriptor.
  g_autoptr(GError) error = NULL;
  g_assert_true(fill(bodies, BODY_MEMORY_MAX - 300000, &error));
  g_assert_false(fill(bodies, BODY_MEMORY_MAX - 300000 + 1, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_LIMIT);
  g_clear_error(&error);
  g_assert_false(fill(bodies, BODY_MEMORY_MAX, &error));
  g_clear_error(&error);
  assert_holds(fd, bytes, 300000);
  body_close(bodies, 1, fd);
  g_assert_true(fill(bodies, BODY_MEMORY_MAX, &error));
  g_assert_cmpint(umount2(directory, MNT_DETACH), ==, 0);
  remove_directory(directory);
}

// A disk that has no room for a directory either: the body is in memory all the same.
static void test_full_of_files(void) {
  char *directory = new_directory();
  // The root, bodies/, and the one in it for unfinished files.
  g_assert_cmpint(mount("mailfs-test", directory, "tmpfs", 0, "nr_inodes=3"), ==, 0);
  g_autoptr(BodyStore) bodies = body_store_new(directory, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(BodyWriter) writer = body_writer_new(bodies, 1, &error);
  g_assert_no_error(error);
  g_assert_true(body_writer_is_in_memory(writer));
  g_assert_true(body_writer_write(writer, "hello", 5, &error));
  g_clear_pointer(&writer, body_writer_free);
  g_assert_cmpint(umount2(directory, MNT_DETACH), ==, 0);
  remove_directory(directory);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  // A mount namespace of our own, for a small disk that can be filled.
  int own = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  g_assert_cmpint(unshare(own), ==, 0);
  g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  g_test_add_func("/body/whole", test_whole);
  g_test_add_func("/body/unfinished", test_unfinished);
  g_test_add_func("/body/parts", test_parts);
  g_test_add_func("/body/synced", test_synced);
  g_test_add_func("/body/link-and-evict", test_link_and_evict);
  g_test_add_func("/body/room", test_room);
  g_test_add_func("/body/sweep", test_sweep);
  g_test_add_func("/body/full", test_full);
  g_test_add_func("/body/full of files", test_full_of_files);
  return g_test_run();
}
