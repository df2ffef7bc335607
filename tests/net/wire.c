#include "net/wire.h"

#include <string.h>

#include <glib/gstdio.h>

#include "net/error.h"
#include "tests/net/loopback.h"

#define GREETING "S: * OK ready\nC: A001 CAPABILITY\n"
#define CAPABLE "S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: A001 OK done\n"
#define LOGGED_IN GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN *\nS: A002 OK welcome\n"

#define POP3_PLAIN_USER "S: +OK hello\nC: CAPA\nS: +OK\nS: USER\nS: TOP\nS: .\n"

// "alice", "secret" in PLAIN's base64.
#define PLAIN_SECRET "AGFsaWNlAHNlY3JldA=="
#define PLAIN_RENEWED "AGFsaWNlAHJlbmV3ZWQ="

static Account *account_at(const char *scheme, uint16_t port) {
  g_autofree char *url = g_strdup_printf("%s://alice@localhost:%u", scheme, port);
  Account *account = account_new_from_url(url, NULL);
  account->secret = secret_new_from_value(SECRET_PASSWORD, "secret");
  // Long enough for any machine; the rows that wait for the end of it set a short one.
  account->timeout_ms = 30000;
  account->tls_off = !account->implicit_tls;
  return account;
}

static void assert_fails(const Account *account, NetError code, const char *words) {
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

// Nothing listens there: OFFLINE, with the system's reason.
static void test_refused(void) {
  const char *const dialogues[] = {NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  uint16_t port = loopback_port(loopback);
  loopback_free(loopback);
  g_autoptr(Account) account = account_at("imaps", port);
  assert_fails(account, NET_ERROR_OFFLINE, "Connection refused");
}

// A name that cannot exist (a label of 70 letters needs no name server to be refused): HOST.
static void test_unknown_host(void) {
  g_autoptr(Account) account = account_at("imaps", 993);
  g_autofree char *label = g_strnfill(70, 'a');
  g_free(account->host);
  account->host = g_strconcat(label, ".invalid", NULL);
  assert_fails(account, NET_ERROR_HOST, "invalid:993");
}

// A server that accepts and says nothing: TIMEOUT when the account's time is over.
static void test_silent(void) {
  const char *const dialogues[] = {"hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  account->timeout_ms = 200;
  assert_fails(account, NET_ERROR_TIMEOUT, "did not answer within 1 s");
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

static gpointer greet_late(gpointer loopback) {
  loopback_await(loopback);
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
  g_autoptr(Account) account = account_at("smtp", loopback_port(loopback));
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

static const struct {
  const char *name, *scheme;
  const char *dialogues[3];
  NetError code;
  const char *words;
} logins[] = {
    {"imap-denied",
     "imap",
     {GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN " PLAIN_SECRET
                       "\nS: A002 NO [AUTHENTICATIONFAILED] no such secret\n"},
     NET_ERROR_DENIED,
     "refuses the login of alice: [AUTHENTICATIONFAILED] no such ***"},
    {"imap-bye-after-no",
     "imap",
     {GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN *\nS: A002 NO wrong\nS: * BYE too many\n"},
     NET_ERROR_DENIED,
     "wrong"},
    {"imap-unavailable",
     "imap",
     {GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN *\nS: A002 NO [UNAVAILABLE] database down\n"},
     NET_ERROR_BUSY,
     "[UNAVAILABLE] database down"},
    {"imap-too-many",
     "imap",
     {"S: * BYE Too many connections\n"},
     NET_ERROR_BUSY,
     "Too many connections"},
    {"imap-not",
     "imap",
     {"S: SSH-2.0-OpenSSH\nS: * NO\n"},
     NET_ERROR_PROTOCOL,
     "does not speak IMAP"},
    {"imap-gone",
     "imap",
     {"S: * OK hello\nC: A001 CAPABILITY\n"},
     NET_ERROR_OFFLINE,
     "cannot be reached"},
    // No mechanism of ours: nothing is sent, and the second connection fares no better.
    {"imap-no-mechanism",
     "imap",
     {"S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=X-OURS\n"
      "S: A001 OK done\n",
      "S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=X-OURS\n"
      "S: A001 OK done\n"},
     NET_ERROR_DENIED,
     "offers no login"},
    {"pop3-denied",
     "pop3",
     {"S: +OK hello\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: +\nC: *\n"
      "S: -ERR [AUTH] wrong\n"},
     NET_ERROR_DENIED,
     "[AUTH] wrong"},
    {"pop3-in-use",
     "pop3",
     {"S: +OK hello\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: +\nC: *\n"
      "S: -ERR [IN-USE] locked\n"},
     NET_ERROR_BUSY,
     "[IN-USE] locked"},
    {"pop3-login-delay",
     "pop3",
     {"S: +OK hello\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: +\nC: *\n"
      "S: -ERR [LOGIN-DELAY] minimum time between logins\n"},
     NET_ERROR_BUSY,
     "asks to try later: -ERR [LOGIN-DELAY] minimum time between logins"},
    {"pop3-system-temporary",
     "pop3",
     {"S: +OK hello\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: +\nC: *\n"
      "S: -ERR [SYS/TEMP] database\n"},
     NET_ERROR_BUSY,
     "[SYS/TEMP] database"},
    // Another secret would not help.
    {"pop3-system-permanent",
     "pop3",
     {"S: +OK hello\nC: CAPA\nS: +OK\nS: SASL PLAIN\nS: .\nC: AUTH PLAIN\nS: +\nC: *\n"
      "S: -ERR [SYS/PERM] mailbox is broken\n"},
     NET_ERROR_REFUSED,
     "refuses the connection: -ERR [SYS/PERM] mailbox is broken"},
    {"pop3-user-in-use",
     "pop3",
     {POP3_PLAIN_USER "hold",
      POP3_PLAIN_USER "C: USER alice\nS: +OK\nC: PASS secret\nS: -ERR [IN-USE] locked\n"},
     NET_ERROR_BUSY,
     "[IN-USE] locked"},
    // An old server has no codes.
    {"pop3-user-locked",
     "pop3",
     {POP3_PLAIN_USER "hold",
      POP3_PLAIN_USER "C: USER alice\nS: +OK\nC: PASS secret\nS: -ERR maildrop already locked\n"},
     NET_ERROR_BUSY,
     "maildrop already locked"},
    // The words of a refusal that speaks of the maildrop are no lock.
    {"pop3-maildrop-denied",
     "pop3",
     {POP3_PLAIN_USER "hold",
      POP3_PLAIN_USER "C: USER alice\nS: +OK\nC: PASS secret\nS: -ERR no such maildrop, blocked\n"},
     NET_ERROR_DENIED,
     "no such maildrop"},
    {"pop3-auth-denied",
     "pop3",
     {POP3_PLAIN_USER "hold", POP3_PLAIN_USER
      "C: USER alice\nS: +OK\nC: PASS secret\nS: -ERR [AUTH] invalid user or maildrop lock busy\n"},
     NET_ERROR_DENIED,
     "[AUTH] invalid user"},
    {"pop3-user-denied",
     "pop3",
     {POP3_PLAIN_USER "hold",
      POP3_PLAIN_USER "C: USER alice\nS: +OK\nC: PASS secret\nS: -ERR wrong\n"},
     NET_ERROR_DENIED,
     "refuses the login of alice: -ERR wrong"},
    {"pop3-greeting-put-off", "pop3", {"S: -ERR [SYS/TEMP] later\n"}, NET_ERROR_BUSY, "later"},
    {"pop3-greeting-refused", "pop3", {"S: -ERR go away\n"}, NET_ERROR_REFUSED, "go away"},
    {"smtp-denied",
     "smtp",
     {"S: 220 hello\nC: EHLO localhost\nS: 250-hello\nS: 250 AUTH PLAIN\nC: AUTH PLAIN*\n"
      "S: 535 5.7.8 wrong\n"},
     NET_ERROR_DENIED,
     "535 5.7.8 wrong"},
    {"smtp-put-off",
     "smtp",
     {"S: 220 hello\nC: EHLO localhost\nS: 250-hello\nS: 250 AUTH PLAIN\nC: AUTH PLAIN*\n"
      "S: 454 4.7.0 later\n"},
     NET_ERROR_BUSY,
     "454 4.7.0 later"},
    {"smtp-greeting-put-off", "smtp", {"S: 421 overloaded\n"}, NET_ERROR_BUSY, "421 overloaded"},
    {"smtp-greeting-refused", "smtp", {"S: 554 go away\n"}, NET_ERROR_REFUSED, "554 go away"},
    // libcurl would go on without a login.
    {"smtp-without-auth",
     "smtp",
     {"S: 220 hello\nC: EHLO localhost\nS: 250 hello\n",
      "S: 220 hello\nC: EHLO localhost\nS: 250 hello\n"},
     NET_ERROR_DENIED,
     "offers no login"},
};

// Each way in which a server can refuse has its code and keeps the server's words, the secret
// struck out; a refused login is not tried again with the same secret.
static void test_login_fails(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  Loopback *loopback = loopback_new(logins[row].dialogues, false);
  g_autoptr(Account) account = account_at(logins[row].scheme, loopback_port(loopback));
  assert_fails(account, logins[row].code, logins[row].words);
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
    g_autoptr(Account) account = account_at("imap", 143);
    account->proxy = g_strdup(bad_proxies[i]);
    g_autoptr(Waker) waker = waker_new();
    g_autoptr(GError) error = NULL;
    g_assert_null(wire_open(account, waker, "test1", &error));
    g_test_message("%s", error->message);
    g_assert_null(strstr(error->message, "secret"));
  }
}

static Wire *assert_opens(const Account *account, Waker *waker) {
  g_autoptr(GError) error = NULL;
  Wire *wire = wire_open(account, waker, "test1", &error);
  g_assert_no_error(error);
  return wire;
}

static const struct {
  const char *name, *first, *second;
} pop3_logins[] = {
    {"user", POP3_PLAIN_USER "hold",
     POP3_PLAIN_USER "C: USER alice\nS: +OK\nC: PASS secret\nS: +OK\nhold"},
    {"no-capa", "S: +OK hello\nC: CAPA\nS: -ERR what?\nhold",
     "S: +OK hello\nC: CAPA\nS: -ERR what?\nC: USER alice\nS: +OK\nC: PASS secret\nS: +OK\nhold"},
    {"apop", "S: +OK hello <1@example.org>\nC: CAPA\nS: -ERR what?\nhold",
     "S: +OK hello <1@example.org>\nC: CAPA\nS: -ERR what?\n"
     "C: APOP alice 590f21c290d2d72758db2afa13085b07\nS: +OK\nhold"},
};

// A POP3 server without SASL is logged in to by what it knows, though it may not know CAPA.
static void test_pop3_login(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  const char *const dialogues[] = {pop3_logins[row].first, pop3_logins[row].second, NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("pop3", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A server that announces no mechanism at all gets one more connection, and its LOGIN.
static void test_login_command(void) {
  static const char bare[] =
      "S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: A001 OK done\n";
  g_autofree char *second = g_strconcat(bare, "C: A002 LOGIN alice secret\nS: A002 OK\nhold", NULL);
  const char *const dialogues[] = {bare, second, NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A bearer token goes by OAUTHBEARER, never as a password.
static void test_token(void) {
  const char *const dialogues[] = {
      "S: * OK hello\nC: A001 CAPABILITY\n"
      "S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=OAUTHBEARER AUTH=CRAM-MD5\n"
      "S: A001 OK done\nC: A002 AUTHENTICATE OAUTHBEARER *\nS: A002 OK\nhold",
      NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  secret_unref(account->secret);
  account->secret = secret_new_from_value(SECRET_TOKEN, "token");
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A secret that has another value when asked again gets a second chance.
static void test_renewed_secret(void) {
  const char *const dialogues[] = {
      GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN " PLAIN_SECRET "\nS: A002 NO expired\n",
      GREETING CAPABLE "C: A002 AUTHENTICATE PLAIN " PLAIN_RENEWED "\nS: A002 OK\nhold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  g_autofree char *directory = g_dir_make_tmp("wire-XXXXXX", NULL);
  g_autofree char *command = g_strdup_printf(
      "cd '%s' && if rmdir once 2>/dev/null; then echo renewed; "
      "else mkdir once; echo secret; fi",
      directory);
  secret_unref(account->secret);
  account->secret = secret_new_from_command(SECRET_PASSWORD, command);
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
  g_assert_cmpint(g_rmdir(directory), ==, 0);
}

// A certificate that nobody vouches for: UNTRUSTED, and not a byte of a login is sent.
static void test_untrusted(void) {
  const char *const dialogues[] = {"", NULL};
  Loopback *loopback = loopback_new(dialogues, true);
  g_autoptr(Account) account = account_at("imaps", loopback_port(loopback));
  assert_fails(account, NET_ERROR_UNTRUSTED, "self-signed certificate");
  loopback_free(loopback);
}

// The certificate is trusted, but is for another name: UNTRUSTED.
static void test_wrong_name(void) {
  const char *const dialogues[] = {"", NULL};
  Loopback *loopback = loopback_new(dialogues, true);
  g_autoptr(Account) account = account_at("imaps", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_free(account->host);
  account->host = g_strdup("127.0.0.1");
  assert_fails(account, NET_ERROR_UNTRUSTED, "127.0.0.1");
  loopback_free(loopback);
}

// A server without STARTTLS gets no login in plain text: UNTRUSTED.
static void test_no_starttls(void) {
  const char *const dialogues[] = {GREETING CAPABLE "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  account->tls_off = false;
  assert_fails(account, NET_ERROR_UNTRUSTED, "STARTTLS");
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// STARTTLS is followed by the login, inside TLS.
static void test_starttls(void) {
  const char *const dialogues[] = {
      "S: * OK hello\nC: A001 CAPABILITY\nS: * CAPABILITY IMAP4rev1 STARTTLS\nS: A001 OK done\n"
      "C: A002 STARTTLS\nS: A002 OK go\nstarttls\nC: A003 CAPABILITY\n"
      "S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: A003 OK done\n"
      "C: A004 AUTHENTICATE PLAIN " PLAIN_SECRET "\nS: A004 OK\nhold",
      NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  account->tls_off = false;
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

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
  const char *const dialogues[] = {LOGGED_IN "C: go\nflood 40000\nC: bye", NULL};
  Loopback *loopback = loopback_new(dialogues, is_tls);
  g_autoptr(Account) account = account_at(is_tls ? "imaps" : "imap", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
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
  const char *const dialogues[] = {LOGGED_IN "C: go\nS: x\nhold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  waker_wake(waker);
  Wire *wire = assert_opens(account, waker);
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
  const char *const dialogues[] = {LOGGED_IN "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  account->timeout_ms = 2000;
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
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
  const char *const dialogues[] = {LOGGED_IN, NULL};
  Loopback *loopback = loopback_new(dialogues, is_tls);
  g_autoptr(Account) account = account_at(is_tls ? "imaps" : "imap", loopback_port(loopback));
  account->ca_file = g_strdup(loopback_certificate(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  loopback_free(loopback);
  g_autoptr(GError) error = NULL;
  while (wire_send(wire, "NOOP\r\n", 6, &error))
    continue;
  g_assert_error(error, NET_ERROR, NET_ERROR_OFFLINE);
  wire_free(wire);
}

// A cancel ends a login that waits for its password command.
static void test_cancel_secret(void) {
  g_autoptr(Account) account = account_at("imap", 143);
  secret_unref(account->secret);
  account->secret = secret_new_from_command(SECRET_PASSWORD, "exec sleep 1000");
  g_autoptr(Waker) waker = waker_new();
  waker_cancel(waker);
  g_autoptr(GError) error = NULL;
  g_assert_null(wire_open(account, waker, "test1", &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
}

typedef struct {
  Loopback *loopback;
  Waker *waker;
} Canceller;

static gpointer cancel_once_connected(gpointer data) {
  Canceller *canceller = data;
  loopback_await(canceller->loopback);
  waker_cancel(canceller->waker);
  return NULL;
}

// Another thread's cancel ends a connect that would last half a minute.
static void test_cancel_connect(gconstpointer data) {
  bool is_tls = GPOINTER_TO_INT(data) != 0;
  const char *const dialogues[] = {"hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at(is_tls ? "imaps" : "imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Canceller canceller = {loopback, waker};
  GThread *thread = g_thread_new("cancel", cancel_once_connected, &canceller);
  g_autoptr(GError) error = NULL;
  g_assert_null(wire_open(account, waker, "test1", &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
  g_thread_join(thread);
  loopback_free(loopback);
}

// Another thread's cancel ends a receive, also with a wake pending, and each later call.
static void test_cancel_recv(void) {
  const char *const dialogues[] = {LOGGED_IN "hold", NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = account_at("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = assert_opens(account, waker);
  waker_wake(waker);
  Canceller canceller = {loopback, waker};
  GThread *thread = g_thread_new("cancel", cancel_once_connected, &canceller);
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
  for (size_t i = 0; i < G_N_ELEMENTS(logins); i++) {
    g_autofree char *path = g_strconcat("/wire/login-fails/", logins[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_login_fails);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(pop3_logins); i++) {
    g_autofree char *path = g_strconcat("/wire/pop3-login/", pop3_logins[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_pop3_login);
  }
  g_test_add_func("/wire/refused", test_refused);
  g_test_add_func("/wire/unknown-host", test_unknown_host);
  g_test_add_func("/wire/silent", test_silent);
  g_test_add_func("/wire/late-greeting", test_late_greeting);
  g_test_add_func("/wire/bad-proxy", test_bad_proxy);
  g_test_add_func("/wire/login-command", test_login_command);
  g_test_add_func("/wire/token", test_token);
  g_test_add_func("/wire/renewed-secret", test_renewed_secret);
  g_test_add_func("/wire/untrusted", test_untrusted);
  g_test_add_func("/wire/wrong-name", test_wrong_name);
  g_test_add_func("/wire/no-starttls", test_no_starttls);
  g_test_add_func("/wire/starttls", test_starttls);
  g_test_add_data_func("/wire/held-back/plain", GINT_TO_POINTER(0), test_held_back);
  g_test_add_data_func("/wire/held-back/tls", GINT_TO_POINTER(1), test_held_back);
  g_test_add_func("/wire/wake", test_wake);
  g_test_add_func("/wire/silent-later", test_silent_later);
  g_test_add_data_func("/wire/send-after-end/plain", GINT_TO_POINTER(0), test_send_after_end);
  g_test_add_data_func("/wire/send-after-end/tls", GINT_TO_POINTER(1), test_send_after_end);
  g_test_add_data_func("/wire/cancel-connect/plain", GINT_TO_POINTER(0), test_cancel_connect);
  g_test_add_data_func("/wire/cancel-connect/tls", GINT_TO_POINTER(1), test_cancel_connect);
  g_test_add_func("/wire/cancel-secret", test_cancel_secret);
  g_test_add_func("/wire/cancel-recv", test_cancel_recv);
  return g_test_run();
}
