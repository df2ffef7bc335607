// How fast the only connection brings what is asked for ahead. On a long line more has to be on its
// way for it to be kept full, on a slow one a reader would wait too long for the same.

#include "cache/session_private.h"

// A reader waits this long at most for what others may want, if it comes as fast as before.
#define AHEAD_MS 150
// Not known yet, or slower than that.
#define AHEAD_MIN_BYTES ((uint64_t)2 << 20)
#define AHEAD_MAX_BYTES ((uint64_t)16 << 20)
// Measured over at least so long: a round trip, mostly.
#define MEASURED_US (60 * 1000)

uint64_t session_ahead_bytes(const Session *session) {
  return MAX(session->ahead_bytes, AHEAD_MIN_BYTES);
}

void session_begin_pace(Session *session) {
  session->pace_since_us = g_get_monotonic_time();
  session->pace_bytes = 0;
}

void session_keep_pace(Session *session, uint64_t bytes) {
  int64_t elapsed_us = g_get_monotonic_time() - session->pace_since_us;
  session->pace_bytes += bytes;
  if (elapsed_us < MEASURED_US) return;
  uint64_t a_second = session->pace_bytes * G_USEC_PER_SEC / (uint64_t)elapsed_us;
  session->ahead_bytes = MIN(a_second * AHEAD_MS / 1000, AHEAD_MAX_BYTES);
  session_begin_pace(session);
}
