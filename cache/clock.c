#include "cache/clock.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <glib-unix.h>

// Shorter sleeps break no connection; smaller corrections of the clock are none.
#define SLEPT_US (5 * G_USEC_PER_SEC)
#define SET_US (30 * G_USEC_PER_SEC)

struct ClockWatch {
  int fd;
  GSource *source;
  ClockReading last;
  ClockJumped jumped;
  gpointer data;
};

static int64_t now_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

ClockReading clock_read(void) {
  int64_t awake_us = now_us(CLOCK_MONOTONIC);
  return (ClockReading){.slept_us = now_us(CLOCK_BOOTTIME) - awake_us,
                        .real_us = now_us(CLOCK_REALTIME) - awake_us};
}

bool clock_has_jumped(const ClockReading *before, const ClockReading *now) {
  return now->slept_us - before->slept_us >= SLEPT_US ||
         llabs(now->real_us - before->real_us) >= SET_US;
}

// Never expires by itself; a clock that is set cancels it.
static bool arm(int fd) {
  const struct itimerspec never = {.it_value.tv_sec = (time_t)(INT64_MAX / 1000000000 - 1)};
  return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

static gboolean on_cancelled(gint fd, GIOCondition condition, gpointer data) {
  ClockWatch *watch = data;
  uint64_t expirations;
  ClockReading now = clock_read();
  ssize_t got = read(fd, &expirations, sizeof expirations);
  bool jumped = clock_has_jumped(&watch->last, &now);
  watch->last = now;
  if (got >= 0 || !arm(fd)) return G_SOURCE_REMOVE;
  if (jumped) watch->jumped(watch->data);
  return G_SOURCE_CONTINUE;
}

ClockWatch *clock_watch_new(GMainContext *context, ClockJumped jumped, gpointer data) {
  int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0 || !arm(fd)) {
    if (fd >= 0) close(fd);
    return NULL;
  }
  ClockWatch *watch = g_new0(ClockWatch, 1);
  *watch = (ClockWatch){.fd = fd, .last = clock_read(), .jumped = jumped, .data = data};
  watch->source = g_unix_fd_source_new(fd, G_IO_IN);
  g_source_set_callback(watch->source, G_SOURCE_FUNC(on_cancelled), watch, NULL);
  g_source_attach(watch->source, context);
  return watch;
}

void clock_watch_free(ClockWatch *watch) {
  if (watch == NULL) return;
  g_source_destroy(watch->source);
  g_source_unref(watch->source);
  close(watch->fd);
  g_free(watch);
}
