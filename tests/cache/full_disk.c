#include "full_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <unistd.h>

#include "cache/outbox_private.h"

#define PAGE 4096

void full_disk_begin(int *argc, char ***argv) {
  int own = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
  g_assert_cmpint(unshare(own), ==, 0);
  g_assert_cmpint(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), ==, 0);
  fixture_begin_processes();
  g_test_init(argc, argv, NULL);
  // A full journal is worth a warning, and that is none of a bug.
  g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
}

int full_disk_end(void) {
  int result = g_test_run();
  fixture_end_processes();
  return result;
}

static void set_up(Fixture *fixture, unsigned send_delay_ms) {
  fixture_set_up_closed(fixture, NULL);
  fixture->options.send_delay_ms = send_delay_ms;
  g_assert_cmpint(mount("mailfs-test", fixture->directory, "tmpfs", 0, "size=2m"), ==, 0);
  fixture_open(fixture);
  fixture_wait_disk(fixture);
}

void full_disk_set_up(Fixture *fixture, gconstpointer unused) {
  set_up(fixture, 0);
}

void full_disk_set_up_holding(Fixture *fixture, gconstpointer unused) {
  set_up(fixture, 3600 * 1000);
}

void full_disk_tear_down(Fixture *fixture, gconstpointer unused) {
  fixture_close(fixture);
  g_assert_cmpint(umount2(fixture->directory, MNT_DETACH), ==, 0);
  fixture_tear_down(fixture, NULL);
}

static char *filler_of(const Fixture *fixture) {
  return g_build_filename(fixture->directory, "filler", NULL);
}

void full_disk_fill(const Fixture *fixture) {
  static const char page[PAGE];
  g_autofree char *path = filler_of(fixture);
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  g_assert_cmpint(fd, >=, 0);
  while (write(fd, page, PAGE) > 0)
    continue;
  g_assert_cmpint(errno, ==, ENOSPC);
  close(fd);
}

void full_disk_fill_journal(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, OUTBOX_JOURNAL_NAME, NULL);
  sqlite3 *database;
  g_assert_cmpint(sqlite3_open(path, &database), ==, SQLITE_OK);
  sqlite3_busy_timeout(database, 5000);
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

void full_disk_give_up_reserve(const Fixture *fixture) {
  g_autofree char *path = g_build_filename(fixture->directory, "reserve", NULL);
  g_assert_cmpint(unlink(path), ==, 0);
}

void full_disk_empty(const Fixture *fixture) {
  g_autofree char *path = filler_of(fixture);
  g_assert_cmpint(unlink(path), ==, 0);
}
