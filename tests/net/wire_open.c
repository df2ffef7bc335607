// Claim: a wire opens only to whom its certificate says it is, within the account's time, and not
// once it was cancelled; why it does not is told, without secrets.
#include <string.h>

#include "tests/net/wire_lab.h"

// Nothing listens there: OFFLINE, with the system's reason.
static void test_refused(void) {
  const char *const dialogues[] = {NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  uint16_t port = loopback_port(loopback);
  loopback_free(loopback);
  g_autoptr(Account) account = wire_lab_account("imaps", port);
  wire_lab_assert_fails(account, NET_ERROR_OFFLINE, "Connection refused");
}

// A name that cannot exist (a label of 70 letters needs no name server to be refused): HOST.
static void test_unknown_host(void) {
  g_autoptr(Account) account = wire_lab_account("imaps", 993);
  g_autofree char *label = g_strnfill(70, 'a');
  g_free(account->host);
  account->host = g_strconcat(label, ".invalid", NULL);
  wire_lab_assert_fails(account, NET_ERROR_HOST, "invalid:993");
}

// A server that accepts and says nothing: TIMEOUT when the account's time is over.
static void test_silent(void) {
  const char *const dialogues[] = {"hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  account->timeout_ms = 200;
  wire_lab_assert_fails(account, NET_ERROR_TIMEOUT, "did not answer within 1 s");
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

static gpointer greet_late(gpointer loopback) {
  loopback_await(loopback);
  // The account's time, which libcurl rounds up to a second, is over.
  g_usleep(1500 * 1000);
  loopback_continue(loopback);
  return NULL;
}

// Only the connection itself is the account's time-out: a busy SMTP server greets when it can.
static void test_late_greeting(void) {
  const char *const dialogues[] = {
      "wait\nS: 220 hello\nC: EHLO localhost\nS: 250-hello\nS: 250 AUTH PLAIN\n"
      "C: AUTH PLAIN\nS: 334 \nC: *\nS: 235 welcome\n",
      NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("smtp", loopback_port(loopback));
  account->timeout_ms = 200;
  g_autoptr(Waker) waker = waker_new();
  GThread *thread = g_thread_new("greet", greet_late, loopback);
  g_autoptr(GError) error = NULL;
  Wire *wire = wire_open(account, waker, "test1", &error);
  g_assert_no_error(error);
  g_thread_join(thread);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

static const char *const bad_proxies[] = {
    "gopher://proxy:secret@localhost:1",
    "http://proxy:secret@localhost:nowhere",
    "http://proxy:secret@",
    "http://proxy:secret@local host:1",
    "proxy:secret@@:1",
};

// A proxy that cannot be is told without its password.
static void test_bad_proxy(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(bad_proxies); i++) {
    g_autoptr(Account) account = wire_lab_account("imap", 143);
    account->proxy = g_strdup(bad_proxies[i]);
    g_autoptr(Waker) waker = waker_new();
    g_autoptr(GError) error = NULL;
    g_assert_null(wire_open(account, waker, "test1", &error));
    g_test_message("%s", error->message);
    g_assert_null(strstr(error->message, "secret"));
  }
}

// A certificate that nobody vouches for: UNTRUSTED, and not a byte of a login is sent.
static void test_untrusted(void) {
  const char *const dialogues[] = {"", NULL};
  Loopback *loopback = loopback_new(dialogues, true);
  g_autoptr(Account) account = wire_lab_account("imaps", loopback_port(loopback));
  wire_lab_assert_fails(account, NET_ERROR_UNTRUSTED, "self-signed certificate");
  loopback_free(loopback);
}

// The certificate is trusted, but is for another name: UNTRUSTED.
static void test_wrong_name(void) {
  const char *const dialogues[] = {"", NULL};
  Loopback *loopback = loopback_new(dialogues, true);
  g_autoptr(Account) account = wire_lab_account("imaps", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_free(account->host);
  account->host = g_strdup("127.0.0.1");
  wire_lab_assert_fails(account, NET_ERROR_UNTRUSTED, "127.0.0.1");
  loopback_free(loopback);
}

// A server without STARTTLS gets no login in plain text: UNTRUSTED.
static void test_no_starttls(void) {
  const char *const dialogues[] = {WIRE_LAB_GREETING WIRE_LAB_CAPABLE "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  account->tls_off = false;
  wire_lab_assert_fails(account, NET_ERROR_UNTRUSTED, "STARTTLS");
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// STARTTLS is followed by the login, inside TLS.
static void test_starttls(void) {
  const char *const dialogues[] = {
      "S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: A001 OK done\n"
      "C: A002 STARTTLS\nS: A002 OK go\nstarttls\nC: A003 CAPABILITY\n"
      "S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: A003 OK done\n"
      "C: A004 AUTHENTICATE PLAIN " WIRE_LAB_PLAIN_SECRET "\nS: A004 OK\nhold",
      NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  account->tls_off = false;
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A cancel ends a login that waits for its password command.
static void test_cancel_secret(void) {
  g_autoptr(Account) account = wire_lab_account("imap", 143);
  secret_unref(account->secret);
  account->secret = secret_new_from_command(SECRET_PASSWORD, "exec sleep 1000");
  g_autoptr(Waker) waker = waker_new();
  waker_cancel(waker);
  g_autoptr(GError) error = NULL;
  g_assert_null(wire_open(account, waker, "test1", &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
}

// Another thread's cancel ends a connect that would last half a minute.
static void test_cancel_connect(gconstpointer data) {
  bool is_tls = GPOINTER_TO_INT(data) != 0;
  const char *const dialogues[] = {"hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account(is_tls ? "imaps" : "imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  WireLabCanceller canceller = {loopback, waker};
  GThread *thread = g_thread_new("cancel", wire_lab_cancel, &canceller);
  g_autoptr(GError) error = NULL;
  g_assert_null(wire_open(account, waker, "test1", &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
  g_thread_join(thread);
  loopback_free(loopback);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/wire-open/refused", test_refused);
  g_test_add_func("/wire-open/unknown-host", test_unknown_host);
  g_test_add_func("/wire-open/silent", test_silent);
  g_test_add_func("/wire-open/late-greeting", test_late_greeting);
  g_test_add_func("/wire-open/bad-proxy", test_bad_proxy);
  g_test_add_func("/wire-open/untrusted", test_untrusted);
  g_test_add_func("/wire-open/wrong-name", test_wrong_name);
  g_test_add_func("/wire-open/no-starttls", test_no_starttls);
  g_test_add_func("/wire-open/starttls", test_starttls);
  g_test_add_data_func("/wire-open/cancel-connect/plain", GINT_TO_POINTER(0), test_cancel_connect);
  g_test_add_data_func("/wire-open/cancel-connect/tls", GINT_TO_POINTER(1), test_cancel_connect);
  g_test_add_func("/wire-open/cancel-secret", test_cancel_secret);
  return g_test_run();
}
