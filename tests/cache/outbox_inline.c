// Claim: a small letter is durable by its bytes in the journal, without a sync of its own file:
// what a power failure left of the file is made whole from there at the next start, and nothing
// else is changed. What is in the journal is never older than what its writer was told is safe, and
// does not stay there.
#include "cache/outbox_inline.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"

#define LARGE (33u << 10)
#define GATHER_MAX (8u << 20)

// Stands in front of the C library's: counts those of letters, and lets them fail.
int fsync(int fd);
static atomic_uint files_synced;
static atomic_bool is_ill;

int fsync(int fd) {
  struct stat status;
  bool is_letter = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (is_letter && is_ill) {
    errno = EIO;
    return -1;
  }
  if (is_letter) files_synced++;
  return (int)syscall(SYS_fsync, fd);
}

static int64_t count_contents(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_JOURNAL_NAME, NULL);
  sqlite3 *database;
  sqlite3_stmt *statement;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  g_assert_cmpint(
      sqlite3_prepare_v2(database, "SELECT count(*) FROM content", -1, &statement, NULL), ==,
      SQLITE_OK);
  g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
  int64_t count = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(database);
  return count;
}

static char *text_of(const char *subject, size_t size) {
  g_autofree char *letter = fixture_letter(subject);
  GString *text = g_string_new(letter);
  while (text->len < size)
    g_string_append(text, "a line of many\n");
  return g_string_free(text, false);
}

static uint64_t id_of(const Fixture *fixture, const char *name) {
  OutboxFile file;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, name, &file));
  return outbox_table_get(fixture->outbox->table, file.ino)->row.id;
}

// -- What is inline.

static void test_not_synced(Fixture *fixture, gconstpointer unused) {
  files_synced = 0;
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpuint(files_synced, ==, 0);
  g_assert_cmpint(count_contents(fixture), ==, 1);
  fixture_close(fixture);
  g_assert_cmpuint(files_synced, ==, 1);
  g_assert_cmpint(count_contents(fixture), ==, 0);
  fixture_open(fixture);
  FIXTURE_ASSERT_SENDS(fixture, "mail");
}

static void test_large(Fixture *fixture, gconstpointer unused) {
  g_autofree char *text = text_of("large", LARGE);
  files_synced = 0;
  g_assert_cmpint(fixture_copy(fixture, "mail", text), ==, 0);
  g_assert_cmpuint(files_synced, ==, 1);
  g_assert_cmpint(count_contents(fixture), ==, 0);
}

// What was inline while it was small is no more than half of it now.
static void test_grown(Fixture *fixture, gconstpointer unused) {
  g_autofree char *text = text_of("grown", LARGE);
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "grown");
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  g_assert_cmpint(count_contents(fixture), ==, 1);
  fixture_write(handle, text);
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  g_assert_cmpint(count_contents(fixture), ==, 0);
  fixture_finish(fixture, handle, getpid());
  fixture_crash(fixture);
  g_autofree char *left = fixture_read(fixture, OUTBOX_INO, "mail");
  g_assert_cmpstr(left, ==, text);
}

static void test_removed(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(fixture_unlink(fixture, OUTBOX_INO, "mail"), ==, 0);
  fixture_wait_disk(fixture);
  g_assert_cmpint(count_contents(fixture), ==, 0);
  fixture_crash(fixture);
  fixture_assert_names(fixture, "", "");
}

// A letter that is refused at close lies in failed/ as it was then, not as it was when it was last
// made durable.
static void test_refused(Fixture *fixture, gconstpointer unused) {
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write_letter(handle, "first");
  g_assert_cmpint(fixture_fsync(fixture, handle), ==, 0);
  fixture_write(handle, "no letter, ");
  g_autofree char *text = fixture_read(fixture, OUTBOX_INO, "mail");
  g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, "", "mail mail.error");
  g_assert_cmpint(count_contents(fixture), ==, 1);
  fixture_crash(fixture);
  g_autofree char *left = fixture_read(fixture, OUTBOX_FAILED_INO, "mail");
  g_assert_cmpstr(left, ==, text);
}

// By its path, so that no flush comes behind it.
static void test_truncated(Fixture *fixture, gconstpointer unused) {
  fixture_copy_letter(fixture, ".mail");
  OutboxFile file;
  g_autoptr(GError) error = NULL;
  g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, ".mail", &file));
  for (unsigned size = 40; size > 0; size -= 20) {
    g_assert_true(outbox_truncate(fixture->outbox, file.ino, NULL, size, &error));
    fixture_wait_disk(fixture);
    fixture_crash(fixture);
    g_assert_true(outbox_lookup(fixture->outbox, OUTBOX_INO, ".mail", &file));
    g_assert_cmpuint(file.size, ==, size);
  }
}

// -- They do not stay in the journal.

static void test_gathered(Fixture *fixture, gconstpointer unused) {
  g_autofree char *text = text_of("mail", LARGE - 4096);
  unsigned count = GATHER_MAX / (unsigned)strlen(text) + 1;
  for (unsigned i = 0; i < count; i++) {
    g_autofree char *name = g_strdup_printf("mail%u", i);
    g_assert_cmpint(fixture_copy(fixture, name, text), ==, 0);
  }
  fixture_wait_disk(fixture);
  int64_t contents = count_contents(fixture);
  g_assert_cmpint(contents * (int64_t)strlen(text), <=, GATHER_MAX);
  g_assert_cmpint(contents, >, 0);
}

static pthread_mutex_t idle_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle_cond = PTHREAD_COND_INITIALIZER;
static unsigned steps;

static void count_step(gpointer data) {
  pthread_mutex_lock(&idle_mutex);
  steps++;
  pthread_cond_signal(&idle_cond);
  pthread_mutex_unlock(&idle_mutex);
}

static void open_counting(Fixture *fixture) {
  fixture_close(fixture);
  fixture->options.after_step = count_step;
  fixture_open(fixture);
}

// Waits for the spool's next step, which comes by itself.
static void wait_idle(Fixture *fixture) {
  fixture_wait_disk(fixture);
  pthread_mutex_lock(&idle_mutex);
  for (unsigned before = steps; steps == before;)
    pthread_cond_wait(&idle_cond, &idle_mutex);
  pthread_mutex_unlock(&idle_mutex);
}

static void test_idle(Fixture *fixture, gconstpointer unused) {
  open_counting(fixture);
  fixture_copy_letter(fixture, "mail");
  g_assert_cmpint(count_contents(fixture), ==, 1);
  wait_idle(fixture);
  g_assert_cmpint(count_contents(fixture), ==, 0);
}

// What the kernel could not write it may have dropped: what is read of the file then is not sent.
static void test_unsynced(Fixture *fixture, gconstpointer unused) {
  open_counting(fixture);
  fixture_copy_letter(fixture, "mail");
  fixture_copy_letter(fixture, ".draft");
  is_ill = true;
  wait_idle(fixture);
  is_ill = false;
  fixture_wait_disk(fixture);
  fixture_assert_names(fixture, ".draft", "mail mail.error");
  g_autofree char *note = fixture_read(fixture, OUTBOX_FAILED_INO, "mail.error");
  g_assert_nonnull(strstr(note, "a part could not be written: Input/output error"));
  g_assert_cmpint(fixture_rename(fixture, OUTBOX_INO, ".draft", "other", 0), ==, EIO);
  fixture_assert_sends(fixture, 0, NULL);
}

// -- What a power failure leaves of the file.

typedef struct {
  const char *name;
  const char *left;  // NULL: no file
  bool is_closed;    // by its writer
  bool stays;        // it has more than was made durable, and keeps that
} Left;

// "%" is the letter.
static const Left lefts[] = {
    {"no file", NULL, true, false},        {"an empty file", "", true, false},
    {"other bytes", "abc", true, false},   {"more", "%more", true, false},
    {"open, no file", NULL, false, false}, {"open, other bytes", "abc", false, false},
    {"open, more", "%more", false, true},
};

typedef struct {
  uint64_t id;
  const char *text, *left;
} Failure;

static void leave(const char *directory, gpointer data) {
  const Failure *failure = data;
  char number[24];
  outbox_file_name(failure->id, number);
  g_autofree char *path = g_build_filename(directory, OUTBOX_LETTERS_NAME, number, NULL);
  if (failure->left == NULL) {
    g_assert_cmpint(unlink(path), ==, 0);
    return;
  }
  g_auto(GStrv) parts = g_strsplit(failure->left, "%", -1);
  g_autofree char *bytes = g_strjoinv(failure->text, parts);
  g_assert_true(g_file_set_contents_full(path, bytes, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void test_left(Fixture *fixture, gconstpointer data) {
  const Left *left = data;
  g_autofree char *text = fixture_letter("mail");
  OutboxHandle *handle = fixture_create(fixture, "mail");
  fixture_write(handle, text);
  g_assert_cmpint(fixture_flush(fixture, handle, getpid()), ==, 0);
  if (left->is_closed) g_assert_cmpint(fixture_release(fixture, handle), ==, 0);
  fixture_wait_disk(fixture);
  Failure failure = {id_of(fixture, "mail"), text, left->left};
  fixture_crash_with(fixture, leave, &failure);
  g_autofree char *want = left->stays ? g_strconcat(text, "more", NULL) : g_strdup(text);
  g_autofree char *found =
      fixture_read(fixture, left->is_closed ? OUTBOX_INO : OUTBOX_FAILED_INO, "mail");
  g_assert_cmpstr(found, ==, want);
  g_assert_cmpint(count_contents(fixture), ==, 0);
}

typedef struct {
  const char *path;
  void (*run)(Fixture *fixture, gconstpointer unused);
} Case;

static const Case cases[] = {
    {"/outbox/inline/not synced", test_not_synced},
    {"/outbox/inline/large", test_large},
    {"/outbox/inline/grown", test_grown},
    {"/outbox/inline/removed", test_removed},
    {"/outbox/inline/refused", test_refused},
    {"/outbox/inline/gathered", test_gathered},
    {"/outbox/inline/idle", test_idle},
    {"/outbox/inline/truncated", test_truncated},
    {"/outbox/inline/unsynced", test_unsynced},
};

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  // A disk that fails is worth a warning.
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
    g_test_add(cases[i].path, Fixture, NULL, fixture_set_up_holding, cases[i].run,
               fixture_tear_down);
  for (size_t i = 0; i < G_N_ELEMENTS(lefts); i++) {
    g_autofree char *path = g_strconcat("/outbox/inline/left/", lefts[i].name, NULL);
    g_test_add(path, Fixture, &lefts[i], fixture_set_up_holding, test_left, fixture_tear_down);
  }
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
