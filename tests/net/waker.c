#include "net/waker.h"

#include <poll.h>

static bool is_readable(const Waker *waker) {
  struct pollfd fd = {.fd = waker_fd(waker), .events = POLLIN};
  return poll(&fd, 1, 0) == 1;
}

// A wake makes the descriptor readable, however often it comes, and clearing forgets all of them.
static void test_wake(void) {
  g_autoptr(Waker) waker = waker_new();
  g_assert_false(is_readable(waker));
  waker_wake(waker);
  waker_wake(waker);
  g_assert_true(is_readable(waker));
  g_assert_false(waker_is_cancelled(waker));
  waker_clear(waker);
  g_assert_false(is_readable(waker));
}

// A cancel outlives a clear, also one that came together with a wake, and ends with a reset.
static void test_cancel(void) {
  g_autoptr(Waker) waker = waker_new();
  waker_wake(waker);
  waker_cancel(waker);
  waker_clear(waker);
  g_assert_true(waker_is_cancelled(waker));
  g_assert_true(is_readable(waker));
  waker_reset(waker);
  g_assert_false(waker_is_cancelled(waker));
  g_assert_false(is_readable(waker));
}

static gpointer cancel_from_elsewhere(gpointer waker) {
  waker_cancel(waker);
  return NULL;
}

// Another thread's cancel ends a poll without a time limit.
static void test_other_thread(void) {
  g_autoptr(Waker) waker = waker_new();
  GThread *thread = g_thread_new("cancel", cancel_from_elsewhere, waker);
  struct pollfd fd = {.fd = waker_fd(waker), .events = POLLIN};
  g_assert_cmpint(poll(&fd, 1, -1), ==, 1);
  g_assert_true(waker_is_cancelled(waker));
  g_thread_join(thread);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/waker/wake", test_wake);
  g_test_add_func("/waker/cancel", test_cancel);
  g_test_add_func("/waker/other-thread", test_other_thread);
  return g_test_run();
}
