// A WireDialogue listens to the lines that pass while a connection logs in, because the transport
// library reports only a number: it knows whether a login went out at all and with which words the
// server refused. It writes the lines to the debug log, secrets struck out. One thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "net/account.h"

typedef struct WireDialogue WireDialogue;

// `name` begins the log lines. `secret`, which must outlive the dialogue, is struck out of what the
// server says, should it repeat it; NULL: none.
WireDialogue *wire_dialogue_new(AccountProtocol protocol, const char *name, const char *secret);
void wire_dialogue_free(WireDialogue *dialogue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WireDialogue, wire_dialogue_free)

// One line each, or several; never a part of one.
void wire_dialogue_sent(WireDialogue *dialogue, const char *bytes, size_t size);
void wire_dialogue_received(WireDialogue *dialogue, const char *bytes, size_t size);

// True once a command that offers a secret was sent.
bool wire_dialogue_has_login(const WireDialogue *dialogue);
// The server's last refusal (a tagged NO or BAD, BYE, -ERR, 4xx, 5xx) in its words, printable,
// without the tag; NULL if it refused nothing. That it does not know CAPA is none.
const char *wire_dialogue_refusal(const WireDialogue *dialogue);
// True if that refusal is about the server's own state, which neither time nor another secret
// mends: [SYS/PERM] (RFC 3206).
bool wire_dialogue_is_of_system(const WireDialogue *dialogue);
// True if that refusal asks for patience: an SMTP 4xx, BYE, a response code such as [UNAVAILABLE]
// (RFC 5530), [SYS/TEMP] or [IN-USE] (RFC 2449, 3206), or words about too many connections or a
// maildrop that is locked.
bool wire_dialogue_is_busy(const WireDialogue *dialogue);
