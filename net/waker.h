// A Waker lets another thread interrupt a thread that waits for the network: it is descriptors to
// poll beside the socket and a flag. It belongs to the session that waits; it outlives the wires
// that the session opens one after the other.
//
//   waker_wake    "there is new work": ends a wire_wait, leaves a wire_recv alone
//   waker_cancel  "stop": every wait, receive, send and connect ends with NET_ERROR_CANCELLED, and
//                 so does each later one, until waker_reset
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct Waker Waker;

Waker *waker_new(void);
void waker_free(Waker *waker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Waker, waker_free)

// Any thread; neither blocks.
void waker_wake(Waker *waker);
void waker_cancel(Waker *waker);

// The waiting thread only. waker_clear forgets a wake (not a cancel); waker_reset forgets both.
void waker_clear(Waker *waker);
void waker_reset(Waker *waker);
bool waker_is_cancelled(const Waker *waker);

// The descriptors to poll for input. waker_fd is readable while a wake or a cancel is pending,
// waker_cancel_fd from a cancel until the reset: for waits that a mere wake must not end.
int waker_fd(const Waker *waker);
int waker_cancel_fd(const Waker *waker);
