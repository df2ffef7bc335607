// Claim: what is written, continued and replaced in the outbox is sent exactly when its writer has
// finished, never half, never in another's place; what cannot be sent is told to the writer where
// it can be told.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_cases.h"

static int create_code(Fixture *fixture, uint64_t parent, const char *name) {
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  OutboxHandle *handle =
      outbox_create(fixture->outbox, parent, name, 0600, getpid(), &file, &error);
  g_assert_true((handle == NULL) == (error != NULL));
  if (handle != NULL) fixture_release(fixture, handle);
  return error != NULL ? error->code : 0;
}

static void test_names(Fixture *fixture, gconstpointer unused) {
  g_autofree char *longest = g_strnfill(255, 'x');
  g_autofree char *too_long = g_strnfill(256, 'x');
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, longest), ==, 0);
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, too_long), ==, ENAMETOOLONG);
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, "mail.error"), ==, EINVAL);
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, "a\nb"), ==, EINVAL);
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, "failed"), ==, EEXIST);
  g_assert_cmpint(create_code(fixture, OUTBOX_INO, longest), ==, EEXIST);
  g_assert_cmpint(create_code(fixture, OUTBOX_FAILED_INO, "mail"), ==, EPERM);
}

// A shell flushes before it writes; nothing is committed before the last close.
static void test_shell(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  fixture_write_letter(handle, "one");
  fixture_assert_state(fixture, "mail", "writing");
  fixture_finish(fixture, handle, getpid());
  fixture_assert_state(fixture, "mail", "held");
  FIXTURE_ASSERT_SENDS(fixture, "one");
}

static void ignore_answer(const GError *error, gpointer unused) {}

// Who sees it held knows it on disk.
static void test_held_is_on_disk(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "one");
  outbox_release(handle, ignore_answer, NULL);
  fixture_assert_state(fixture, "mail", "writing");
  fixture_wait_disk(fixture);
  fixture_assert_state(fixture, "mail", "held");
}

static void test_read_back(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_autofree char *written = fixture_letter("mail");
  g_autofree char *read = fixture_read(fixture, OUTBOX_INO, "mail");
  g_assert_cmpstr(read, ==, written);
}

// Flush tells the opener; another process (a child that inherited the file) is told nothing.
static void test_flush_refuses(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write(handle, "Subject: no recipient\n\nHello\n");
  g_assert_cmpint(fixture_flush(fixture, handle, fixture_other_process()), ==, 0);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, EINVAL);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, EINVAL);
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "Why: it has no recipient"));
  g_assert_null(strstr(note, "Server:"));
}

// A letter fit when it was flushed and unfit when it was closed is found out.
static void test_unfit_after_flush(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "one");
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  fixture_write(handle, "No header\n");
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
}

static void test_never_sent(Fixture *fixture, gconstpointer unused) {
  static const char *const names[] = {".mail", "mail~", "mail.swp", "4913", "#mail#"};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
    g_assert_cmpint(fixture_copy(fixture, names[i], "no letter"), ==, 0);
    fixture_assert_state(fixture, names[i], "draft");
  }
  fixture_finish(fixture, fixture_create(fixture, "empty"), getpid());
  fixture_assert_state(fixture, "empty", "draft");
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  fixture_assert_names(fixture, ".mail mail~ mail.swp 4913 #mail# empty", "");
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
    g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, names[i]), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "empty"), ==, 0);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "");
  g_assert_cmpuint(fake_server_count(), ==, 0);
}

// `cmd >> letter` within the delay continues it; so does the same process with `>`.
static void test_continue(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxHandle *handle =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_APPEND, fixture_other_process());
  fixture_assert_state(fixture, "mail", "writing");
  g_autoptr(GError) error = NULL;
  outbox_write(handle, "more\n", 5,
               (off_t)strlen("From: alice@example.org\n"
                             "To: bob@example.org\nSubject: mail\n\nHello\n"),
               &error);
  fixture_finish(fixture, handle, fixture_other_process());
  handle = fixture_open_letter(fixture, "mail", O_WRONLY, getpid());
  fixture_finish(fixture, handle, getpid());
  fixture_assert_names(fixture, "mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "mail");
  g_autofree char *sent = fake_server_letter(0);
  g_assert_true(g_str_has_suffix(sent, "Hello\r\nmore\r\n"));
}

static void test_same_process_truncates(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, getpid());
  fixture_write_letter(handle, "again");
  fixture_finish(fixture, handle, getpid());
  fixture_assert_names(fixture, "mail", "");
  FIXTURE_ASSERT_SENDS(fixture, "again");
}

// Two scripts that write the same name send two letters; the name and its inode are the newer's.
static void test_other_process_truncates(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxFile before, after;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &before));
  for (unsigned i = 0; i < 2; i++) {
    OutboxHandle *handle =
        fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, fixture_other_process());
    fixture_write_letter(handle, i == 0 ? "second" : "third");
    g_assert_cmpint(fixture_flush(fixture, handle, fixture_other_process()), ==, 0);
    g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
    if (i == 0) {
      g_assert_true(fixture_was_told(fixture, "* outbox"));
      fixture_assert_names(fixture, "mail mail+1", "");
    }
  }
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &after));
  g_assert_cmpuint(before.ino, ==, after.ino);
  FIXTURE_ASSERT_SENDS(fixture, "mail", "third");
}

// Also while both write: what one has written is not the other's to destroy.
static void test_both_write(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  fixture_write_letter(first, "first");
  OutboxHandle *second =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, fixture_other_process());
  fixture_write_letter(second, "second");
  g_autoptr(GError) error = NULL;
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_true(outbox_truncate(fixture->outbox, file.ino, first, 500, &error));
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_cmpuint(file.size, <, 500);
  fixture_write_letter(first, "first");
  g_assert_true(outbox_truncate(fixture->outbox, file.ino, first, file.size - 1, &error));
  fixture_finish(fixture, first, getpid());
  g_assert_cmpint(fixture_flush(fixture, second, fixture_other_process()), ==, 0);
  g_assert_cmpint(fixture_release(fixture, second), ==, 0);
  fixture_assert_names(fixture, "mail mail+1", "");
  FIXTURE_ASSERT_SENDS(fixture, "first", "second");
}

// The closing process was being killed: it had not finished.
static void test_killed_writer(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "half");
  g_assert_cmpint(fixture_flush(fixture, handle, fixture_killed_process()), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "killed before it had finished"));
}

// A shell closes the file last, whose program was killed while it wrote; unless that one only had
// it open as others did.
static void test_killed_child(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *half = fixture_create(fixture, "half");
  outbox_note_writer(half, fixture_killed_process());
  fixture_write_letter(half, "half");
  g_assert_cmpint(fixture_flush(fixture, half, fixture_killed_process()), ==, 0);
  fixture_finish(fixture, half, getpid());
  OutboxHandle *whole = fixture_create(fixture, "whole");
  outbox_note_writer(whole, getpid());
  fixture_write_letter(whole, "whole");
  g_assert_cmpint(fixture_flush(fixture, whole, fixture_killed_process()), ==, 0);
  fixture_finish(fixture, whole, getpid());
  FIXTURE_ASSERT_SENDS(fixture, "whole");
  fixture_assert_names(fixture, "", "half half.error");
}

// A release that did not come is made up for only where the letter cannot go on.
static void test_find_closed(Fixture *fixture, gconstpointer unused) {
  pid_t process = fixture_start_process();
  g_assert_cmpint(fixture_copy(fixture, ".mail", ""), ==, 0);
  OutboxHandle *handle = fixture_open_letter(fixture, ".mail", O_WRONLY, process);
  fixture_write_letter(handle, "one");
  g_assert_cmpint(fixture_flush(fixture, handle, process), ==, 0);
  g_assert_null(outbox_find_closed(fixture->outbox));  // it lives
  fixture_end_process(process);
  g_assert_true(outbox_find_closed(fixture->outbox) == handle);
  fixture_write_letter(handle, "two");
  g_assert_null(outbox_find_closed(fixture->outbox));  // somebody writes on
  g_assert_cmpint(fixture_flush(fixture, handle, fixture_other_process()), ==, 0);
  g_assert_null(outbox_find_closed(fixture->outbox));  // another may do so again
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  g_assert_null(outbox_find_closed(fixture->outbox));
}

static void test_attributes(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_true(outbox_set_mode(fixture->outbox, file.ino, 0644, &error));
  g_assert_true(outbox_set_times(fixture->outbox, file.ino, 1000, 2000, &error));
  g_assert_false(outbox_truncate(fixture->outbox, file.ino, NULL, 0, &error));
  g_assert_cmpint(error->code, ==, EBUSY);
  fixture_assert_state(fixture, "mail", "held");
  g_assert_true(outbox_get(fixture->outbox, file.ino, &file));
  g_assert_cmpuint(file.mode, ==, 0644);
  g_assert_cmpint(file.atime_ns, ==, 1000);
  g_assert_cmpint(file.mtime_ns, ==, 2000);
}

static bool keep_ino(const OutboxFile *file, gpointer data) {
  g_array_append_val((GArray *)data, file->ino);
  return true;
}

static bool keep_one_ino(const OutboxFile *file, gpointer data) {
  keep_ino(file, data);
  return false;
}

// A directory read in steps of one gives what it gives at once.
static void test_listing_in_steps(Fixture *fixture, gconstpointer unused) {
  fixture_fail_letter(fixture, "one");
  fixture_fail_letter(fixture, "two");
  g_autoptr(GArray) whole = g_array_new(false, false, sizeof(uint64_t));
  g_autoptr(GArray) steps = g_array_new(false, false, sizeof(uint64_t));
  outbox_children(fixture->outbox, OUTBOX_FAILED_INO, 0, keep_ino, whole);
  g_assert_cmpuint(whole->len, ==, 4);
  unsigned before;
  do {
    before = steps->len;
    uint64_t after = before > 0 ? g_array_index(steps, uint64_t, before - 1) : 0;
    outbox_children(fixture->outbox, OUTBOX_FAILED_INO, after, keep_one_ino, steps);
  } while (steps->len > before);
  g_assert_cmpmem(whole->data, whole->len * sizeof(uint64_t), steps->data,
                  steps->len * sizeof(uint64_t));
}

static uint64_t new_ino(Fixture *fixture, const char *name) {
  OutboxHandle *handle = fixture_create(fixture, name);
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  g_assert_true(outbox_owns(file.ino));
  g_assert_cmpuint(file.ino & 1, ==, 0);
  fixture_release(fixture, handle);
  fixture_unlink(fixture, OUTBOX_INO, name);
  return file.ino;
}

// An inode number is never given to another file, also not after a restart, nor when more were
// used up than are set aside at a time.
static void test_inodes(Fixture *fixture, gconstpointer unused) {
  uint64_t last = new_ino(fixture, "a");
  for (unsigned i = 0; i < 3; i++) {
    fixture->outbox->next_number = fixture->outbox->reserved - 2;
    for (unsigned j = 0; j < 2; j++) {
      uint64_t ino = new_ino(fixture, "b");
      g_assert_cmpuint(ino, >, last);
      last = ino;
    }
    fixture_wait_disk(fixture);
    uint64_t ino = new_ino(fixture, "c");
    g_assert_cmpuint(ino, >, last);
    last = ino;
    fixture_reopen(fixture);
  }
}

static void test_directory_mtime(Fixture *fixture, gconstpointer unused) {
  int64_t last = outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO);
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO), >, last);
  last = outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  g_assert_cmpint(outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO), >, last);
}

// A letter resized by its path is not kept open, and its new size is the next start's.
static void test_truncate_by_path(Fixture *fixture, gconstpointer unused) {
  fixture_copy(fixture, ".mail", "not yet a letter");
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, ".mail", &file));
  g_assert_true(outbox_truncate(fixture->outbox, file.ino, NULL, 3, &error));
  g_assert_no_error(error);
  g_assert_cmpint(outbox_table_get(fixture->outbox->table, file.ino)->fd, ==, -1);
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, ".mail");
  g_assert_cmpstr(text, ==, "not");
  fixture_reopen(fixture);
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, ".mail", &file));
  g_assert_cmpuint(file.size, ==, 3);
}

static const OutboxCase cases[] = {
    {"names", test_names},
    {"shell", test_shell},
    {"held is on disk", test_held_is_on_disk},
    {"read back", test_read_back},
    {"flush refuses", test_flush_refuses},
    {"unfit after flush", test_unfit_after_flush},
    {"never sent", test_never_sent},
    {"continue", test_continue},
    {"the same process truncates", test_same_process_truncates},
    {"another process truncates", test_other_process_truncates},
    {"both write", test_both_write},
    {"killed writer", test_killed_writer},
    {"killed child", test_killed_child},
    {"find closed", test_find_closed},
    {"attributes", test_attributes},
    {"truncate by path", test_truncate_by_path},
    {"listing in steps", test_listing_in_steps},
    {"inodes", test_inodes},
    {"directory mtime", test_directory_mtime},
};

int main(int argc, char **argv) {
  return outbox_cases_main(argc, argv, "/outbox/write", fixture_set_up_holding, cases,
                           G_N_ELEMENTS(cases));
}
