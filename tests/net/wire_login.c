// Claim: whatever a server knows of logins, it gets the one that it offers, and a refused secret
// is not offered twice; each way in which it can refuse has its code and its words.
#include <glib/gstdio.h>

#include "tests/net/wire_lab.h"

#define POP3_PLAIN_USER "S: +OK hello\nC: CAPA\nS: +OK\nS: USER\nS: TOP\nS: .\n"

// "alice", "renewed" in PLAIN's base64.
#define PLAIN_RENEWED "AGFsaWNlAHJlbmV3ZWQ="

static const struct {
  const char *name, *scheme;
  const char *dialogues[3];
  NetError code;
  const char *words;
} logins[] = {
    {"imap-denied",
     "imap",
     {WIRE_LAB_GREETING WIRE_LAB_CAPABLE "C: A002 AUTHENTICATE PLAIN " WIRE_LAB_PLAIN_SECRET
                                         "\nS: A002 NO [AUTHENTICATIONFAILED] no such secret\n"},
     NET_ERROR_DENIED,
     "refuses the login of alice: [AUTHENTICATIONFAILED] no such ***"},
    {"imap-bye-after-no",
     "imap",
     {WIRE_LAB_GREETING WIRE_LAB_CAPABLE
      "C: A002 AUTHENTICATE PLAIN *\nS: A002 NO wrong\nS: * BYE too many\n"},
     NET_ERROR_DENIED,
     "wrong"},
    {"imap-unavailable",
     "imap",
     {WIRE_LAB_GREETING WIRE_LAB_CAPABLE
      "C: A002 AUTHENTICATE PLAIN *\nS: A002 NO [UNAVAILABLE] database down\n"},
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
  g_autoptr(Account) account = wire_lab_account(logins[row].scheme, loopback_port(loopback));
  wire_lab_assert_fails(account, logins[row].code, logins[row].words);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
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
  g_autoptr(Account) account = wire_lab_account("pop3", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
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
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
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
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  secret_unref(account->secret);
  account->secret = secret_new_from_value(SECRET_TOKEN, "token");
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
}

// A secret that has another value when asked again gets a second chance.
static void test_renewed_secret(void) {
  const char *const dialogues[] = {WIRE_LAB_GREETING WIRE_LAB_CAPABLE
                                   "C: A002 AUTHENTICATE PLAIN " WIRE_LAB_PLAIN_SECRET
                                   "\nS: A002 NO expired\n",
                                   WIRE_LAB_GREETING WIRE_LAB_CAPABLE
                                   "C: A002 AUTHENTICATE PLAIN " PLAIN_RENEWED "\nS: A002 OK\nhold",
                                   NULL};
  Loopback *loopback = loopback_new(dialogues, false);
  g_autoptr(Account) account = wire_lab_account("imap", loopback_port(loopback));
  g_autofree char *directory = g_dir_make_tmp("wire-XXXXXX", NULL);
  g_autofree char *command = g_strdup_printf(
      "cd '%s' && if rmdir once 2>/dev/null; then echo renewed; "
      "else mkdir once; echo secret; fi",
      directory);
  secret_unref(account->secret);
  account->secret = secret_new_from_command(SECRET_PASSWORD, command);
  g_autoptr(Waker) waker = waker_new();
  Wire *wire = wire_lab_open(account, waker);
  wire_free(wire);
  g_assert_cmpuint(loopback_free(loopback), ==, 0);
  g_assert_cmpint(g_rmdir(directory), ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(logins); i++) {
    g_autofree char *path = g_strconcat("/wire-login/fails/", logins[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_login_fails);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(pop3_logins); i++) {
    g_autofree char *path = g_strconcat("/wire-login/pop3/", pop3_logins[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_pop3_login);
  }
  g_test_add_func("/wire-login/login-command", test_login_command);
  g_test_add_func("/wire-login/token", test_token);
  g_test_add_func("/wire-login/renewed-secret", test_renewed_secret);
  return g_test_run();
}
