// Claim: on a full or failing disk no half letter is sent: one that could not be written whole is
// not committed, whatever its writer makes of the error, and what lies in failed/ is still there
// after the next start.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"

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

static char *filler_of(const Fixture *fixture) {
  return g_build_filename(fixture->directory, "filler", NULL);
}

static void fill_disk(const Fixture *fixture) {
  static const char page[PAGE];
  g_autofree char *path = filler_of(fixture);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  g_assert_cmpint(fd, >=, 0);
  while (write(fd, page, PAGE) > 0)
    continue;
  g_assert_cmpint(errno, ==, ENOSPC);
  close(fd);
}

// The room that the journal's log has left, too: by bytes of no letter, which the next start drops.
static void fill_journal(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_JOURNAL_NAME, NULL);
  sqlite3 *database;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  for (unsigned size = 16384; size > 0; size /= 128) {
    g_autofree char *sql =
        g_strdup_printf("INSERT OR REPLACE INTO content VALUES (%u, zeroblob(%u))", size, size);
    int result;
    do
      result = sqlite3_exec(database, sql, NULL, NULL, NULL);
    while (result == SQLITE_OK);
    g_assert_cmpint(result, ==, SQLITE_FULL);
  }
  sqlite3_close(database);
}

static void free_disk(const Fixture *fixture) {
  g_autofree char *path = filler_of(fixture);
  g_assert_cmpint(unlink(path), ==, 0);
}

static void give_up_reserve(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, "reserve", NULL);
  g_assert_cmpint(unlink(path), ==, 0);
}

static void set_up(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, NULL);
  g_assert_cmpint(mount("mailfs-test", fixture->directory, "tmpfs", 0, "size=2m"), ==, 0);
  fixture_open(fixture);
  fixture_wait_disk(fixture);
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
  fixture_close(fixture);
  g_assert_cmpint(umount2(fixture->directory, MNT_DETACH), ==, 0);
  fixture_tear_down(fixture, NULL);
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
  fill_disk(fixture);
  g_assert_cmpint(outbox_write(handle, text->str + PAGE, text->len - PAGE, PAGE, &error), ==, -1);
  g_assert_error(error, OUTBOX_ERROR, ENOSPC);
  free_disk(fixture);
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
  fill_disk(fixture);
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  fixture_write_letter(handle, "two");
  fill_journal(fixture);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, ENOSPC);
  free_disk(fixture);
  fixture_finish(fixture, handle, getpid());
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
}

// Fails a letter that the journal knows nothing of yet, while there is no room for it.
static void fail_on_full_disk(Fixture *fixture) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write(handle, "no letter");
  fill_disk(fixture);
  fill_journal(fixture);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
}

static void test_failed_stays(Fixture *fixture, gconstpointer unused) {
  fail_on_full_disk(fixture);
  fixture_close(fixture);
  free_disk(fixture);
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
  give_up_reserve(fixture);
  fail_on_full_disk(fixture);
  free_disk(fixture);
  g_assert_cmpuint(count_failed(fixture), ==, 0);
  fixture_copy_letter(fixture, "other");
  fixture_wait_sent(fixture);
  fixture_wait_disk(fixture);
  g_assert_cmpuint(count_failed(fixture), ==, 1);
}

static void test_stored_at_the_end(Fixture *fixture, gconstpointer unused) {
  give_up_reserve(fixture);
  fail_on_full_disk(fixture);
  free_disk(fixture);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
}

// The reserve is there again when there is room again.
static void test_reserve_again(Fixture *fixture, gconstpointer unused) {
  for (unsigned i = 0; i < 3; i++) {
    fail_on_full_disk(fixture);
    free_disk(fixture);
    g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "mail"), ==, 0);
    g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "mail.error"), ==, 0);
  }
  fail_on_full_disk(fixture);
  g_assert_false(fixture->outbox->unstored);
  free_disk(fixture);
}

// A letter is either removed for good or still there: one whose bytes are in the journal would come
// back from there.
static void test_remove_on_full_disk(Fixture *fixture, gconstpointer unused) {
  give_up_reserve(fixture);
  fixture_copy_letter(fixture, ".mail");
  fill_disk(fixture);
  fill_journal(fixture);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail"), ==, ENOSPC);
  free_disk(fixture);
  fixture_reopen(fixture);
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, ".mail");
  g_assert_nonnull(strstr(text, "Subject: .mail\n"));
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail"), ==, 0);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "");
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
    {"a removal on a full disk", test_remove_on_full_disk},
};

// In a mount namespace of our own, for a small disk that can be filled.
int main(int argc, char **argv) {
  int own = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  g_assert_cmpint(unshare(own), ==, 0);
  g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  // A full journal is worth a warning, and that is none of a bug.
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/outbox/full/", cases[i].name, NULL);
    g_test_add(path, Fixture, NULL, set_up, cases[i].run, tear_down);
  }
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
