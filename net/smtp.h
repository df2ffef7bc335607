// The Sender that speaks SMTP (RFC 5321, submission RFC 6409) over a wire. MAIL, each RCPT and DATA
// go one by one, each after the answer to the one before.
//
//   EHLO ──> ready ──MAIL──> RCPT ... ──> DATA ──> bytes, dot ──> ready
//              ^               └─ none taken: RSET ──┘
//              └───────────────────────────────────────┘      421, a broken wire: over ──> free
#pragma once

#include "net/sender.h"
#include "net/wire.h"

// Takes over the wire, also when it fails, and says EHLO. Errors: as sender_open.
Sender *smtp_sender_new(Wire *wire, const char *name, GError **error);
