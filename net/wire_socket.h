// A WireSocket is what a real wire waits on: its connection's descriptor beside the Waker's, and
// how such a wait ends badly. It sends and receives nothing. Owned by its wire, on the wire's
// thread.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/account.h"
#include "net/waker.h"
#include "net/wire.h"

typedef struct {
  int fd;
  Waker *waker;
  char *server;         // for messages
  unsigned timeout_ms;  // without a byte of progress
  // Before it waits, what came is acknowledged at once. A server that answers a flight of commands
  // in two small pieces may hold the second back until then (Nagle's algorithm), and the kernel
  // would wait 40 ms for something to send along.
  bool acknowledges_at_once;
} WireSocket;

// Not connected yet: `fd` is set when it is.
void wire_socket_init(WireSocket *socket, const Account *account, Waker *waker);
void wire_socket_clear(WireSocket *socket);

// False with CANCELLED while a cancel is pending.
bool wire_socket_check(const WireSocket *socket, GError **error);
// Waits for one of poll's `events`, within the account's time-out: false with TIMEOUT or CANCELLED.
// A mere wake does not end it.
bool wire_socket_await(const WireSocket *socket, short events, GError **error);
// True while a wake or a cancel is pending.
bool wire_socket_is_woken(const WireSocket *socket);
// Waits for something to receive, for a wake or a cancel, or until time is over (-1: never).
WireWait wire_socket_wait(const WireSocket *socket, int timeout_ms, GError **error);
