// The IMAP mailbox (RFC 3501, read side): fulfils net/mailbox.h over one logged-in wire. Folders
// are opened by EXAMINE and bodies read by BODY.PEEK[], so nothing here can change a flag.
#pragma once

#include <glib.h>

#include "net/imap_session.h"
#include "net/mailbox.h"
#include "net/wire.h"

// Takes over `wire`, also when it fails; asks for capabilities and says who we are where the server
// wants to know (RFC 2971). Blocks. `name` begins log lines. Errors: those that end the connection.
Mailbox *imap_mailbox_new(Wire *wire, const char *name, GError **error);

// The parts of the mailbox that fill a file each; see net/mailbox.h.
bool imap_list(ImapSession *session, MailboxFolderFunc each, gpointer data, GError **error);
// False if the server, asked for this folder alone, does not list it; true also when it cannot say.
bool imap_has_folder(ImapSession *session, const char *folder);
bool imap_scan(ImapSession *session, uint32_t first, uint32_t last, MailboxItems items,
               MailboxMessageFunc each, gpointer data, GError **error);
bool imap_fetch(ImapSession *session, uint32_t uid, MailboxSink sink, gpointer data,
                GError **error);
