#include "tests/net/wire_lab.h"

#include <string.h>

Account *wire_lab_account(const char *scheme, uint16_t port) {
  g_autofree char *url = g_strdup_printf("%s://alice@localhost:%u", scheme, port);
  Account *account = account_new_from_url(url, NULL);
  account->secret = secret_new_from_value(SECRET_PASSWORD, "secret");
  // Long enough for any machine; the rows that wait for the end of it set a short one.
  account->timeout_ms = 30000;
  account->tls_off = !account->implicit_tls;
  return account;
}

void wire_lab_assert_fails(const Account *account, NetError code, const char *words) {
  g_autoptr(Waker) waker = waker_new();
  g_autoptr(GError) error = NULL;
  g_autoptr(Wire) wire = wire_open(account, waker, "test1", &error);
  g_assert_null(wire);
  g_assert_error(error, NET_ERROR, (int)code);
  if (words != NULL && strstr(error->message, words) == NULL)
    g_error("'%s' lacks '%s'", error->message, words);
  g_assert_null(strstr(error->message, "secret"));
  g_assert_null(strchr(error->message, '\n'));
}

Wire *wire_lab_open(const Account *account, Waker *waker) {
  g_autoptr(GError) error = NULL;
  Wire *wire = wire_open(account, waker, "test1", &error);
  g_assert_no_error(error);
  return wire;
}

gpointer wire_lab_cancel(gpointer data) {
  WireLabCanceller *canceller = data;
  loopback_await(canceller->loopback);
  waker_cancel(canceller->waker);
  return NULL;
}
