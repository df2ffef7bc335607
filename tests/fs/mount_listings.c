// What programs see of folders at a mount, while these change and listings are old or missing.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/error.h"
#include "tests/fs/steps.h"

// A stale listing waits for a newer one only so long, then the last good one is shown.
static void test_stale(void) {
  g_autoptr(Mounted) mounted = mounted_new(HASTY_MS);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  set_listing(mounted, STORE_STALE);
  set_outcome(mounted, FAKE_WAIT);
  int64_t start_us = g_get_monotonic_time();
  assert_list(mounted, "INBOX", "a ");
  g_assert_cmpint(g_get_monotonic_time() - start_us, >=, HASTY_MS * 1000);
  set_outcome(mounted, NET_ERROR_OFFLINE);
  assert_list(mounted, "INBOX", "a ");
}

// A folder never listed is an error while it cannot be listed, never empty, and its names are not
// said to be missing.
static void test_unlisted(void) {
  g_autoptr(Mounted) mounted = mounted_new(HASTY_MS);
  g_autofree char *offline = g_strdup_printf("errno %d", EHOSTUNREACH);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  set_listing(mounted, STORE_UNLISTED);
  set_outcome(mounted, NET_ERROR_OFFLINE);
  assert_list(mounted, "INBOX", offline);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, EHOSTUNREACH);
  set_outcome(mounted, FAKE_WAIT);
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, EHOSTUNREACH);
  look(mounted, "INBOX");
  set_outcome(mounted, FAKE_SUCCEED);
  assert_list(mounted, "INBOX", "a ");
  g_assert_cmpint(look_errno(mounted, "INBOX/none"), ==, ENOENT);
}

// What left the server is gone from names and listings once the kernel was told, though it may
// keep both for a day.
static void test_removed(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  uint64_t ino = add_message(mounted, "a", LETTER, strlen(LETTER));
  g_autofree char *path = mounted_path(mounted, "INBOX/a");
  assert_list(mounted, "INBOX", "a ");
  assert_read(mounted, "INBOX/a", LETTER);
  int fd = open(path, O_RDONLY);
  remove_message(mounted, ino);
  assert_list(mounted, "INBOX", "");
  while (look_errno(mounted, "INBOX/a") != ENOENT)
    g_usleep(1000);  // the kernel is told by another thread
  char byte;
  g_assert_cmpint(pread(fd, &byte, 1, 0), ==, 1);  // still readable
  close(fd);
}

// A folder that goes between its opening and its reading is an error, never empty.
static void test_removed_folder(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX");
  add_message(mounted, "a", LETTER, strlen(LETTER));
  struct stat inbox = look(mounted, "INBOX");
  DIR *directory = opendir(path);
  g_assert_nonnull(directory);
  remove_message(mounted, inbox.st_ino);
  errno = 0;
  g_assert_null(readdir(directory));
  g_assert_cmpint(errno, ==, ESTALE);
  closedir(directory);
}

// What is new is there at the next opendir: the kernel's copy of the listing is not used again. A
// folder's new mtime is seen without opening it.
static void test_changed(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  assert_list(mounted, "INBOX", "a ");
  assert_list(mounted, "INBOX", "a ");
  add_message(mounted, "b", LETTER, strlen(LETTER));
  tell_changed(mounted);
  assert_list(mounted, "INBOX", "a b ");
  struct stat before = look(mounted, "INBOX");
  tell_changed(mounted);
  while (look(mounted, "INBOX").st_mtim.tv_nsec == before.st_mtim.tv_nsec)
    g_usleep(1000);  // likewise
}

#define SOME 3000  // names that one READDIR does not hold

static void do_add_some(Mounted *mounted, gpointer data) {
  fake_add_many(mounted->store, mounted->inbox, 0, SOME);
}

static void do_replace_first(Mounted *mounted, gpointer data) {
  fake_add_message(mounted->store, mounted->inbox, "new", "", 1);
  fake_remove(mounted->store, mounted->inbox + 1);
}

static unsigned read_names(DIR *directory, unsigned most) {
  unsigned count = 0;
  while (count < most && readdir(directory) != NULL)
    count++;
  return count;
}

// True if the folder shows the new name and not the first one.
static bool shows_change(const char *path) {
  bool first = false, last = false;
  DIR *directory = opendir(path);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    first = first || strcmp(entry->d_name, "000000.eml") == 0;
    last = last || strcmp(entry->d_name, "new") == 0;
  }
  closedir(directory);
  return last && !first;
}

static void do_count_lookups(Mounted *mounted, gpointer data) {
  *(unsigned *)data = fake_count_lookups(mounted->store);
}

// Who has read a folder's names may look at each without our being asked again.
static void test_plus(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX");
  unsigned before, after;
  mounted_call(mounted, do_add_some, NULL);
  g_assert_false(shows_change(path));
  mounted_call(mounted, do_count_lookups, &before);
  list_plus(mounted, "INBOX");
  mounted_call(mounted, do_count_lookups, &after);
  g_assert_cmpuint(after, ==, before);
}

typedef struct {
  const char *path;
  bool cached;    // the kernel has its copy already, else it is filled by this reading
  unsigned told;  // how much was read when the folder changed
} ReadingCase;

// What changes while a listing is read, and so gets into the kernel's copy half old and half new,
// is in the next one: also for who opened the folder before, or opened it and read nothing.
static void test_changed_while_read(gconstpointer data) {
  const ReadingCase *reading = data;
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX");
  mounted_call(mounted, do_add_some, NULL);
  for (unsigned i = 0; i < 2 && reading->cached; i++)
    g_assert_false(shows_change(path));
  DIR *directory = opendir(path), *idle = opendir(path);
  g_assert_cmpuint(read_names(directory, reading->told), ==, reading->told);
  mounted_call(mounted, do_replace_first, NULL);
  closedir(opendir(path));
  read_names(directory, UINT_MAX);
  g_assert_true(shows_change(path));
  g_assert_true(shows_change(path));
  rewinddir(directory);
  g_assert_cmpuint(read_names(directory, UINT_MAX), ==, SOME + 2);
  g_assert_cmpuint(read_names(idle, UINT_MAX), ==, SOME + 2);
  g_assert_true(shows_change(path));
  closedir(directory);
  closedir(idle);
}

// That a name is missing is never remembered: it is found as soon as it is there, untold.
static void test_absent(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_assert_cmpint(look_errno(mounted, "INBOX/a"), ==, ENOENT);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  look(mounted, "INBOX/a");
}

// A busy index is asked again, and nobody notices.
static void test_busy(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  add_message(mounted, "a", LETTER, strlen(LETTER));
  be_busy(mounted);
  look(mounted, "INBOX/a");
  be_busy(mounted);
  assert_list(mounted, "INBOX", "a ");
  be_busy(mounted);
  assert_read(mounted, "INBOX/a", LETTER);
}

#define MANY 100000

static void do_add_many(Mounted *mounted, gpointer data) {
  fake_add_many(mounted->store, mounted->inbox, 0, MANY);
}

static void do_churn(Mounted *mounted, gpointer data) {
  g_autofree char *name = g_strdup_printf("new-%u", *(unsigned *)data);
  fake_add_message(mounted->store, mounted->inbox, name, "", 1);
  uint64_t *doomed = (uint64_t *)data + 1;
  fake_remove(mounted->store, *doomed);
}

// While a large folder is read, others come and go: each name that stays is told exactly once.
static void test_many(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "INBOX");
  g_autofree unsigned char *seen = g_malloc0(MANY);
  mounted_call(mounted, do_add_many, NULL);
  DIR *directory = opendir(path);
  unsigned told = 0, removed = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL; told++) {
    if (!g_ascii_isdigit(entry->d_name[0])) continue;
    seen[strtoul(entry->d_name, NULL, 10)]++;
    if (told % 1000 != 0) continue;
    // The first entries, long told, and so removed behind the reader's back.
    uint64_t churn[2] = {told, mounted->inbox + 1 + removed++};
    mounted_call(mounted, do_churn, churn);
  }
  closedir(directory);
  for (unsigned i = 0; i < MANY; i++)
    g_assert_cmpuint(seen[i], ==, 1);
  directory = opendir(path);
  unsigned count = 0;
  while (readdir(directory) != NULL)
    count++;
  closedir(directory);
  g_assert_cmpuint(count, ==, 2 + MANY);  // as many came as went
}

int main(int argc, char **argv) {
  static const ReadingCase readings[] = {
      {"/mount/listings/changed-while-filled/0", false, 0},
      {"/mount/listings/changed-while-filled/1", false, 1},
      {"/mount/listings/changed-while-filled/2000", false, 2000},
      {"/mount/listings/changed-while-filled/all", false, SOME + 2},
      {"/mount/listings/changed-while-read/0", true, 0},
      {"/mount/listings/changed-while-read/2000", true, 2000},
      {"/mount/listings/changed-while-read/all", true, SOME + 2},
  };
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/listings/stale", test_stale);
  g_test_add_func("/mount/listings/unlisted", test_unlisted);
  g_test_add_func("/mount/listings/removed", test_removed);
  g_test_add_func("/mount/listings/removed-folder", test_removed_folder);
  g_test_add_func("/mount/listings/changed", test_changed);
  for (size_t i = 0; i < G_N_ELEMENTS(readings); i++)
    g_test_add_data_func(readings[i].path, &readings[i], test_changed_while_read);
  g_test_add_func("/mount/listings/absent", test_absent);
  g_test_add_func("/mount/listings/plus", test_plus);
  g_test_add_func("/mount/listings/busy", test_busy);
  g_test_add_func("/mount/listings/many", test_many);
  return g_test_run();
}
