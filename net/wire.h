// A Wire is one connection's bytes: connected, encrypted and logged in, nothing above that. The
// real one is libcurl's (the only place that knows curl); decorators (wire_trace) and the scripted
// wire of the tests stand behind the same four calls, so a protocol engine cannot tell them apart.
//
// One thread at a time owns a wire: the session that opened it. Only its Waker is for others.
//
//   wire_open ──> recv / send / wait ... ──> wire_free
//                    └─ any error ends the wire: only wire_free is left
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>

#include "net/account.h"
#include "net/waker.h"

typedef struct Wire Wire;

typedef enum {
  WIRE_READY,    // bytes (or the end) can be received
  WIRE_WOKEN,    // waker_wake was called; not cleared yet. Comes before all bytes
  WIRE_EXPIRED,  // the time is over
  WIRE_BROKEN,   // error is set
} WireWait;

// What makes a decorator: takes over `inner`. The `size` bytes at `early` (NULL if 0) came over the
// wire before, but belong to the decorator: it treats them as if they were received next. They are
// copied.
typedef Wire *WireDecorator(Wire *inner, const void *early, size_t size);

typedef struct {
  ssize_t (*recv)(Wire *wire, void *buffer, size_t size, GError **error);
  bool (*send)(Wire *wire, const void *bytes, size_t size, GError **error);
  WireWait (*wait)(Wire *wire, int timeout_ms, GError **error);
  void (*free)(Wire *wire);
  // NULL but for wires that only look on: see wire_wrap.
  Wire *(*wrap)(Wire *wire, WireDecorator *decorate, const void *early, size_t size);
  void (*be_patient)(Wire *wire, unsigned timeout_ms);  // NULL: it knows no time-outs
} WireOps;

struct Wire {
  const WireOps *ops;  // embedded first in each kind of wire
};

// Connects to the account's server, starts and verifies TLS, logs in. Blocks, at most
// account->timeout_ms for all of it; an SMTP server that was reached has five minutes for its
// greeting (RFC 5321 4.5.3.2.1) and what follows, if that is longer. `waker` cancels. `name`
// ("imap1") begins its log lines.
// Errors: HOST, OFFLINE, TIMEOUT, UNTRUSTED, DENIED (with the server's words; a renewable secret
// was asked again and tried once more if its value changed), BUSY (a greeting or login put off:
// [UNAVAILABLE], [IN-USE], an SMTP 4xx), REFUSED (a greeting of 5xx or -ERR, [SYS/PERM]), PROTOCOL,
// CANCELLED. What the server said before or with the login's OK is not to be had: ask for
// capabilities anew. The secret stays in libcurl's memory for as long as the wire lives.
Wire *wire_open(const Account *account, Waker *waker, const char *name, GError **error);

// Waits for at least one byte; returns how many, 0 at the peer's orderly end, -1 on OFFLINE,
// TIMEOUT (nothing for the account's time-out), CANCELLED.
ssize_t wire_recv(Wire *wire, void *buffer, size_t size, GError **error);
// Sends all of it or fails; never a part silently.
bool wire_send(Wire *wire, const void *bytes, size_t size, GError **error);
// From now on recv and send wait at least that long for progress, where the account's time-out is
// shorter.
void wire_be_patient(Wire *wire, unsigned timeout_ms);
// Waits until wire_recv would not block, new work is announced, or time is over (-1: never).
WireWait wire_wait(Wire *wire, int timeout_ms, GError **error);
// Puts a decorator around the wire, below those that only look on (wire_trace); the result takes
// its place. `early` is what was received already of that which the decorator has to read: a server
// may go on in the new form right behind the line with which it agreed to it. NULL, 0: nothing.
Wire *wire_wrap(Wire *wire, WireDecorator *decorate, const void *early, size_t size);
// Closes without a word (the engine says LOGOUT or QUIT); NULL is fine.
void wire_free(Wire *wire);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wire, wire_free)
