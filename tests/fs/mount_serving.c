// How the main loop takes requests: it stays awake for a process that works through many files, and
// for nobody else.
#include <sys/resource.h>

#include "fs/serve.h"
#include "tests/fs/steps.h"

#define REQUESTS 2000

static void do_count_sleeps(Mounted *mounted, gpointer data) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  *(long *)data = usage.ru_nvcsw;
}

static long count_sleeps(Mounted *mounted) {
  long count;
  mounted_call(mounted, do_count_sleeps, &count);
  return count;
}

static void do_look_crowded(Mounted *mounted, gpointer data) {
  *(bool *)data = mounted->filesystem->crowded_at_us != 0;
}

// One request after another, each after the answer to the one before: the loop does not go to sleep
// each time, unless others compute on this machine. (The outbox's attributes are asked for anew by
// each stat.)
static void test_busy(void) {
  g_autoptr(Mounted) mounted = mounted_new(PATIENT_MS);
  g_autofree char *path = mounted_path(mounted, "outbox/failed");
  struct stat attr;
  long before = count_sleeps(mounted);
  for (unsigned i = 0; i < REQUESTS; i++)
    g_assert_cmpint(stat(path, &attr), ==, 0);
  long sleeps = count_sleeps(mounted) - before;
  bool crowded;
  mounted_call(mounted, do_look_crowded, &crowded);
  g_test_message("%ld sleeps%s", sleeps, crowded ? ", others compute" : "");
  g_assert_true(sleeps < REQUESTS / 2 || crowded);
}

// Requests that come one by one, milliseconds apart, are not waited for; none where others compute.
static void test_idle(void) {
  g_assert_true(serve_should_linger(100, INT64_MAX));
  g_assert_false(serve_should_linger(1000, INT64_MAX));
  g_assert_false(serve_should_linger(INT64_MAX, INT64_MAX));
  g_assert_false(serve_should_linger(100, 1000));
}

int main(int argc, char **argv) {
  mounted_init();
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mount/serving/busy", test_busy);
  g_test_add_func("/mount/serving/idle", test_idle);
  return g_test_run();
}
