// Claim: a drop is there whole or not at all, wherever its writer is killed; its envelope comes
// back as it was given, or is called broken; and what a killed writer leaves is swept away.
#include "cache/drop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/drop_format.h"
#include "cache/drop_writer.h"
#include "cache/letter.h"
#include "cache/outbox.h"
#include "scratch.h"

typedef struct {
  char *root, *account;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  fixture->root = g_dir_make_tmp("mailfs-drop-XXXXXX", &error);
  g_assert_no_error(error);
  fixture->account = g_build_filename(fixture->root, "state", "work", NULL);
}

static void tear_down(Fixture *fixture, gconstpointer unused) {
  scratch_remove(fixture->root);
  g_free(fixture->root);
  g_free(fixture->account);
}

static char *recipients[] = {(char *)"b\xc3\xb6" "b@example.org", (char *)"a;b\\@example.org", NULL};
static const Envelope full = {
    .from = (char *)"",
    .recipients = recipients,
    .notify = (char *)"FAILURE,DELAY",
    .ret = (char *)"FULL",
    .envid = (char *)"7",
};

static int open_drops(const Fixture *fixture) {
  g_autoptr(GError) error = NULL;
  int fd = drop_directory_open(fixture->account, &error);
  g_assert_no_error(error);
  return fd;
}

static unsigned count_drops(const Fixture *fixture) {
  int fd = open_drops(fixture);
  g_autoptr(GPtrArray) ids = drop_list(fd, NULL, 1000, NULL);
  close(fd);
  return ids->len;
}

static unsigned count_files(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->account, DROP_DIRECTORY, NULL);
  g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
  unsigned count = 0;
  while (g_dir_read_name(directory) != NULL)
    count++;
  return count;
}

// The directories are made, for the user alone; ids rise, and can be asked for in pieces.
static void test_write(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  for (unsigned i = 0; i < 3; i++) {
    g_autoptr(DropWriter) writer = drop_writer_new(fixture->account, &error);
    g_assert_no_error(error);
    g_assert_cmpint(dprintf(drop_writer_fd(writer), "letter %u", i), ==, 8);
    g_assert_true(drop_writer_commit(writer, "mail", &full, &error));
  }
  g_autoptr(DropWriter) given_up = drop_writer_new(fixture->account, &error);
  g_clear_pointer(&given_up, drop_writer_free);
  g_assert_cmpuint(count_files(fixture), ==, 6);
  struct stat status;
  g_assert_cmpint(stat(fixture->account, &status), ==, 0);
  g_assert_cmpuint(status.st_mode & 0777, ==, 0700);
  int fd = open_drops(fixture);
  g_autoptr(GPtrArray) first = drop_list(fd, NULL, 2, &error);
  g_autoptr(GPtrArray) rest = drop_list(fd, first->pdata[1], 2, &error);
  g_assert_cmpuint(first->len, ==, 2);
  g_assert_cmpuint(rest->len, ==, 1);
  g_autoptr(Drop) drop = drop_read(fd, rest->pdata[0]);
  g_autofree char *name = drop_file_name(drop->id, DROP_LETTER);
  char bytes[20] = "";
  int letter_fd = openat(fd, name, O_RDONLY);
  g_assert_cmpint(read(letter_fd, bytes, sizeof bytes), ==, 8);
  g_assert_cmpstr(bytes, ==, "letter 2");
  close(letter_fd);
  close(fd);
}

static void test_envelope(Fixture *fixture, gconstpointer unused) {
  size_t size;
  g_autoptr(GError) error = NULL;
  g_autoptr(Drop) drop = g_new0(Drop, 1);
  // One of its addresses is none, so it is left out here.
  Envelope envelope = full;
  char *one[] = {recipients[0], NULL};
  envelope.recipients = one;
  g_autofree char *text = drop_format_write("mail.eml", &envelope, &size);
  g_assert_true(drop_format_read(drop, text, size, &error));
  g_assert_no_error(error);
  g_assert_cmpstr(drop->name, ==, "mail.eml");
  g_assert_cmpstr(drop->envelope.from, ==, "");
  g_assert_cmpstrv(drop->envelope.recipients, one);
  g_assert_cmpstr(drop->envelope.notify, ==, "FAILURE,DELAY");
  g_assert_cmpstr(drop->envelope.ret, ==, "FULL");
  g_assert_cmpstr(drop->envelope.envid, ==, "7");
  g_autoptr(Drop) bare = g_new0(Drop, 1);
  const Envelope empty = {0};
  g_autofree char *little = drop_format_write(NULL, &empty, &size);
  g_assert_true(drop_format_read(bare, little, size, &error));
  g_assert_null(bare->name);
  g_assert_null(bare->envelope.from);
  g_assert_null(bare->envelope.recipients);
}

static const char *const broken_rows[] = {
    "",
    "no key file",
    "[drop]\nversion=2\n",
    "[drop]\nname=mail\n",
    "[drop]\nversion=1\nname=a/b\n",
    "[drop]\nversion=1\nname=.hidden\n",
    "[drop]\nversion=1\nname=mail.error\n",
    "[drop]\nversion=1\nfrom=nobody\n",
    "[drop]\nversion=1\nrecipients=\n",
    "[drop]\nversion=1\nrecipients=bob@example.org;eve;\n",
    "[drop]\nversion=1\nrecipients=bob@example.org\\nRCPT;\n",
    "[drop]\nversion=1\nrecipients=\xff@example.org;\n",
    "[drop]\nversion=1\nnotify=maybe\n",
    "[drop]\nversion=1\nret=some\n",
    "[drop]\nversion=1\nenvid=two words\n",
};

static void test_broken(Fixture *fixture, gconstpointer unused) {
  for (size_t i = 0; i < G_N_ELEMENTS(broken_rows); i++) {
    g_autoptr(Drop) drop = g_new0(Drop, 1);
    g_autoptr(GError) error = NULL;
    g_autofree char *shown = g_strescape(broken_rows[i], NULL);
    g_test_message("%s", shown);
    g_assert_false(drop_format_read(drop, broken_rows[i], strlen(broken_rows[i]), &error));
    g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
  }
}

// -- Killed.

typedef struct {
  unsigned left;
} Fate;

static void die(gpointer data) {
  Fate *fate = data;
  if (fate->left-- == 0) raise(SIGKILL);
}

// True if the writer was killed after that many steps.
static bool write_and_die(const Fixture *fixture, unsigned steps) {
  pid_t child = fork();
  if (child == 0) {
    Fate fate = {steps};
    g_autoptr(DropWriter) writer = drop_writer_new(fixture->account, NULL);
    dprintf(drop_writer_fd(writer), "letter");
    drop_writer_watch(writer, die, &fate);
    _exit(drop_writer_commit(writer, "mail", &full, NULL) ? 0 : 1);
  }
  int status;
  g_assert_cmpint(waitpid(child, &status, 0), ==, child);
  g_assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

static void test_killed(Fixture *fixture, gconstpointer unused) {
  unsigned steps = 0, drops = 0;
  for (bool killed = true; killed; steps++) {
    killed = write_and_die(fixture, steps);
    unsigned now = count_drops(fixture);
    g_assert_cmpuint(now - drops, ==, steps >= 3 ? 1 : 0);
    drops = now;
  }
  g_assert_cmpuint(steps, ==, 6);
  g_assert_cmpuint(count_files(fixture), ==, 2 * drops + 1 + 2 + 2);
}

static void make_old(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->account, DROP_DIRECTORY, NULL);
  g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
  const char *name;
  const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
  while ((name = g_dir_read_name(directory)) != NULL) {
    g_autofree char *file = g_build_filename(path, name, NULL);
    g_assert_cmpint(utimensat(AT_FDCWD, file, old, 0), ==, 0);
  }
}

// Only what is old, and nobody's: not a drop, nor a letter that is still being written.
static void test_sweep(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  for (unsigned steps = 0; steps < 5; steps++)
    write_and_die(fixture, steps);
  unsigned files = count_files(fixture), drops = count_drops(fixture);
  int fd = open_drops(fixture);
  drop_sweep(fd);
  g_assert_cmpuint(count_files(fixture), ==, files);
  g_autoptr(DropWriter) slow = drop_writer_new(fixture->account, &error);
  make_old(fixture);
  drop_sweep(fd);
  close(fd);
  g_assert_cmpuint(count_files(fixture), ==, 2 * drops + 1);
  g_assert_true(drop_writer_commit(slow, "slow", &full, &error));
  g_assert_cmpuint(count_drops(fixture), ==, drops + 1);
}

// A directory that others may write to is not trusted.
static void test_open_to_others(Fixture *fixture, gconstpointer unused) {
  close(open_drops(fixture));
  g_autofree char *path = g_build_filename(fixture->account, DROP_DIRECTORY, NULL);
  g_assert_cmpint(chmod(path, 0770), ==, 0);
  g_autoptr(GError) error = NULL;
  g_assert_null(drop_writer_new(fixture->account, &error));
  g_assert_error(error, OUTBOX_ERROR, EACCES);
}

int main(int argc, char **argv) {
  umask(077);
  g_test_init(&argc, &argv, NULL);
  g_test_add("/drop/write", Fixture, NULL, set_up, test_write, tear_down);
  g_test_add("/drop/envelope", Fixture, NULL, set_up, test_envelope, tear_down);
  g_test_add("/drop/broken", Fixture, NULL, set_up, test_broken, tear_down);
  g_test_add("/drop/killed", Fixture, NULL, set_up, test_killed, tear_down);
  g_test_add("/drop/sweep", Fixture, NULL, set_up, test_sweep, tear_down);
  g_test_add("/drop/open to others", Fixture, NULL, set_up, test_open_to_others, tear_down);
  return g_test_run();
}
