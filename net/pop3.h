// The POP3 mailbox (RFC 1939, 2449): fulfils net/mailbox.h over one logged-in wire. It has one
// folder, INBOX, as it was when the session began, whose UIDVALIDITY is always 1: messages are
// named by their ids, and UIDs are the caller's.
//
// Where the server has no UIDL an update reads all headers (TOP), and where it has no TOP either
// all messages, on each connection. That their number and sizes are those of the last time does not
// spare it: a message that took another's place, in whatever order a server lists, would never be
// seen if it is as long (as one report is like the next), and would be read under the other's name.
#pragma once

#include <glib.h>

#include "net/mailbox.h"
#include "net/wire.h"

// Takes over `wire`, also when it fails; asks what the server can do. Blocks. `name` begins log
// lines. Errors: those that end the connection.
Mailbox *pop3_mailbox_new(Wire *wire, const char *name, GError **error);
