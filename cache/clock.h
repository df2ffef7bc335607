// A ClockWatch notices that the machine slept, or that its clock was set: what was known of the
// network is then old. It waits in the kernel (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET), so it
// costs nothing while nothing happens. Main loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct ClockWatch ClockWatch;

typedef void (*ClockJumped)(gpointer data);
// NULL where the kernel cannot tell.
ClockWatch *clock_watch_new(GMainContext *context, ClockJumped jumped, gpointer data);
void clock_watch_free(ClockWatch *watch);

// Whether the clocks went apart between two looks: slept tells how far the clock that goes on in
// sleep ran ahead of the one that does not, real_us is the wall clock's lead over the latter.
typedef struct {
  int64_t slept_us, real_us;
} ClockReading;
ClockReading clock_read(void);
bool clock_has_jumped(const ClockReading *before, const ClockReading *now);
