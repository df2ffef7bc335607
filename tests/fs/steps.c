#include "tests/fs/steps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// ---- On the loop's thread.

typedef struct {
  const char *name;
  const char *body;
  uint64_t announced;
  uint64_t ino;
} Message;

static void do_add(Mounted *mounted, gpointer data) {
  Message *message = data;
  message->ino = fake_add_message(mounted->store, mounted->inbox, message->name, message->body,
                                  message->announced);
}

uint64_t add_message(Mounted *mounted, const char *name, const char *body, uint64_t announced) {
  Message message = {.name = name, .body = body, .announced = announced};
  mounted_call(mounted, do_add, &message);
  return message.ino;
}

static void do_tell_added(Mounted *mounted, gpointer data) {
  fake_tell_added(mounted->store, *(uint64_t *)data);
  fake_tell_changed(mounted->store, mounted->inbox);
}

void tell_added(Mounted *mounted, uint64_t ino) {
  mounted_call(mounted, do_tell_added, &ino);
}

static void do_remove(Mounted *mounted, gpointer data) {
  fake_remove(mounted->store, *(uint64_t *)data);
}

void remove_message(Mounted *mounted, uint64_t ino) {
  mounted_call(mounted, do_remove, &ino);
}

static void do_change(Mounted *mounted, gpointer data) {
  fake_tell_changed(mounted->store, mounted->inbox);
}

void tell_changed(Mounted *mounted) {
  mounted_call(mounted, do_change, NULL);
}

static void do_outcome(Mounted *mounted, gpointer data) {
  fake_set_outcome(mounted->store, *(int *)data);
}

void set_outcome(Mounted *mounted, int outcome) {
  mounted_call(mounted, do_outcome, &outcome);
}

static void do_listing(Mounted *mounted, gpointer data) {
  fake_set_listing(mounted->store, mounted->inbox, *(StoreListing *)data);
}

void set_listing(Mounted *mounted, StoreListing listing) {
  mounted_call(mounted, do_listing, &listing);
}

static void do_go_on(Mounted *mounted, gpointer data) {
  fake_go_on(mounted->store);
}

void go_on(Mounted *mounted) {
  mounted_call(mounted, do_go_on, NULL);
}

static void do_busy(Mounted *mounted, gpointer data) {
  fake_be_busy(mounted->store, 3);
}

void be_busy(Mounted *mounted) {
  mounted_call(mounted, do_busy, NULL);
}

static void do_count_cancelled(Mounted *mounted, gpointer data) {
  *(unsigned *)data = fake_count_cancelled(mounted->store);
}

unsigned count_cancelled(Mounted *mounted) {
  unsigned count;
  mounted_call(mounted, do_count_cancelled, &count);
  return count;
}

static void do_count_open(Mounted *mounted, gpointer data) {
  *(unsigned *)data = fake_count_open(mounted->store);
}

unsigned count_open(Mounted *mounted) {
  unsigned count;
  mounted_call(mounted, do_count_open, &count);
  return count;
}

typedef struct {
  uint64_t ino, arrived;
} Arrival;

static void do_let_arrive(Mounted *mounted, gpointer data) {
  const Arrival *arrival = data;
  fake_let_arrive(mounted->store, arrival->ino, arrival->arrived);
}

void let_arrive(Mounted *mounted, uint64_t ino, uint64_t arrived) {
  mounted_call(mounted, do_let_arrive, &(Arrival){ino, arrived});
}

// ---- What programs do.

// The directory's names in the order given, as a string "a b c ", without . and ..
static char *list(const char *path) {
  GString *names = g_string_new(NULL);
  DIR *directory = opendir(path);
  if (directory == NULL) g_string_printf(names, "errno %d", errno);
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') g_string_append_printf(names, "%s ", entry->d_name);
  if (directory != NULL) closedir(directory);
  return g_string_free(names, FALSE);
}

void assert_list(Mounted *mounted, const char *name, const char *expected) {
  g_autofree char *path = mounted_path(mounted, name);
  g_autofree char *names = list(path);
  g_assert_cmpstr(names, ==, expected);
}

void list_plus(Mounted *mounted, const char *name) {
  g_autofree char *path = mounted_path(mounted, name);
  DIR *directory = opendir(path);
  struct stat attr;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    g_assert_cmpint(fstatat(dirfd(directory), entry->d_name, &attr, 0), ==, 0);
  closedir(directory);
}

struct stat look(Mounted *mounted, const char *name) {
  g_autofree char *path = mounted_path(mounted, name);
  struct stat attr = {0};
  int result = stat(path, &attr);
  if (result != 0) g_test_message("stat %s: %s", name, g_strerror(errno));
  g_assert_cmpint(result, ==, 0);
  return attr;
}

int look_errno(Mounted *mounted, const char *name) {
  g_autofree char *path = mounted_path(mounted, name);
  struct stat attr;
  return stat(path, &attr) == 0 ? 0 : errno;
}

// The fstat size and the bytes of what open gives, "errno N" if it gives nothing.
static char *read_all(const char *path, off_t *size) {
  struct stat attr;
  char buffer[4096];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return g_strdup_printf("errno %d", errno);
  g_assert_cmpint(fstat(fd, &attr), ==, 0);
  *size = attr.st_size;
  ssize_t got = read(fd, buffer, sizeof buffer);
  close(fd);
  g_assert_cmpint(got, >=, 0);
  return g_strndup(buffer, (size_t)got);
}

void assert_read(Mounted *mounted, const char *name, const char *expected) {
  g_autofree char *path = mounted_path(mounted, name);
  off_t size = (off_t)strlen(expected);
  g_autofree char *bytes = read_all(path, &size);
  g_assert_cmpstr(bytes, ==, expected);
  g_assert_cmpint(size, ==, (off_t)strlen(expected));
}

static void *run_reading(void *data) {
  Reading *reading = data;
  off_t size;
  reading->bytes = read_all(reading->path, &size);
  return NULL;
}

void reading_start(Reading *reading, Mounted *mounted, const char *name) {
  reading->path = mounted_path(mounted, name);
  pthread_create(&reading->thread, NULL, run_reading, reading);
}

void reading_end(Reading *reading, const char *expected) {
  pthread_join(reading->thread, NULL);
  g_assert_cmpstr(reading->bytes, ==, expected);
  g_free(reading->bytes);
  g_free(reading->path);
}

void wait_until_interrupted(pid_t pid) {
  g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
  for (bool told = false; !told;) {
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    told = strstr(text, ") D ") != NULL;
    g_usleep(1000);  // only the kernel knows
  }
}

int exit_code_of(pid_t pid) {
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
