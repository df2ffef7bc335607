// Claim: what a server sends is received as it is, and a wait tells of it; what is sent into a
// connection that ended, falls silent or was cancelled ends in the error that says so.
#include "tests/net/wire_lab.h"

static void receive_exactly(Wire *wire, size_t size, size_t step) {
  g_autofree char *buffer = g_malloc(step);
  g_autoptr(GError) error = NULL;
  while (size > 0) {
    ssize_t got = wire_recv(wire, buffer, MIN(size, step), &error);
    g_assert_no_error(error);
    g_assert_cmpint(got, >, 0);
    size -= (size_t)got;
  }
}

// TLS takes a whole record from the socket: what the wire still holds is ready, though the socket
// is empty; then the end is ready, and stays.
static void test_held_back(gconstpointer data) {
  bool is_tls = GPOINTER_TO_INT(data) != 0;
  const char *const dialogues[] = {WIRE_LAB_LOGGED_IN "C: go\nflood 40000\nC: bye", NULL};
  Loopback *loopback = loopback_new(dialogues, is_tls);
  g_autoptr(Account) account = wire_lab_account(is_tls ? "imaps" : "imap", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  g_autoptr(GError) error = NULL;
  g_assert_true(wire_send(wire, "go\r\n", 4, &error));
  for (int left = 40000; left > 0; left -= 1000) {
    g_assert_cmpint(wire_wait(wire, -1, &error), ==, WIRE_READY);
    receive_exactly(wire, 1000, left % 2000 == 0 ? 7 : 5000);
  }
  g_assert_cmpint(wire_wait(wire, 0, &error), ==, WIRE_EXPIRED);
  g_assert_true(wire_send(wire, "bye\r\n", 5, &error));
  char byte;
  for (int i = 0; i < 2; i++) {
    g_assert_cmpint(wire_wait(wire, -1, &error), ==, WIRE_READY);
    g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, 0);
  }
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A wake ends a wait, whatever there is to receive, and leaves a receive alone; it lasts until it
// is cleared.
static void test_wake(void) {
  const char *const dialogues[] = {WIRE_LAB_LOGGED_IN "C: go\nS: x\nhold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  waker_wake(waker);
  Wire *wire = wire_lab_open(account, waker);
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_wait(wire, -1, &error), ==, WIRE_WOKEN);
  g_assert_true(wire_send(wire, "go\r\n", 4, &error));
  receive_exactly(wire, 1, 1);
  g_assert_cmpint(wire_wait(wire, -1, &error), ==, WIRE_WOKEN);
  waker_clear(waker);
  g_assert_cmpint(wire_wait(wire, -1, &error), ==, WIRE_READY);
  receive_exactly(wire, 2, 2);
  g_assert_cmpint(wire_wait(wire, 0, &error), ==, WIRE_EXPIRED);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A server that falls silent later: TIMEOUT.
static void test_silent_later(void) {
  const char *const dialogues[] = {WIRE_LAB_LOGGED_IN "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  account->timeout_ms = 2000;
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  g_autoptr(GError) error = NULL;
  char byte;
  g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, -1);
  g_assert_error(error, NET_ERROR, NET_ERROR_TIMEOUT);
  wire_free(wire);
  loopback_free(loopback);
}

// Writing into a connection that the server has left is OFFLINE in the end, and no SIGPIPE.
static void test_send_after_end(gconstpointer data) {
  bool is_tls = GPOINTER_TO_INT(data) != 0;
  const char *const dialogues[] = {WIRE_LAB_LOGGED_IN, NULL};
  Loopback *loopback = loopback_new(dialogues, is_tls);
  g_autoptr(Account) account = wire_lab_account(is_tls ? "imaps" : "imap", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  loopback_free(loopback);
  g_autoptr(GError) error = NULL;
  while (wire_send(wire, "NOOP\r\n", 6, &error))
    continue;
  g_assert_error(error, NET_ERROR, NET_ERROR_OFFLINE);
  wire_free(wire);
}

// Another thread's cancel ends a receive, also with a wake pending, and each later call.
static void test_cancel_recv(void) {
  const char *const dialogues[] = {WIRE_LAB_LOGGED_IN "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  waker_wake(waker);
  WireLabCanceller canceller = {loopback, waker};
  GThread *thread = g_thread_new("cancel", wire_lab_cancel, &canceller);
  char byte;
  for (int i = 0; i < 2; i++) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, -1);
    g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
  }
  g_assert_false(wire_send(wire, "x", 1, NULL));
  g_assert_cmpint(wire_wait(wire, -1, NULL), ==, WIRE_BROKEN);
  g_thread_join(thread);
  wire_free(wire);
  loopback_free(loopback);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_data_func("/wire/held-back/plain", GINT_TO_POINTER(0), test_held_back);
  g_test_add_data_func("/wire/held-back/tls", GINT_TO_POINTER(1), test_held_back);
  g_test_add_func("/wire/wake", test_wake);
  g_test_add_func("/wire/silent-later", test_silent_later);
  g_test_add_data_func("/wire/send-after-end/plain", GINT_TO_POINTER(0), test_send_after_end);
  g_test_add_data_func("/wire/send-after-end/tls", GINT_TO_POINTER(1), test_send_after_end);
  g_test_add_func("/wire/cancel-recv", test_cancel_recv);
  return g_test_run();
}
