// How much may be asked for ahead on the only connection follows its speed, within bounds.
#include "cache/session_private.h"

#define MIB ((uint64_t)1 << 20)

// As if so many bytes had come within the time.
static uint64_t ahead_after(Session *session, int64_t elapsed_ms, uint64_t bytes) {
  session_begin_pace(session);
  session->pace_since_us -= elapsed_ms * 1000;
  session_keep_pace(session, bytes);
  return session_ahead_bytes(session);
}

static void test_speed(void) {
  Session session = {0};
  g_assert_cmpuint(session_ahead_bytes(&session), ==, 2 * MIB);
  // 40 MB a second, give or take what this test itself takes: what comes in 150 ms.
  uint64_t fast = ahead_after(&session, 1000, 40 * MIB);
  g_assert_cmpuint(fast, >, 5 * MIB);
  g_assert_cmpuint(fast, <=, 6 * MIB);
  g_assert_cmpuint(ahead_after(&session, 1000, MIB), ==, 2 * MIB);
  g_assert_cmpuint(ahead_after(&session, 100, 1024 * MIB), ==, 16 * MIB);
}

// A moment is too short to tell: what came in it counts with what comes next.
static void test_moment(void) {
  Session session = {0};
  g_assert_cmpuint(ahead_after(&session, 0, 100 * MIB), ==, 2 * MIB);
  session.pace_since_us -= 1000 * 1000;
  session_keep_pace(&session, 0);
  g_assert_cmpuint(session_ahead_bytes(&session), >, 12 * MIB);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/session/pace/speed", test_speed);
  g_test_add_func("/session/pace/moment", test_moment);
  return g_test_run();
}
