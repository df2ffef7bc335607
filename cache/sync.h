// Synchronisation brings the index up to date with the server: the folder tree, or one folder's
// messages. Functions of a session thread: they block over the wire, write the index in batches
// that hold no transaction while they wait for the server. What is new is built out of sight and
// shown by one last commit; only if that was reached (true) do `changes` tell what it changed.
//
// A folder's first listing is made as a whole; later ones ask for what is new since. Where the
// server has renumbered the folder (another UIDVALIDITY, or a UIDNEXT or HIGHESTMODSEQ that went
// backwards: a restored backup) it is listed anew, and the messages that are recognised keep their
// inodes, names and bodies. Messages of a server without UIDs are known by their ids: they get UIDs
// here, each one never used before, and are never compared by them.
//
// Names are given for good, and hang on headers. So a new message whose header a server without
// UIDs refuses is not shown before it is to be had, for an hour at most, counted from the first
// refusal and also over remounts; then it is named by what is known, its id. A first listing fails
// meanwhile, BUSY, for it would be half of one; but for half a minute only, unless the server says
// that its refusal will pass. What is known already is never made to wait. Where the server does
// not tell all that is present, nothing is gone; for an hour too.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/changes.h"
#include "cache/index.h"
#include "cache/listing_bodies.h"
#include "net/mailbox.h"

// So many new names of one change are told one by one.
#define SYNC_ADDED_MAX 200

typedef struct {
  const char *const *folders;  // globs, see name_folder_wanted
  const char *reserved;        // name kept from the root's folders, NULL: none
} SyncOptions;

// Lists the folders, and asks for the quota. A server that lists no folder at all is not believed:
// REFUSED. Where it tells the state of the folders too, those that are as they were listed count as
// brought up to date, and `changes` tells the others as stale.
bool sync_tree(Index *index, Mailbox *mailbox, const SyncOptions *options, Changes *changes,
               GError **error);
// Lists the messages of `folder`, which is open afterwards; has_uids: see MailboxTraits. `bodies`
// takes what is told whole; NULL: nobody does. Errors: NetError or IndexError; the listing is then
// as it was, but for flags.
bool sync_folder(Index *index, Mailbox *mailbox, bool has_uids, const IndexFolder *folder,
                 ListingBodies *bodies, Changes *changes, GError **error);
