// An Account is where one server is and how to log in there: plain values, set up once at start and
// then shared, read-only, by every thread. It knows nothing of folders or of a cache.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "net/secret.h"

typedef enum {
  ACCOUNT_IMAP,
  ACCOUNT_POP3,
  ACCOUNT_SMTP,
} AccountProtocol;

typedef struct {
  AccountProtocol protocol;
  bool implicit_tls;  // imaps, pop3s, smtps: TLS from the first byte; else STARTTLS/STLS
  bool tls_off;       // plain text, because the user said tls=off
  char *host;
  uint16_t port;
  char *user;      // decoded; NULL: no login (an SMTP relay that wants none)
  Secret *secret;  // NULL exactly when user is
  char *auth;      // SASL mechanism to force; NULL: automatic
  char *ca_file, *tls_pin, *client_cert, *client_key, *proxy;  // each may be NULL
  unsigned timeout_ms;                                         // without a byte of progress
} Account;

// Parses `imaps://user@host[:port]` and its kin: user is percent-decoded, the port defaults by
// scheme (993, 143, 995, 110, 465, 587), timeout_ms to 60,000. No secret yet. A password in the
// URL, an empty host, a path, a query, a control character, an unknown scheme, and a mailbox
// without a user (SMTP may lack one) are refused with NET_ERROR_REFUSED and words for the user,
// which never repeat the URL: it may hold a password. IPv6 hosts stand in brackets.
Account *account_new_from_url(const char *url, GError **error);
void account_free(Account *account);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Account, account_free)

// "imaps://host:port", for messages and the connection: no user, no secret.
char *account_server(const Account *account);
// The directory name of an account without a section: PROTO_USER@HOST[_PORT] with PROTO the
// scheme, the port only where it is not the default, everything but letters, digits and `@._+-`
// written %XX. Never empty, never `.` or `..`.
char *account_directory_name(const Account *account);
// The same escape for a section's name.
char *account_escape_directory(const char *name);
