// How a mount begins and ends.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/fs/steps.h"

// fusermount3 -u is noticed.
static void test_unmount(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  mounted_unmount(mounted->directory);
  sem_wait(&mounted->ended);
  assert_list(mounted, ".", "");
}

// The end does not wait for a server: who waits gets an error, what was told is dropped.
static void test_end_while_waiting(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *offline = g_strdup_printf("errno %d", EHOSTUNREACH);
  Reading reading;
  add_message(mounted, "slow", LETTER, strlen(LETTER));
  set_outcome(mounted, FAKE_WAIT);
  reading_start(&reading, mounted, "INBOX/slow");
  fake_wait_asked(mounted->store, 1);
  tell_changed(mounted);
  mounted_end(mounted);
  reading_end(&reading, offline);
  assert_list(mounted, ".", "");
}

// A mount whose process was killed is replaced.
static void test_dead_mount(void) {
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = g_dir_make_tmp("mailfs-test-XXXXXX", NULL);
  FilesystemOptions options = {.source = "dead", .mountpoint = directory, .timeout_ms = 1000};
  struct stat attr;
  pid_t pid = fork();
  if (pid == 0) {
    GMainContext *context = g_main_context_new();
    Store *store = fake_store_new(context);
    Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, NULL);
    _exit(filesystem_mount(filesystem, NULL, NULL, NULL) ? 0 : 1);
  }
  g_assert_cmpint(exit_code_of(pid), ==, 0);
  g_assert_cmpint(stat(directory, &attr), ==, -1);
  g_assert_cmpint(errno, ==, ENOTCONN);
  GMainContext *context = g_main_context_new();
  Store *store = fake_store_new(context);
  Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, &error);
  g_assert_true(filesystem_mount(filesystem, NULL, NULL, &error));
  g_assert_no_error(error);
  filesystem_free(filesystem);
  fake_store_free(store);
  g_main_context_unref(context);
  g_assert_cmpint(rmdir(directory), ==, 0);
}

// What cannot be a mount point, or is no option, is refused with words.
static void test_refused_mounts(void) {
  g_autoptr(GMainContext) context = g_main_context_new();
  Store *store = fake_store_new(context);
  g_autoptr(GError) error = NULL;
  FilesystemOptions options = {.source = "none", .mountpoint = "/dev/null", .timeout_ms = 1000};
  Filesystem *filesystem = filesystem_new(&options, store, NULL, context, NULL, NULL, &error);
  g_assert_no_error(error);
  g_assert_false(filesystem_mount(filesystem, NULL, NULL, &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
  filesystem_free(filesystem);
  g_clear_error(&error);
  options.fuse_options = "no_such_option";
  g_test_expect_message("mailfs-fs", G_LOG_LEVEL_WARNING, "*no_such_option*");
  g_assert_null(filesystem_new(&options, store, NULL, context, NULL, NULL, &error));
  g_test_assert_expected_messages();
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL);
  fake_store_free(store);
}

int main(int argc, char **argv) {
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/ending/unmount", test_unmount);
  g_test_add_func("/mount/ending/end-while-waiting", test_end_while_waiting);
  g_test_add_func("/mount/ending/dead-mount", test_dead_mount);
  g_test_add_func("/mount/ending/refused-mounts", test_refused_mounts);
  return g_test_run();
}
