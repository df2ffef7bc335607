// The CourierDesk is where letters wait for a connection, and who takes them: two lanes at most,
// each a thread with a connection of its own. The second lane connects only while the first is
// connected (so a wrong password is offered once), and two letters wait or one has waited for three
// seconds: a letter that takes long does not hold up those behind it. But for one at most: a small
// letter may have gone out whole behind another small one, on a connection that had been quick, and
// shares that one's fate.
//
//   main loop ──put, withdraw──> [ letter letter letter ] ──take──> lane 0 or 1
//                                     ^──── put back: another connection is not to be had
//
// The first letters that wait are noted in the journal as perhaps sent before they are taken, so
// that a lane need not wait for the disk with each; only while there is a connection, so not what
// stays here.
//
// A mutex guards it; the letters belong to whoever holds them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/courier.h"

#define COURIER_LANES 2

typedef struct CourierDesk CourierDesk;

CourierDesk *courier_desk_new(OutboxSpool *spool);
// No lane is left.
void courier_desk_free(CourierDesk *desk);

// -- for the main loop
void courier_desk_put(CourierDesk *desk, CourierTask *task);
// Takes back a letter that still waits here; false if it is on its way, or as good as.
bool courier_desk_withdraw(CourierDesk *desk, uint64_t id);
// Nothing is taken any more, and no letter ended whose end has not begun. The lanes of which
// `past_end` is set then have a letter whose end may have gone out.
void courier_desk_close(CourierDesk *desk, bool past_end[COURIER_LANES]);
bool courier_desk_is_closed(CourierDesk *desk);

// -- for the lanes
// Waits for a letter that this lane may take. NULL: the desk is closed, or the lane is connected
// and had nothing to do for `keep_ms`.
CourierTask *courier_desk_take(CourierDesk *desk, unsigned lane, int keep_ms);
// Gives back a letter because this lane's connection is not to be had; it is the next one taken.
// The lane takes none for a minute, as long as the other is connected.
void courier_desk_put_back(CourierDesk *desk, unsigned lane, CourierTask *task);
// A letter for the same connection, to follow the one that is sent: NULL if none waits.
CourierTask *courier_desk_take_next(CourierDesk *desk);
// It may be taken from this lane, if the one before it is awaited for three seconds; until it is
// claimed. False: that was done, and the task belongs to the other lane.
void courier_desk_offer(CourierDesk *desk, unsigned lane, CourierTask *task);
bool courier_desk_claim(CourierDesk *desk, unsigned lane);
// Gives back such a letter, of which nothing was sent; it is the next one taken.
void courier_desk_return(CourierDesk *desk, CourierTask *task);
// All that wait, of CourierTask *: there is no connection for them.
GPtrArray *courier_desk_clear(CourierDesk *desk);
void courier_desk_set_connected(CourierDesk *desk, unsigned lane, bool connected);
bool courier_desk_other_is_connected(CourierDesk *desk, unsigned lane);
// Returns when the journal says that the end of this letter may be on its way. An error is the
// journal's, or CANCELLED once the desk is closed.
bool courier_desk_begin_end(CourierDesk *desk, unsigned lane, CourierTask *task, GError **error);
// That letter was answered, or given up.
void courier_desk_end_done(CourierDesk *desk, unsigned lane);
