// A CourierLane is one thread of a Courier with at most one connection: it takes a letter from the
// desk, connects if it is not connected, sends, and tells what came of it. While a letter's last
// answer is awaited it takes the next one, so that the sender can begin it; what was not sent of it
// when the connection ends, or was not taken for sure, goes back to the desk. It keeps the
// connection some seconds for the next letter, and says goodbye.
//
// Where there is no connection, or a new one is ended before the server hears of a letter, there is
// none for those that wait, either: they are told so (UNTRIED) after the one that was tried.
#pragma once

#include <stdbool.h>
#include <time.h>

#include "cache/courier.h"
#include "cache/courier_desk.h"
#include "cache/queue.h"

typedef struct CourierLane CourierLane;

// Starts the thread. The options, the desk and `results`, which takes CourierResults, outlive it.
CourierLane *courier_lane_new(const CourierOptions *options, CourierDesk *desk, Post *results,
                              unsigned number);
// After the desk was closed: whatever it does is given up.
void courier_lane_cancel(CourierLane *lane);
// Waits for the thread's end until `deadline` (CLOCK_REALTIME), for ever if that is NULL.
bool courier_lane_join(CourierLane *lane, const struct timespec *deadline);
// After it was joined.
void courier_lane_free(CourierLane *lane);
