#include <string.h>

#include "net/error.h"
#include "net/wire.h"
#include "net/wire_connect.h"
#include "net/wire_trace.h"

// Left alone, libcurl would pick DIGEST-MD5 or CRAM-MD5 first, which many servers offer and few can
// do, and with a token too.
static const char *const *usual_mechanisms(const Account *account) {
  static const char *const for_password[] = {"PLAIN", "LOGIN", NULL};
  static const char *const for_token[] = {"OAUTHBEARER", "XOAUTH2", NULL};
  return secret_kind(account->secret) == SECRET_TOKEN ? for_token : for_password;
}

// Offers one secret. A server that announces no mechanism at all (Proton Bridge) fits no set of
// them: it gets a second connection on which libcurl chooses freely.
static Wire *log_in(const Account *account, Waker *waker, const char *name, const char *secret,
                    GError **error) {
  const char *const forced[] = {account->auth, NULL};
  WireLogin login = {secret, account->auth != NULL ? forced : usual_mechanisms(account)};
  bool no_mechanism = false;
  g_autoptr(GError) cause = NULL;
  Wire *wire = wire_connect(account, waker, name, &login, &no_mechanism, &cause);
  if (no_mechanism && account->auth == NULL && secret_kind(account->secret) == SECRET_PASSWORD) {
    g_clear_error(&cause);
    login.mechanisms = NULL;
    wire = wire_connect(account, waker, name, &login, &no_mechanism, &cause);
  }
  if (wire == NULL) g_propagate_error(error, g_steal_pointer(&cause));
  return wire;
}

// A password may have changed, a token expired: where the secret comes anew from its source and is
// another one, it gets its chance. The same one is never offered twice. NULL leaves or replaces
// `*error`: that no other secret is to be had says less than the refusal.
static Wire *log_in_anew(const Account *account, Waker *waker, const char *name,
                         const char *refused, GError **error) {
  g_autoptr(GError) cause = NULL;
  char *secret = secret_load(account->secret, waker, &cause);
  Wire *wire = NULL;
  if (g_error_matches(cause, NET_ERROR, NET_ERROR_CANCELLED)) {
    g_clear_error(error);
    g_propagate_error(error, g_steal_pointer(&cause));
  }
  if (secret != NULL && strcmp(secret, refused) != 0) {
    g_clear_error(error);
    wire = log_in(account, waker, name, secret, error);
  }
  secret_wipe(secret);
  return wire;
}

static Wire *open_with_secret(const Account *account, Waker *waker, const char *name,
                              GError **error) {
  g_autoptr(GError) cause = NULL;
  char *secret = secret_load(account->secret, waker, &cause);
  if (secret == NULL) {
    g_autofree char *server = account_server(account);
    g_propagate_prefixed_error(error, g_steal_pointer(&cause), "%s: ", server);
    return NULL;
  }
  Wire *wire = log_in(account, waker, name, secret, &cause);
  if (g_error_matches(cause, NET_ERROR, NET_ERROR_DENIED) && secret_is_renewable(account->secret))
    wire = log_in_anew(account, waker, name, secret, &cause);
  secret_wipe(secret);
  if (wire == NULL) g_propagate_error(error, g_steal_pointer(&cause));
  return wire;
}

Wire *wire_open(const Account *account, Waker *waker, const char *name, GError **error) {
  bool no_mechanism = false;
  Wire *wire = account->user != NULL
                   ? open_with_secret(account, waker, name, error)
                   : wire_connect(account, waker, name, NULL, &no_mechanism, error);
  return wire != NULL ? wire_trace_new(wire, name) : NULL;
}
