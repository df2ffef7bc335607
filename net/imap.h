// The IMAP mailbox (RFC 3501 and its extensions, read side): fulfils net/mailbox.h over one
// logged-in wire. Folders are opened by EXAMINE and bodies read by BODY.PEEK[], so nothing here can
// change a flag.
#pragma once

#include <glib.h>

#include "net/imap_session.h"
#include "net/mailbox.h"
#include "net/wire.h"

// Takes over `wire`, also when it fails; asks for capabilities and says who we are where the server
// wants to know (RFC 2971). Blocks. `name` begins log lines. Errors: those that end the connection.
Mailbox *imap_mailbox_new(Wire *wire, const char *name, GError **error);
