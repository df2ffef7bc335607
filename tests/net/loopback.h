// A Loopback is a small real server for the tests of the wire: a thread that listens on a loopback
// port of its own and plays one dialogue for each connection, in plain text or TLS. A dialogue is
// text, a step a line:
//
//   S: line     sends the line
//   C: glob     reads a line, which must match
//   starttls    goes on in TLS
//   flood N     sends N bytes in one go
//   wait        waits for loopback_continue
//   hold        reads and drops until the client closes
//
// and closes at its end. A client that closes early ends the dialogue; whether all of it was played
// is for loopback_free to say.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct Loopback Loopback;

// A NULL-terminated list of dialogues, played one after the other. With `is_tls` each begins in
// TLS, with a certificate for `localhost` signed by itself.
Loopback *loopback_new(const char *const *dialogues, bool is_tls);
// Waits for the thread's end; returns how many steps were not played as written.
unsigned loopback_free(Loopback *loopback);

uint16_t loopback_port(const Loopback *loopback);
// A file with the certificate, to be trusted.
const char *loopback_certificate(const Loopback *loopback);
// Waits until a connection was accepted.
void loopback_await(Loopback *loopback);
// Lets a dialogue go on after its `wait`.
void loopback_continue(Loopback *loopback);
