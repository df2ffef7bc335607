#include "net/waker.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct Waker {
  int fd;
  int cancel_fd;
  atomic_bool cancelled;
};

static int eventfd_open(void) {
  int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) g_error("eventfd: %s", g_strerror(errno));
  return fd;
}

// An eventfd takes eight bytes whole or, when its counter is full and it is readable anyway, says
// EAGAIN: nothing to handle.
static void eventfd_signal(int fd) {
  uint64_t one = 1;
  ssize_t written = write(fd, &one, sizeof one);
  g_assert(written == (ssize_t)sizeof one || errno == EAGAIN);
}

static void eventfd_drain(int fd) {
  uint64_t count;
  ssize_t got = read(fd, &count, sizeof count);
  g_assert(got == (ssize_t)sizeof count || errno == EAGAIN);
}

Waker *waker_new(void) {
  Waker *waker = g_new0(Waker, 1);
  waker->fd = eventfd_open();
  waker->cancel_fd = eventfd_open();
  return waker;
}

void waker_free(Waker *waker) {
  if (waker == NULL) return;
  close(waker->fd);
  close(waker->cancel_fd);
  g_free(waker);
}

void waker_wake(Waker *waker) {
  eventfd_signal(waker->fd);
}

void waker_cancel(Waker *waker) {
  atomic_store(&waker->cancelled, true);
  eventfd_signal(waker->cancel_fd);
  eventfd_signal(waker->fd);
}

void waker_clear(Waker *waker) {
  eventfd_drain(waker->fd);
  // A cancel may have come together with the wake: it stays readable.
  if (waker_is_cancelled(waker)) eventfd_signal(waker->fd);
}

void waker_reset(Waker *waker) {
  atomic_store(&waker->cancelled, false);
  eventfd_drain(waker->cancel_fd);
  eventfd_drain(waker->fd);
}

bool waker_is_cancelled(const Waker *waker) {
  return atomic_load(&waker->cancelled);
}

int waker_fd(const Waker *waker) {
  return waker->fd;
}

int waker_cancel_fd(const Waker *waker) {
  return waker->cancel_fd;
}
