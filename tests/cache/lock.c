// One process at a time has a directory: another waits, is told who holds it, and gets it when the
// holder lets go or dies. A directory that others could have prepared is not used at all.
#include "cache/lock.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "net/error.h"

#define LONG_WAIT_MS 20000

typedef struct {
  char *base;
  char *directory;  // two levels below base, not made yet
} Fixture;

// The inodes of what was synced, as text.
static GString *synced;

int fsync(int fd) {
  struct stat status;
  g_assert_cmpint(fstat(fd, &status), ==, 0);
  if (synced != NULL) g_string_append_printf(synced, " %ju ", (uintmax_t)status.st_ino);
  return fdatasync(fd);
}

static void assert_synced(const char *path) {
  struct stat status;
  g_assert_cmpint(stat(path, &status), ==, 0);
  g_autofree char *inode = g_strdup_printf(" %ju ", (uintmax_t)status.st_ino);
  g_assert_nonnull(strstr(synced->str, inode));
}

static void fixture_set_up(Fixture *fixture, gconstpointer unused) {
  fixture->base = g_dir_make_tmp("mailfs-lock-XXXXXX", NULL);
  g_assert_nonnull(fixture->base);
  fixture->directory = g_build_filename(fixture->base, "cache", "account", NULL);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer unused) {
  g_autofree char *file = g_build_filename(fixture->directory, "lock", NULL);
  g_autofree char *parent = g_path_get_dirname(fixture->directory);
  g_unlink(file);
  g_rmdir(fixture->directory);
  g_rmdir(parent);
  g_assert_cmpint(g_rmdir(fixture->base), ==, 0);
  g_free(fixture->directory);
  g_free(fixture->base);
}

static unsigned mode_of(const char *path) {
  struct stat status;
  g_assert_cmpint(stat(path, &status), ==, 0);
  return status.st_mode & 07777;
}

static void makes_private_directories(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
  g_assert_no_error(error);
  g_assert_nonnull(lock);
  g_autofree char *parent = g_path_get_dirname(fixture->directory);
  g_autofree char *file = g_build_filename(fixture->directory, "lock", NULL);
  g_assert_cmpuint(mode_of(parent), ==, 0700);
  g_assert_cmpuint(mode_of(fixture->directory), ==, 0700);
  g_assert_cmpuint(mode_of(file), ==, 0600);
}

// What a power failure would take away, letters lie in.
static void makes_them_durably(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GError) error = NULL;
  synced = g_string_new(NULL);
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
  g_assert_no_error(error);
  g_assert_nonnull(lock);
  g_autofree char *parent = g_path_get_dirname(fixture->directory);
  assert_synced(fixture->base);
  assert_synced(parent);
  g_string_free(g_steal_pointer(&synced), TRUE);
}

// A process that takes the lock, says so through a pipe, and holds it until it is told to end by
// the closing of another.
typedef struct {
  pid_t pid;
  int taken_fd;
  int release_fd;
} Holder;

static Holder start_holder(const char *directory) {
  int taken[2];
  int release[2];
  g_assert_cmpint(pipe(taken), ==, 0);
  g_assert_cmpint(pipe(release), ==, 0);
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (pid == 0) {
    close(release[1]);
    char byte = 0;
    DirectoryLock *lock = directory_lock_new(directory, 0, NULL);
    bool told = lock != NULL && write(taken[1], "x", 1) == 1 && read(release[0], &byte, 1) == 0;
    directory_lock_free(lock);
    _exit(told ? 0 : 1);
  }
  close(taken[1]);
  close(release[0]);
  char byte = 0;
  g_assert_cmpint(read(taken[0], &byte, 1), ==, 1);
  return (Holder){.pid = pid, .taken_fd = taken[0], .release_fd = release[1]};
}

static int reap_holder(Holder *holder) {
  int status = -1;
  g_assert_cmpint(waitpid(holder->pid, &status, 0), ==, holder->pid);
  close(holder->taken_fd);
  return status;
}

static void names_the_holder(Fixture *fixture, gconstpointer unused) {
  Holder holder = start_holder(fixture->directory);
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 60, &error);
  g_assert_null(lock);
  g_assert_error(error, NET_ERROR, NET_ERROR_BUSY);
  g_autofree char *pid = g_strdup_printf("%ld", (long)holder.pid);
  g_assert_nonnull(strstr(error->message, pid));
  g_assert_nonnull(strstr(error->message, fixture->directory));
  close(holder.release_fd);
  g_assert_cmpint(reap_holder(&holder), ==, 0);
}

// Nobody tells that it is waited for; by then it was tried.
static void *release_when_waited_for(void *data) {
  g_usleep(100 * 1000);
  close(*(int *)data);
  return NULL;
}

static void waits_for_the_holder_to_let_go(Fixture *fixture, gconstpointer unused) {
  Holder holder = start_holder(fixture->directory);
  g_autoptr(GError) error = NULL;
  GThread *thread = g_thread_new("release", release_when_waited_for, &holder.release_fd);
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, LONG_WAIT_MS, &error);
  g_thread_join(thread);
  g_assert_no_error(error);
  g_assert_nonnull(lock);
  g_assert_cmpint(reap_holder(&holder), ==, 0);
}

static void is_free_when_the_holder_was_killed(Fixture *fixture, gconstpointer unused) {
  Holder holder = start_holder(fixture->directory);
  g_assert_cmpint(kill(holder.pid, SIGKILL), ==, 0);
  g_assert_true(WIFSIGNALED(reap_holder(&holder)));
  close(holder.release_fd);
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
  g_assert_no_error(error);
  g_assert_nonnull(lock);
}

static void is_taken_again_after_free(Fixture *fixture, gconstpointer unused) {
  for (int i = 0; i < 2; i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
    g_assert_no_error(error);
    g_assert_nonnull(lock);
    g_autoptr(DirectoryLock) second = directory_lock_new(fixture->directory, 0, NULL);
    g_assert_null(second);
  }
}

static void refuses_a_directory_others_may_write(Fixture *fixture, gconstpointer unused) {
  static const mode_t modes[] = {0770, 0707, 0777, 01777};
  g_assert_cmpint(g_mkdir_with_parents(fixture->directory, 0700), ==, 0);
  for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(chmod(fixture->directory, modes[i]), ==, 0);
    g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
    g_assert_null(lock);
    g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM);
  }
}

// Any directory of root's will do for a user, and any user's for root.
static void refuses_a_directory_of_another_user(Fixture *fixture, gconstpointer unused) {
  const char *directory = "/";
  if (geteuid() == 0) {
    g_assert_cmpint(g_mkdir_with_parents(fixture->directory, 0700), ==, 0);
    g_assert_cmpint(chown(fixture->directory, 65534, 65534), ==, 0);
    directory = fixture->directory;
  }
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(directory, 0, &error);
  g_assert_null(lock);
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_PERM);
}

static void follows_no_link_for_a_lock_file(Fixture *fixture, gconstpointer unused) {
  g_autofree char *file = g_build_filename(fixture->directory, "lock", NULL);
  g_autofree char *target = g_build_filename(fixture->base, "target", NULL);
  g_assert_cmpint(g_mkdir_with_parents(fixture->directory, 0700), ==, 0);
  g_assert_cmpint(symlink(target, file), ==, 0);
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
  g_assert_null(lock);
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_LOOP);
  g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
}

static void says_when_it_cannot_be_made(Fixture *fixture, gconstpointer unused) {
  g_autofree char *file = g_build_filename(fixture->base, "cache", NULL);
  g_assert_true(g_file_set_contents(file, "", 0, NULL));
  g_autoptr(GError) error = NULL;
  g_autoptr(DirectoryLock) lock = directory_lock_new(fixture->directory, 0, &error);
  g_assert_null(lock);
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
  g_assert_nonnull(strstr(error->message, fixture->directory));
  g_unlink(file);
}

static const struct {
  const char *path;
  void (*run)(Fixture *fixture, gconstpointer unused);
} rows[] = {
    {"/lock/makes-private-directories", makes_private_directories},
    {"/lock/makes-them-durably", makes_them_durably},
    {"/lock/names-the-holder", names_the_holder},
    {"/lock/waits", waits_for_the_holder_to_let_go},
    {"/lock/holder-killed", is_free_when_the_holder_was_killed},
    {"/lock/taken-again", is_taken_again_after_free},
    {"/lock/writable-by-others", refuses_a_directory_others_may_write},
    {"/lock/of-another-user", refuses_a_directory_of_another_user},
    {"/lock/no-link", follows_no_link_for_a_lock_file},
    {"/lock/cannot-be-made", says_when_it_cannot_be_made},
};

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add(rows[i].path, Fixture, NULL, fixture_set_up, rows[i].run, fixture_tear_down);
  return g_test_run();
}
