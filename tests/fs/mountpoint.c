// Only a dead mount of ours may be removed from a mount point.
#include "fs/mountpoint.h"

#include <sys/sysmacros.h>

#define ROOT "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
#define OURS \
  "40 22 0:35 / /home/alice/mail rw,nosuid,nodev - fuse.mailfs imaps://a@example.org rw\n"
#define SPACE "41 22 0:36 / /home/alice/my\\040mail rw shared:7 master:1 - fuse.mailfs x rw\n"
#define OTHER "42 22 0:37 / /home/alice/mail rw - fuse.sshfs host: rw\n"

static const struct {
  const char *mountinfo, *path;
  bool ours;
  unsigned minor;
} rows[] = {
    {ROOT OURS, "/home/alice/mail", true, 35},
    {ROOT OURS, "/home/alice", false},
    {ROOT OURS, "/", false},
    {ROOT SPACE, "/home/alice/my mail", true, 36},
    {ROOT OTHER, "/home/alice/mail", false},
    {ROOT OURS OTHER, "/home/alice/mail", false},  // the topmost counts
    {ROOT OTHER OURS, "/home/alice/mail", true, 35},
    {"", "/home/alice/mail", false},
    {"40 22 0:35 / /home/alice/mail rw -\n", "/home/alice/mail", false},
    {"40 22\n", "/home/alice/mail", false},
};

static void test_ours(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_test_message("row %zu", i);
    dev_t device = 0;
    g_assert_cmpint(mountpoint_find_in(rows[i].mountinfo, rows[i].path, &device), ==, rows[i].ours);
    if (rows[i].ours) g_assert_cmpuint(device, ==, makedev(0, rows[i].minor));
  }
}

static void test_prepare(void) {
  g_autoptr(GError) error = NULL;
  g_assert_true(mountpoint_prepare("/", &error));
  g_assert_true(mountpoint_prepare("/dev/fd/99", &error));
  g_assert_no_error(error);
  g_assert_false(mountpoint_prepare("/no/such/directory", &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_clear_error(&error);
  g_assert_false(mountpoint_prepare("/dev/null", &error));
  g_assert_error(error, G_FILE_ERROR, G_FILE_ERROR_NOTDIR);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mountpoint/ours", test_ours);
  g_test_add_func("/mountpoint/prepare", test_prepare);
  return g_test_run();
}
