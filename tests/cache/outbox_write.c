// Claim: what is written, continued, replaced, renamed and removed in the outbox is sent exactly
// when its writer has finished, never half, never in another's place; what cannot be sent is told
// to the writer where it can be told.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"

// Long enough that nothing is sent before the test says so, by a restart.
#define HOLD_MS (3600 * 1000)

static void set_up_holding(Fixture *fixture, gconstpointer unused) {
  fixture_set_up_closed(fixture, unused);
  fixture->options.send_delay_ms = HOLD_MS;
  fixture_open(fixture);
}

static void write_to(Fixture *fixture, OutboxHandle *handle, const char *subject) {
  g_autofree char *letter = fixture_letter(subject);
  fixture_write(handle, letter);
}

static void finish(Fixture *fixture, OutboxHandle *handle, pid_t pid) {
  g_assert_cmpint(fixture_flush(fixture, handle, pid), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
}

static void copy_letter(Fixture *fixture, const char *name) {
  g_autofree char *letter = fixture_letter(name);
  g_assert_cmpint(fixture_copy(fixture, name, letter), ==, 0);
}

static void assert_state(Fixture *fixture, const char *name, const char *state) {
  g_autofree char *found = fixture_state(fixture, OUTBOX_INO, name);
  g_assert_cmpstr(found, ==, state);
}

// A restart ends every hold: what was committed is sent. The subjects sent, in any order.
static void assert_sends(Fixture *fixture, unsigned count, const char *const *subjects) {
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, count);
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *line = g_strdup_printf("\r\nSubject: %s\r\n", subjects[i]);
    bool found = false;
    for (unsigned j = 0; j < count; j++) {
      g_autofree char *letter = fake_server_letter(j);
      found |= strstr(letter, line) != NULL;
    }
    g_assert_true(found);
  }
}

#define ASSERT_SENDS(fixture, ...)                                       \
  assert_sends((fixture), G_N_ELEMENTS(((const char *[]){__VA_ARGS__})), \
               (const char *[]){__VA_ARGS__})

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
  write_to(fixture, handle, "one");
  assert_state(fixture, "mail", "writing");
  finish(fixture, handle, getpid());
  assert_state(fixture, "mail", "held");
  ASSERT_SENDS(fixture, "one");
}

static void test_read_back(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
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
  write_to(fixture, handle, "one");
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  fixture_write(handle, "No header\n");
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
}

static void test_never_sent(Fixture *fixture, gconstpointer unused) {
  static const char *const names[] = {".mail", "mail~", "mail.swp", "4913", "#mail#"};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
    g_assert_cmpint(fixture_copy(fixture, names[i], "no letter"), ==, 0);
    assert_state(fixture, names[i], "draft");
  }
  finish(fixture, fixture_create(fixture, "empty"), getpid());
  assert_state(fixture, "empty", "draft");
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

static void test_rm_cancels(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, ENOENT);
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, "", "");
}

// `cmd >> letter` within the delay continues it; so does the same process with `>`.
static void test_continue(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  OutboxHandle *handle =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_APPEND, fixture_other_process());
  assert_state(fixture, "mail", "writing");
  g_autoptr(GError) error = NULL;
  outbox_write(handle, "more\n", 5,
               (off_t)strlen("From: alice@example.org\n"
                             "To: bob@example.org\nSubject: mail\n\nHello\n"),
               &error);
  finish(fixture, handle, fixture_other_process());
  handle = fixture_open_letter(fixture, "mail", O_WRONLY, getpid());
  finish(fixture, handle, getpid());
  fixture_assert_names(fixture, "mail", "");
  ASSERT_SENDS(fixture, "mail");
  g_autofree char *sent = fake_server_letter(0);
  g_assert_true(g_str_has_suffix(sent, "Hello\r\nmore\r\n"));
}

static void test_same_process_truncates(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  OutboxHandle *handle = fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, getpid());
  write_to(fixture, handle, "again");
  finish(fixture, handle, getpid());
  fixture_assert_names(fixture, "mail", "");
  ASSERT_SENDS(fixture, "again");
}

// Two scripts that write the same name send two letters; the name and its inode are the newer's.
static void test_other_process_truncates(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  OutboxFile before, after;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &before));
  for (unsigned i = 0; i < 2; i++) {
    OutboxHandle *handle =
        fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, fixture_other_process());
    write_to(fixture, handle, i == 0 ? "second" : "third");
    g_assert_cmpint(fixture_flush(fixture, handle, fixture_other_process()), ==, 0);
    g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
    if (i == 0) {
      g_assert_true(fixture_was_told(fixture, "* outbox"));
      fixture_assert_names(fixture, "mail mail+1", "");
    }
  }
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &after));
  g_assert_cmpuint(before.ino, ==, after.ino);
  ASSERT_SENDS(fixture, "mail", "third");
}

// Also while both write: what one has written is not the other's to destroy.
static void test_both_write(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *first = fixture_create(fixture, "mail");
  write_to(fixture, first, "first");
  OutboxHandle *second =
      fixture_open_letter(fixture, "mail", O_WRONLY | O_TRUNC, fixture_other_process());
  write_to(fixture, second, "second");
  g_autoptr(GError) error = NULL;
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_true(outbox_truncate(fixture->outbox, file.ino, first, 500, &error));
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_cmpuint(file.size, <, 500);
  write_to(fixture, first, "first");
  g_assert_true(outbox_truncate(fixture->outbox, file.ino, first, file.size - 1, &error));
  finish(fixture, first, getpid());
  g_assert_cmpint(fixture_flush(fixture, second, fixture_other_process()), ==, 0);
  g_assert_cmpint(fixture_release(fixture, second), ==, 0);
  fixture_assert_names(fixture, "mail mail+1", "");
  ASSERT_SENDS(fixture, "first", "second");
}

// The closing process was being killed: it had not finished.
static void test_killed_writer(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  write_to(fixture, handle, "half");
  g_assert_cmpint(fixture_flush(fixture, handle, fixture_killed_process()), ==, 0);
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "killed before it had finished"));
}

// rsync: a hidden file, renamed when it is whole, goes at once.
static void test_rename_commits(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, ".mail.Ab12cd");
  assert_state(fixture, ".mail.Ab12cd", "draft");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail.Ab12cd", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
}

static void test_rename_refuses(Fixture *fixture, gconstpointer unused) {
  g_assert_cmpint(fixture_copy(fixture, ".mail", "no letter"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, EINVAL);
  fixture_assert_names(fixture, ".mail", "");
  assert_state(fixture, ".mail", "draft");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", ".other", 0), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "x", 0), ==, ENOENT);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".other", "x.error", 0), ==, EINVAL);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".other", "x", RENAME_EXCHANGE), ==, EINVAL);
  fixture_reopen(fixture);
  fixture_assert_names(fixture, ".other", "");
}

static void test_rename_relabels(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "one");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "one", "other", 0), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "other", "other", 0), ==, 0);
  fixture_assert_names(fixture, "other", "");
  assert_state(fixture, "other", "held");
  ASSERT_SENDS(fixture, "one");
}

// Onto another letter: that one goes on; onto something that is no letter: it is replaced.
static void test_rename_onto(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "one");
  copy_letter(fixture, "two");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "two", "one", RENAME_NOREPLACE), ==, EEXIST);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "two", "one", 0), ==, 0);
  fixture_assert_names(fixture, "one+1 one", "");
  g_assert_cmpint(fixture_copy(fixture, ".a", "a"), ==, 0);
  g_assert_cmpint(fixture_copy(fixture, ".b", "b"), ==, 0);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".a", ".b", 0), ==, 0);
  fixture_assert_names(fixture, "one+1 one .b", "");
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, ".b");
  g_assert_cmpstr(text, ==, "a");
  ASSERT_SENDS(fixture, "one", "two");
}

// A letter renamed to a name that is never sent is taken back.
static void test_rename_withdraws(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail", ".mail", 0), ==, 0);
  assert_state(fixture, ".mail", "draft");
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, ".mail", "");
}

// A rename while it is written: it is committed at its close, under its new name.
static void test_rename_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, ".mail");
  write_to(fixture, handle, "one");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".mail", "mail", 0), ==, 0);
  assert_state(fixture, "mail", "writing");
  finish(fixture, handle, getpid());
  assert_state(fixture, "mail", "held");
  ASSERT_SENDS(fixture, "one");
}

static void test_editor_lock(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *lock = fixture_create(fixture, ".mail.swp");
  fixture_write(lock, "b0VIM");
  copy_letter(fixture, "mail");
  assert_state(fixture, "mail", "draft");
  copy_letter(fixture, "mail2");
  assert_state(fixture, "mail2", "held");
  finish(fixture, lock, getpid());
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, ".mail.swp"), ==, 0);
  assert_state(fixture, "mail", "held");
  fixture_wait_disk(fixture);
  ASSERT_SENDS(fixture, "mail", "mail2");
}

// vim's second :w - the old one aside, a new one written, the old one removed - is one letter.
static void test_vim_writes_again(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, "mail", "mail~", 0), ==, 0);
  g_autofree char *letter = fixture_letter("better");
  g_assert_cmpint(fixture_copy(fixture, "mail", letter), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail~"), ==, 0);
  ASSERT_SENDS(fixture, "better");
}

static void test_unlinked_while_open(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  write_to(fixture, handle, "one");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  write_to(fixture, handle, "two");
  char first[5] = "";
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(outbox_read(handle, first, 4, 0, &error), ==, 4);
  g_assert_cmpstr(first, ==, "From");
  finish(fixture, handle, getpid());
  fixture_reopen(fixture);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 0);
  fixture_assert_names(fixture, "", "");
}

static void fail_letter(Fixture *fixture, const char *name) {
  fixture_copy(fixture, name, "no letter");
}

// `rm failed/*`: the letter and its note go, whichever is first.
static void test_rm_failed(Fixture *fixture, gconstpointer unused) {
  fail_letter(fixture, "one");
  fail_letter(fixture, "two");
  fixture_assert_names(fixture, "", "one one.error two two.error");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "one"), ==, 0);
  fixture_assert_names(fixture, "", "one.error two two.error");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "one.error"), ==, 0);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "two.error"), ==, 0);
  fixture_assert_names(fixture, "", "two");
  fixture_reopen(fixture);
  fixture_assert_names(fixture, "", "two");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_FAILED_INO, "two"), ==, 0);
  fixture_assert_names(fixture, "", "");
}

// A second failure of the same name does not hide the first.
static void test_two_failures(Fixture *fixture, gconstpointer unused) {
  fail_letter(fixture, "mail");
  fail_letter(fixture, "mail");
  fixture_assert_names(fixture, "", "mail mail.error mail+1 mail+1.error");
}

// failed/ may be read, mended and taken out of, not put into; a retry is checked as any letter is.
static void test_failed_directory(Fixture *fixture, gconstpointer unused) {
  fail_letter(fixture, "mail");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, EINVAL);
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail.error", "x", 0), ==, EPERM);
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail.error", &file));
  g_assert_true(file.is_error_note);
  g_assert_null(outbox_open_file(fixture->outbox, file.ino, O_RDWR, getpid(), &error));
  g_assert_cmpint(error->code, ==, EPERM);
  g_clear_error(&error);
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_FAILED_INO, "mail", &file));
  OutboxHandle *handle =
      outbox_open_file(fixture->outbox, file.ino, O_WRONLY | O_TRUNC, getpid(), &error);
  g_assert_no_error(error);
  write_to(fixture, handle, "mended");
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, EBUSY);
  finish(fixture, handle, getpid());
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_FAILED_INO, "mail", "mail", 0), ==, 0);
  fixture_wait_sent(fixture);
  g_assert_cmpuint(fake_server_count(), ==, 1);
  fixture_assert_names(fixture, "", "");
}

static void test_attributes(Fixture *fixture, gconstpointer unused) {
  copy_letter(fixture, "mail");
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, "mail", &file));
  g_assert_true(outbox_set_mode(fixture->outbox, file.ino, 0644, &error));
  g_assert_true(outbox_set_times(fixture->outbox, file.ino, 1000, 2000, &error));
  g_assert_false(outbox_truncate(fixture->outbox, file.ino, NULL, 0, &error));
  g_assert_cmpint(error->code, ==, EBUSY);
  assert_state(fixture, "mail", "held");
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
  fail_letter(fixture, "one");
  fail_letter(fixture, "two");
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
  copy_letter(fixture, "mail");
  g_assert_cmpint(outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO), >, last);
  last = outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO);
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  g_assert_cmpint(outbox_directory_mtime_ns(fixture->outbox, OUTBOX_INO), >, last);
}

typedef struct {
  const char *name;
  void (*run)(Fixture *fixture, gconstpointer unused);
} Case;

static const Case cases[] = {
    {"names", test_names},
    {"shell", test_shell},
    {"read back", test_read_back},
    {"flush refuses", test_flush_refuses},
    {"unfit after flush", test_unfit_after_flush},
    {"never sent", test_never_sent},
    {"rm cancels", test_rm_cancels},
    {"continue", test_continue},
    {"the same process truncates", test_same_process_truncates},
    {"another process truncates", test_other_process_truncates},
    {"both write", test_both_write},
    {"killed writer", test_killed_writer},
    {"rename commits", test_rename_commits},
    {"rename refuses", test_rename_refuses},
    {"rename relabels", test_rename_relabels},
    {"rename onto", test_rename_onto},
    {"rename withdraws", test_rename_withdraws},
    {"rename while open", test_rename_while_open},
    {"editor's lock", test_editor_lock},
    {"vim writes again", test_vim_writes_again},
    {"unlinked while open", test_unlinked_while_open},
    {"rm failed", test_rm_failed},
    {"two failures", test_two_failures},
    {"the failed directory", test_failed_directory},
    {"attributes", test_attributes},
    {"listing in steps", test_listing_in_steps},
    {"inodes", test_inodes},
    {"directory mtime", test_directory_mtime},
};

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = g_strconcat("/outbox/write/", cases[i].name, NULL);
    g_test_add(path, Fixture, NULL, set_up_holding, cases[i].run, fixture_tear_down);
  }
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
