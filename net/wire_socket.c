#include "net/wire_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/error.h"

void wire_socket_init(WireSocket *socket, const Account *account, Waker *waker) {
  socket->fd = -1;
  socket->waker = waker;
  socket->server = account_server(account);
  socket->timeout_ms = account->timeout_ms;
  socket->acknowledges_at_once = account->protocol == ACCOUNT_SMTP;
}

void wire_socket_clear(WireSocket *socket) {
  g_clear_pointer(&socket->server, g_free);
}

bool wire_socket_check(const WireSocket *socket, GError **error) {
  if (!waker_is_cancelled(socket->waker)) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_CANCELLED, "%s: cancelled", socket->server);
  return false;
}

// The kernel forgets this wish: it is made each time. Where it cannot be (a proxy on another kind
// of socket), there is nothing to gain.
static void acknowledge(const WireSocket *socket) {
  int one = 1;
  setsockopt(socket->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

// Waits for the socket and for what `wake_fd` tells. A time of -1 has no end.
static WireWait wait_for(const WireSocket *socket, short events, int wake_fd, int timeout_ms,
                         GError **error) {
  int64_t deadline = g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  struct pollfd fds[2] = {
      {.fd = socket->fd, .events = events},
      {.fd = wake_fd, .events = POLLIN},
  };
  if (socket->acknowledges_at_once && (events & POLLIN)) acknowledge(socket);
  for (;;) {
    int64_t left_ms = (deadline - g_get_monotonic_time() + 999) / 1000;
    int ready = poll(fds, G_N_ELEMENTS(fds), timeout_ms < 0 ? -1 : (int)MAX(left_ms, 0));
    if (!wire_socket_check(socket, error)) return WIRE_BROKEN;
    if (fds[0].revents != 0) return WIRE_READY;
    if (ready > 0) return WIRE_WOKEN;
    if (ready == 0) return WIRE_EXPIRED;
    g_assert(errno == EINTR);
    fds[0].revents = fds[1].revents = 0;
  }
}

bool wire_socket_await(const WireSocket *socket, short events, GError **error) {
  int wake_fd = waker_cancel_fd(socket->waker);
  WireWait waited = wait_for(socket, events, wake_fd, (int)socket->timeout_ms, error);
  if (waited == WIRE_EXPIRED)
    g_set_error(error, NET_ERROR, NET_ERROR_TIMEOUT, "%s was silent for %u s", socket->server,
                (socket->timeout_ms + 999) / 1000);
  return waited == WIRE_READY;
}

bool wire_socket_is_woken(const WireSocket *socket) {
  struct pollfd wake = {.fd = waker_fd(socket->waker), .events = POLLIN};
  return poll(&wake, 1, 0) > 0;
}

WireWait wire_socket_wait(const WireSocket *socket, int timeout_ms, GError **error) {
  return wait_for(socket, POLLIN, waker_fd(socket->waker), timeout_ms, error);
}
