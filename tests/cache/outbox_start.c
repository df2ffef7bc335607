// Claim: a start drops no letter because the disk did not answer: what cannot be looked at stays,
// and the start fails with the reason. Only a letter whose file is gone is forgotten, and told of.
#undef _FILE_OFFSET_BITS
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"

// While set, no letter's file can be looked at.
static bool is_ill;

static int look(int fd, const char *path, void *status, int flags) {
  if (is_ill && g_ascii_isdigit(*path)) {
    errno = EIO;
    return -1;
  }
  return (int)syscall(SYS_newfstatat, fd, path, status, flags);
}

// The call has both these names, for code with 32 and 64 bits of file offset.
int fstatat(int fd, const char *restrict path, struct stat *restrict status, int flags) {
  return look(fd, path, status, flags);
}

int fstatat64(int fd, const char *restrict path, struct stat64 *restrict status, int flags) {
  return look(fd, path, status, flags);
}

static void test_ill_disk(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  fixture_close(fixture);
  is_ill = true;
  g_autoptr(GError) error = NULL;
  g_assert_null(outbox_open(&fixture->options, fixture->context, &error));
  g_assert_error(error, OUTBOX_ERROR, EIO);
  is_ill = false;
  fixture_open(fixture);
  fixture_assert_names(fixture, "mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail");
}

static void test_file_is_gone(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "gone");
  fixture_copy_letter(fixture, "here");
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "gone", &file));
  char number[24];
  outbox_file_name(outbox_table_get(fixture->outbox->table, file.ino)->row.id, number);
  fixture_close(fixture);
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_LETTERS_NAME, number, NULL);
  g_assert_cmpint(unlink(path), ==, 0);
  g_test_expect_message("mailfs-cache", G_LOG_LEVEL_MESSAGE, "*gone is forgotten*");
  fixture_open(fixture);
  g_test_assert_expected_messages();
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, "", "");
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  g_test_add("/outbox/start/ill-disk", Fixture, NULL, fixture_set_up_holding, test_ill_disk,
             fixture_tear_down);
  g_test_add("/outbox/start/file-is-gone", Fixture, NULL, fixture_set_up_holding, test_file_is_gone,
             fixture_tear_down);
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
