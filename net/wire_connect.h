// The step below wire_open, for the files of the wire alone: one connection, one login, one secret,
// and how its failure reads.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/account.h"
#include "net/error.h"
#include "net/wire.h"

typedef struct {
  const char *secret;
  const char *const *mechanisms;  // SASL, to choose from; NULL: whatever both sides know
} WireLogin;

// Connects, starts TLS and logs in; `login` is NULL where the account has no user. Errors: as
// wire_open. `*no_mechanism` tells a failure in which no secret went out and nothing was refused,
// because none of the mechanisms fits: others may.
Wire *wire_connect(const Account *account, Waker *waker, const char *name, const WireLogin *login,
                   bool *no_mechanism, GError **error);

// Sets the error in one clear line that names the server. `refusal` are the server's words, NULL if
// it refused nothing; `reason` is the transport's.
void wire_failure_set(GError **error, NetError kind, const Account *account, const char *refusal,
                      const char *reason);
