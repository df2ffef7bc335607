// A Listing is what a server tells of a folder's messages on its way into the index: flags of known
// messages are stored as they come, new messages are collected under a generation of their own, out
// of sight until the synchronisation shows them. It holds no transaction while the server is waited
// for, and never more than one batch in memory. Owned by the session thread that synchronises.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/index.h"
#include "net/mailbox.h"

typedef struct Listing Listing;

// Messages above `last_uid` are new; the flags of the others belong to `known_generation`.
Listing *listing_new(Index *index, uint64_t folder, uint64_t known_generation, uint32_t last_uid);
void listing_free(Listing *listing);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listing, listing_free)

// Takes what the server tells of one message, in one response or several behind each other.
bool listing_take(Listing *listing, const MailboxMessage *message, GError **error);
// Writes what is still in memory, in a transaction of its own.
bool listing_flush(Listing *listing, GError **error);
// The same. `first`: the first of the new messages of which no more than flags
// was told, 0: there is none. They may have come while the others were told: the server is to be
// asked once more, for all from there on.
bool listing_missing(Listing *listing, uint32_t *first, GError **error);
// Writes the rest. Messages of which the server still tells nothing are new messages all the same.
bool listing_end(Listing *listing, GError **error);
// The generation of the new messages: begun if there was none, after which no other may be begun.
bool listing_generation(Listing *listing, uint64_t *generation, GError **error);
// How many messages below `uid` are known by now, new ones too. After listing_missing.
bool listing_count_below(Listing *listing, uint32_t uid, uint32_t *count, GError **error);
unsigned listing_n_new(const Listing *listing);
