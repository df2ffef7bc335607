// Synchronisation brings the index up to date with the server: the folder tree, or one folder's
// messages. Functions of a session thread: they block over the wire, write the index in batches
// that hold no transaction while they wait for the server. What is new is built out of sight and
// shown by one last commit; only if that was reached (true) do `changes` tell what it changed.
//
// A folder's first listing, or one whose UIDVALIDITY changed, is made as a whole; later ones
// compare UIDs and fetch what is new.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/changes.h"
#include "cache/index.h"
#include "net/mailbox.h"

typedef struct {
  const char *const *folders;  // globs, see name_folder_wanted
  const char *reserved;        // name kept from the root's folders, NULL: none
} SyncOptions;

// Lists the folders, and asks for the quota. A server that lists no folder at all is not believed:
// PROTOCOL.
bool sync_tree(Index *index, Mailbox *mailbox, const SyncOptions *options, Changes *changes,
               GError **error);
// Lists the messages of `folder`, which was just examined with `status`. Errors: NetError or
// IndexError; the listing is then as it was, but for flags.
bool sync_folder(Index *index, Mailbox *mailbox, const IndexFolder *folder,
                 const MailboxStatus *status, Changes *changes, GError **error);
