// The Sender that speaks SMTP (RFC 5321, submission RFC 6409) over a wire. With a server that has
// PIPELINING (RFC 2920) and CHUNKING (RFC 3030), a small letter is one flight and one round trip;
// with less, it takes as many as it must.
//
//   both        ──MAIL RCPT.. BDAT──>                     ready ──> ...
//   CHUNKING    ──MAIL──> ──RCPT──> .. ──BDAT──>          each after the answer to the one before
//   PIPELINING  ──MAIL RCPT.. DATA──> ──bytes, dot──>
//   neither     ──MAIL──> ──RCPT──> .. ──DATA──> ──bytes, dot──>
//
//   EHLO ──> ready ──> envelope ──> letter ──> ready     none taken: RSET; 421, a broken wire: over
//
// With PIPELINING the next letter is begun in the flight that ends this one (RFC 2920 3.1):
//
//   both        ──MAIL RCPT.. BDAT──> ──RSET MAIL RCPT.. BDAT RSET──> ──MAIL ...    two at a time
//   PIPELINING  ──MAIL RCPT.. DATA──> ──bytes, dot, MAIL RCPT.. DATA──> ──bytes, dot, MAIL ...
//
// but only once the server has shown, on this connection, that it can take a flight. From then on
// each letter by BDAT ends in RSET, and is taken only when that was answered, too: one word of the
// server's too many cannot make an earlier answer pass for the letter's.
//
// A large letter (over 32 KB) goes in chunks of 1 MB behind the answered envelope. Nothing is put
// behind it, nor behind a small one if the last of these took more than three seconds: what is on
// the wire whole has to wait for the answers before its own.
#pragma once

#include "net/sender.h"
#include "net/wire.h"

// Takes over the wire, also when it fails, and says EHLO. `timeout_ms` is the account's. Errors: as
// sender_open.
Sender *smtp_sender_new(Wire *wire, unsigned timeout_ms, const char *name, GError **error);
