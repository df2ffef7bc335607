// Claim: on a full or failing disk no half letter is sent: one that could not be written whole is
// not committed, whatever its writer makes of the error, and what lies in failed/ is still there
// after the next start.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "full_disk.h"

#define PAGE 4096
// Not inline.
#define LARGE (40u << 10)

// Stands in front of the C library's, which tells a failure just once.
int fsync(int fd);
static bool next_fsync_fails;

int fsync(int fd) {
  if (!next_fsync_fails) return (int)syscall(SYS_fsync, fd);
  next_fsync_fails = false;
  errno = EIO;
  return -1;
}

// A letter whose second page did not fit; the disk has room again.
static OutboxHandle *write_half(Fixture *fixture, const char *name) {
  g_autofree char *letter = fixture_letter("half");
  g_autoptr(GString) text = g_string_new(letter);
  while (text->len < PAGE + PAGE / 2)
    g_string_append(text, "a line of many\n");
  OutboxHandle *handle = fixture_create(fixture, name);
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(outbox_write(handle, text->str, PAGE, 0, &error), ==, PAGE);
  full_disk_fill(fixture);
  g_assert_cmpint(outbox_write(handle, text->str + PAGE, text->len - PAGE, PAGE, &error), ==, -1);
  g_assert_error(error, OUTBOX_ERROR, ENOSPC);
  full_disk_empty(fixture);
  return handle;
}

static void assert_nothing_sent(Fixture *fixture) {
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

static void write_anew(Fixture *fixture, uint64_t directory, const char *name) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, directory, name, &file));
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), &error);
  g_assert_no_error(error);
  fixture_write_letter(handle, "whole");
  fixture_finish(fixture, handle, getpid());
}

// The program reports its error and closes, and a shell ignores what flush says.
static void test_failed_write(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = write_half(fixture, "mail");
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, ENOSPC);
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, ENOSPC);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "a part could not be written: No space left on device"));
  assert_nothing_sent(fixture);
  for (unsigned i = 0; i < 2; i++) {
    g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, ENOSPC);
    fixture_reopen(fixture);
  }
  write_anew(fixture, OUTBOX_FAILED_INO, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// Renaming a dot-file commits it, if it is whole.
static void test_half_draft(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(fixture_release(fixture, write_half(fixture, ".mail")), ==, 0);
  fixture_assert_state(fixture, ".mail", "draft");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, ENOSPC);
  fixture_reopen(fixture);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, ENOSPC);
  write_anew(fixture, OUTBOX_INO, ".mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

static char *long_letter(size_t size) {
  GString *text = g_string_new("To: bob@example.org\n\n");
  while (text->len < size)
    g_string_append(text, "a line of many\n");
  return g_string_free(text, false);
}

// The second fsync answers that all is well, but the kernel has dropped what it could not write.
static void test_failed_fsync(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  g_autofree char *text = long_letter(LARGE);
  fixture_write(handle, text);
  next_fsync_fails = true;
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, EIO);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, EIO);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
  assert_nothing_sent(fixture);
}

// What the journal has room for is safe all the same; what it has not, its writer is told of.
static void test_flush_on_full_disk(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "one");
  full_disk_fill(fixture);
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  fixture_write_letter(handle, "two");
  full_disk_fill_journal(fixture);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, ENOSPC);
  full_disk_empty(fixture);
  fixture_finish(fixture, handle, getpid());
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// Fails a letter that the journal knows nothing of yet, while there is no room for it.
static void fail_on_full_disk(Fixture *fixture) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write(handle, "no letter");
  full_disk_fill(fixture);
  full_disk_fill_journal(fixture);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
}

static void test_failed_stays(Fixture *fixture, gconstpointer unused) {
  fail_on_full_disk(fixture);
  fixture_close(fixture);
  full_disk_empty(fixture);
  fixture_open(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
}

static void take_failed(const OutboxRow *row, GPtrArray *recipients, gpointer data) {
  if (row->phase == OUTBOX_FAILED) (*(unsigned *)data)++;
}

static unsigned count_failed(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, "outbox.db", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(OutboxJournal) journal = outbox_journal_open(path, &error);
  g_assert_no_error(error);
  unsigned count = 0;
  g_assert_true(outbox_journal_load(journal, take_failed, &count, &error));
  return count;
}

// Without a reserve it is stored as soon as anything can be, and at the end at the latest.
static void test_stored_later(Fixture *fixture, gconstpointer unused) {
  full_disk_give_up_reserve(fixture);
  fail_on_full_disk(fixture);
  full_disk_empty(fixture);
  g_assert_cmpuint(count_failed(fixture), ==, 0);
  fixture_copy_letter(fixture, "other");
  fixture_wait_sent(fixture);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(count_failed(fixture), ==, 1);
}

static void test_stored_at_the_end(Fixture *fixture, gconstpointer unused) {
  full_disk_give_up_reserve(fixture);
  fail_on_full_disk(fixture);
  full_disk_empty(fixture);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
}

// The reserve is there again when there is room again.
static void test_reserve_again(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 3; i++) {
    fail_on_full_disk(fixture);
    full_disk_empty(fixture);
    g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "mail"), ==, 0);
    g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "mail.error"), ==, 0);
  }
  fail_on_full_disk(fixture);
  g_assert_false(fixture->outbox->unstored);
  full_disk_empty(fixture);
}

typedef struct {
  const char *name;
  void (*run)(Fixture *fixture, gconstpointer unused);
} Case;

static const Case cases[] = {
    {"a failed write", test_failed_write},
    {"half a draft", test_half_draft},
    {"a failed fsync", test_failed_fsync},
    {"flush on a full disk", test_flush_on_full_disk},
    {"failed stays", test_failed_stays},
    {"stored later", test_stored_later},
    {"stored at the end", test_stored_at_the_end},
    {"the reserve again", test_reserve_again},
};

int main(int argc, char **argv) {
  full_disk_begin(&argc, &argv);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/outbox/full/", cases[i].name, NULL);
    g_test_add(path, Fixture, NULL, full_disk_set_up, cases[i].run, full_disk_tear_down);
  }
  return full_disk_end();
}
