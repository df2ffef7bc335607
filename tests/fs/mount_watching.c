// What inotify shows to those who watch a folder: what comes and goes at the server, once.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "tests/fs/steps.h"

#define WATCHED (IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_DELETE_SELF)
#define LONG_MS 10000

typedef struct {
  Mounted *mounted;
  int fd;
} Fixture;

static void set_up(Fixture *fixture, gconstpointer data) {
  fixture->mounted = mounted_new(PATIENT_MS);
  fixture->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
}

static void tear_down(Fixture *fixture, gconstpointer data) {
  close(fixture->fd);
  mounted_free(fixture->mounted);
}

static void watch(Fixture *fixture, const char *name) {
  g_autofree char *path = mounted_path(fixture->mounted, name);
  g_assert_cmpint(inotify_add_watch(fixture->fd, path, WATCHED), >=, 0);
}

static const char *word(uint32_t mask) {
  return mask & IN_CREATE        ? "+"
         : mask & IN_DELETE      ? "-"
         : mask & IN_ATTRIB      ? "~"
         : mask & IN_DELETE_SELF ? "!"
                                 : "?";
}

// Appends what there is to read: "+name " for one that came, "-name " for one that went, a '/'
// after the name of a directory, "~" for a change, "!" for a watched directory that went.
static void read_events(int fd, GString *seen) {
  _Alignas(struct inotify_event) char buffer[4096];
  ssize_t size = read(fd, buffer, sizeof buffer);
  for (char *at = buffer; size > 0 && at < buffer + size;) {
    const struct inotify_event *event = (const struct inotify_event *)at;
    at += sizeof *event + event->len;
    if (event->mask & IN_IGNORED) continue;  // after "!"
    bool named = event->len > 0;
    g_string_append_printf(seen, "%s%s%s ", word(event->mask), named ? event->name : "",
                           named && event->mask & IN_ISDIR ? "/" : "");
  }
}

// Exactly this is seen, in this order.
static void assert_seen(const Fixture *fixture, const char *expected) {
  g_autoptr(GString) seen = g_string_new(NULL);
  while (seen->len < strlen(expected)) {
    struct pollfd state = {.fd = fixture->fd, .events = POLLIN};
    if (poll(&state, 1, LONG_MS) <= 0) break;
    read_events(fixture->fd, seen);
  }
  g_assert_cmpstr(seen->str, ==, expected);
}

// ---- At the server.

typedef struct {
  uint64_t parent;
  const char *added[4];  // up to NULL
  const char *folder;    // added too
  uint64_t removed;      // 0: none
  bool forget;
  uint64_t ino;  // result: the last one added
} Change;

static void do_change(Mounted *mounted, gpointer data) {
  Change *change = data;
  Store *store = mounted->store;
  if (change->removed != 0) fake_tell_removed(store, change->removed, change->forget);
  for (const char **name = change->added; *name != NULL; name++) {
    change->ino = fake_add_message(store, change->parent, *name, LETTER, strlen(LETTER));
    fake_tell_added(store, change->ino);
  }
  if (change->folder != NULL) {
    change->ino = fake_add_folder(store, change->parent, change->folder);
    fake_tell_added(store, change->ino);
  }
  fake_tell_changed(store, change->parent);
}

static uint64_t change(Fixture *fixture, Change what) {
  if (what.parent == 0) what.parent = fixture->mounted->inbox;
  mounted_call(fixture->mounted, do_change, &what);
  return what.ino;
}

// ---- The tests. What follows an event shows that it did not come twice.

static void test_added(Fixture *fixture, gconstpointer data) {
  watch(fixture, "INBOX");
  change(fixture, (Change){.added = {"a", "b", "c"}});
  assert_seen(fixture, "+a +b +c ");
  assert_list(fixture->mounted, "INBOX", "a b c ");
  g_assert_cmpint(look(fixture->mounted, "INBOX/b").st_size, ==, strlen(LETTER));
  change(fixture, (Change){.added = {"d"}});
  assert_seen(fixture, "+d ");
  assert_list(fixture->mounted, "INBOX", "a b c d ");
  assert_read(fixture->mounted, "INBOX/d", LETTER);
}

// Also a name that somebody has already looked up.
static void test_added_known(Fixture *fixture, gconstpointer data) {
  uint64_t ino = add_message(fixture->mounted, "a", LETTER, strlen(LETTER));
  watch(fixture, "INBOX");
  look(fixture->mounted, "INBOX/a");
  tell_added(fixture->mounted, ino);
  assert_seen(fixture, "+a ");
  g_assert_cmpuint(look(fixture->mounted, "INBOX/a").st_ino, ==, ino);
}

// Whether the kernel knew the name or not, and the store still knows the message or not. Of what
// goes alone the folder is said to be changed as well: there may have come more than is shown.
static void test_removed(Fixture *fixture, gconstpointer data) {
  static const char *const names[] = {"looked", "unknown", "forgotten"};
  uint64_t inos[G_N_ELEMENTS(names)];
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    inos[i] = add_message(fixture->mounted, names[i], LETTER, strlen(LETTER));
  watch(fixture, "INBOX");
  look(fixture->mounted, "INBOX/looked");
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *expected = g_strdup_printf("-%s ~ ", names[i]);
    change(fixture, (Change){.removed = inos[i], .forget = i == 2});
    assert_seen(fixture, expected);
  }
  assert_list(fixture->mounted, "INBOX", "");
  g_assert_cmpint(look_errno(fixture->mounted, "INBOX/looked"), ==, ENOENT);
}

// What is open stays readable; what is watched itself is seen to go.
static void test_removed_open(Fixture *fixture, gconstpointer data) {
  g_autofree char *path = mounted_path(fixture->mounted, "INBOX/a");
  char bytes[100];
  struct stat attr;
  uint64_t ino = add_message(fixture->mounted, "a", LETTER, strlen(LETTER));
  int fd = open(path, O_RDONLY);
  watch(fixture, "INBOX");
  change(fixture, (Change){.removed = ino, .added = {"b"}});
  assert_seen(fixture, "-a +b ");
  g_assert_cmpint(fstat(fd, &attr), ==, 0);
  g_assert_cmpint(attr.st_size, ==, strlen(LETTER));
  g_assert_cmpint(pread(fd, bytes, sizeof bytes, 0), ==, strlen(LETTER));
  close(fd);
}

// A message that has the name of one that went.
static void test_replaced(Fixture *fixture, gconstpointer data) {
  uint64_t ino = add_message(fixture->mounted, "a", LETTER, strlen(LETTER));
  watch(fixture, "INBOX");
  look(fixture->mounted, "INBOX/a");
  uint64_t other = change(fixture, (Change){.removed = ino, .added = {"a"}});
  assert_seen(fixture, "-a +a ");
  struct stat attr = look(fixture->mounted, "INBOX/a");
  g_assert_cmpuint(attr.st_ino, ==, other);
  g_assert_cmpuint(attr.st_nlink, ==, 1);
}

static void test_folders(Fixture *fixture, gconstpointer data) {
  watch(fixture, ".");
  uint64_t archive = change(fixture, (Change){.parent = INODE_ROOT, .folder = "Archive"});
  assert_seen(fixture, "+Archive/ ");
  watch(fixture, "Archive");
  uint64_t year = change(fixture, (Change){.parent = archive, .folder = "2025"});
  assert_seen(fixture, "+2025/ ");
  watch(fixture, "Archive/2025");
  change(fixture, (Change){.parent = year, .added = {"a"}});
  assert_seen(fixture, "+a ");
  change(fixture, (Change){.parent = archive, .removed = year});
  assert_seen(fixture, "! -2025/ ~Archive/ ~ ");
  change(fixture, (Change){.parent = INODE_ROOT, .removed = archive, .forget = true});
  assert_seen(fixture, "! -Archive/ ~ ");
}

#define FLOOD (STORE_ADDED_MAX + 1)

static void do_flood(Mounted *mounted, gpointer data) {
  fake_add_many(mounted->store, mounted->inbox, 0, FLOOD);
  fake_tell_changed(mounted->store, mounted->inbox);
}

static void do_drain(Mounted *mounted, gpointer data) {
  for (unsigned i = 0; i < FLOOD; i++)
    fake_tell_removed(mounted->store, mounted->inbox + 1 + i, false);
  fake_tell_changed(mounted->store, mounted->inbox);
}

// Of very many at once it is only seen that there were some.
static void test_flood(Fixture *fixture, gconstpointer data) {
  watch(fixture, "INBOX");
  mounted_call(fixture->mounted, do_flood, NULL);
  assert_seen(fixture, "~ ");
  mounted_call(fixture->mounted, do_drain, NULL);
  assert_seen(fixture, "~ ");
  assert_list(fixture->mounted, "INBOX", "");
  change(fixture, (Change){.added = {"a"}});
  assert_seen(fixture, "+a ");
}

// After a lazy unmount the mount point is the user's own directory: nothing is made there.
static void test_unmounted(Fixture *fixture, gconstpointer data) {
  g_autofree char *inbox = mounted_path(fixture->mounted, "INBOX");
  int fd = open(inbox, O_RDONLY | O_DIRECTORY);  // what keeps the file system alive
  mounted_unmount(fixture->mounted->directory);
  g_assert_cmpint(mkdir(inbox, 0700), ==, 0);
  change(fixture, (Change){.added = {"a"}});
  change(fixture, (Change){.parent = INODE_ROOT, .folder = "Archive"});
  mounted_end(fixture->mounted);
  close(fd);
  assert_list(fixture->mounted, ".", "INBOX ");
  assert_list(fixture->mounted, "INBOX", "");
  g_assert_cmpint(rmdir(inbox), ==, 0);
}

#define CROWD 50
#define CHANGES 1000
#define PAUSE_US 20000  // between two rounds of one
#define STAY 50         // so many changes later a message goes

// Lists the folder, looks at what is in it and opens some, until it is killed.
static void browse(const char *path) {
  struct stat attr;
  for (;;) {
    DIR *directory = opendir(path);
    if (directory == NULL) _exit(1);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
      fstatat(dirfd(directory), entry->d_name, &attr, 0);
      int fd = entry->d_ino % 16 == 0 ? openat(dirfd(directory), entry->d_name, O_RDONLY) : -1;
      if (fd >= 0) close(fd);
    }
    closedir(directory);
    g_usleep(PAUSE_US);
  }
}

static pid_t start_browser(Mounted *mounted) {
  g_autofree char *path = mounted_path(mounted, "INBOX");
  pid_t pid = fork();
  if (pid != 0) return pid;
  close_range(STDERR_FILENO + 1, ~0U, 0);  // what it inherited keeps the mount alive
  browse(path);
  _exit(0);
}

// Nobody stands still while many processes use a folder that changes, and what was shown is right:
// each message came and went once, unless somebody was always faster to look it up.
static void test_crowd(Fixture *fixture, gconstpointer data) {
  pid_t pids[CROWD];
  g_autoptr(GString) seen = g_string_new(NULL);
  uint64_t inos[CHANGES];
  watch(fixture, "INBOX");
  for (unsigned i = 0; i < CROWD; i++)
    pids[i] = start_browser(fixture->mounted);
  for (unsigned i = 0; i < CHANGES; i++) {
    g_autofree char *name = g_strdup_printf("m%u", i);
    uint64_t old = i < STAY ? 0 : inos[i - STAY];
    inos[i] = change(fixture, (Change){.added = {name}, .removed = old});
    read_events(fixture->fd, seen);
  }
  for (unsigned i = 0; i < CROWD; i++) {
    kill(pids[i], SIGKILL);
    g_assert_cmpint(exit_code_of(pids[i]), ==, -1);
  }
  change(fixture, (Change){.added = {"last"}});
  while (strstr(seen->str, "+last ") == NULL)
    read_events(fixture->fd, seen);
  g_auto(GStrv) words = g_strsplit(seen->str, " ", -1);
  unsigned added = 0, removed = 0;
  for (char **at = words; *at != NULL; at++) {
    added += **at == '+';
    removed += **at == '-';
  }
  g_test_message("%u came and %u went in %u changes", added, removed, CHANGES);
  g_assert_cmpuint(added, <=, CHANGES + 1);
  g_assert_cmpuint(removed, <=, CHANGES - STAY);
  g_assert_cmpuint(added, >, CHANGES * 9 / 10);
  g_assert_cmpuint(removed, >, CHANGES * 9 / 10);
}

int main(int argc, char **argv) {
  static const struct {
    const char *path;
    void (*run)(Fixture *fixture, gconstpointer data);
  } tests[] = {
      {"/mount/watching/added", test_added},
      {"/mount/watching/added-known", test_added_known},
      {"/mount/watching/removed", test_removed},
      {"/mount/watching/removed-open", test_removed_open},
      {"/mount/watching/replaced", test_replaced},
      {"/mount/watching/folders", test_folders},
      {"/mount/watching/flood", test_flood},
      {"/mount/watching/unmounted", test_unmounted},
      {"/mount/watching/crowd", test_crowd},
  };
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
    g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].run, tear_down);
  return g_test_run();
}
