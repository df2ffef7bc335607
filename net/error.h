// The one error currency of net and cache: each code says what the caller can do about it, the
// message says what was attempted and what the server or the system answered. Turned into an errno
// in fs/errno.c and into an exit code in tools/, nowhere else.
#pragma once

#include <stdbool.h>

#include <glib.h>

#define NET_ERROR net_error_quark()
GQuark net_error_quark(void);

typedef enum {
  NET_ERROR_HOST,         // the name does not resolve: look at the URL, or wait for the network
  NET_ERROR_OFFLINE,      // no connection, or it broke: try again later
  NET_ERROR_TIMEOUT,      // no byte of progress within the account's time-out: try again later
  NET_ERROR_UNTRUSTED,    // TLS could not be had or its certificate is not trusted: never try plain
  NET_ERROR_DENIED,       // the login was refused: ask for another secret
  NET_ERROR_FORBIDDEN,    // logged in, but no right to this folder or action
  NET_ERROR_GONE,         // the message or folder is not there any more
  NET_ERROR_BUSY,         // the server asks for patience ([INUSE], [THROTTLED], 4xx)
  NET_ERROR_REFUSED,      // a lasting NO or 5xx to this one request; others may succeed
  NET_ERROR_PROTOCOL,     // the peer does not speak its protocol
  NET_ERROR_LIMIT,        // a limit of ours was passed (line, depth, literal, disk)
  NET_ERROR_UNSUPPORTED,  // the server lacks an extension that this needs
  NET_ERROR_CANCELLED,    // we were told to stop
} NetError;

// True for errors of the connection itself (host, offline, time-out, TLS, login, protocol,
// cancelled): the connection is of no more use. Errors of another domain count as not.
bool net_error_ends_connection(const GError *error);

// How long a server that is BUSY wants to be left alone, in milliseconds, where its words tell
// (Exchange's "Suggested Backoff Time: 299961 milliseconds"), 10 minutes at most; a minute for
// [LOGIN-DELAY] (RFC 2449 8.1.1), which does not say it; 0: no word of it.
unsigned net_error_backoff_ms(const GError *error);
