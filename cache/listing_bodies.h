// ListingBodies keeps the bodies that pass while a folder is listed, because a server that gives no
// headers alone gave the messages whole (MailboxUpdateFuncs.bodies): what was here once is not
// fetched again. That one cannot be kept is no failure of the listing's. Owned by the session
// thread that synchronises.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body.h"
#include "cache/index.h"
#include "net/mailbox.h"

typedef struct ListingBodies ListingBodies;

// Keeps bodies of `most_bytes` together, about; 0: any number.
ListingBodies *listing_bodies_new(BodyStore *store, uint64_t most_bytes);
void listing_bodies_free(ListingBodies *bodies);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ListingBodies, listing_bodies_free)

// To be given to the mailbox; lent.
const MailboxBodyFuncs *listing_bodies_funcs(const ListingBodies *bodies);
// True if the body of that message is the one that passed last, and can be kept.
bool listing_bodies_has(const ListingBodies *bodies, uint32_t uid);
// Makes it that of the inode, in the index too. Outside a transaction.
void listing_bodies_keep(ListingBodies *bodies, Index *index, uint64_t ino);
// How many are kept; the cache may have to make room for them.
unsigned listing_bodies_count(const ListingBodies *bodies);
