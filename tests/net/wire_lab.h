// A WireLab is what tests of a real wire share: an account at a Loopback, how its wire is opened or
// fails to, and the words of a login.
#pragma once

#include "net/error.h"
#include "net/wire.h"
#include "tests/net/loopback.h"

// What a server and a client say before a login, and with one of alice with the password "secret".
#define WIRE_LAB_GREETING "S: * OK ready\nC: A001 CAPABILITY\n"
#define WIRE_LAB_CAPABLE "S: * CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\nS: A001 OK done\n"
#define WIRE_LAB_LOGGED_IN \
  WIRE_LAB_GREETING WIRE_LAB_CAPABLE "C: A002 AUTHENTICATE PLAIN *\nS: A002 OK welcome\n"
// "alice", "secret" in PLAIN's base64.
#define WIRE_LAB_PLAIN_SECRET "AGFsaWNlAHNlY3JldA=="

// In plain text, unless the scheme begins with TLS.
Account *wire_lab_account(const char *scheme, uint16_t port);
Wire *wire_lab_open(const Account *account, Waker *waker);
// words: of the error's message; NULL: any. It does not have the password, nor a second line.
void wire_lab_assert_fails(const Account *account, NetError code, const char *words);

// A thread's work: cancels once the loopback was connected to.
typedef struct {
  Loopback *loopback;
  Waker *waker;
} WireLabCanceller;
gpointer wire_lab_cancel(gpointer canceller);
