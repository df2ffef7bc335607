// The extended attributes of messages and outbox files, "user.mailfs.*": a table of names and where
// their text comes from. All are for reading but one, XATTR_ENVELOPE_FROM of a letter.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "fs/tree.h"

#define XATTR_ENVELOPE_FROM "user.mailfs.envelope-from"

// True if a name may exist here at all; for the others (security.*, system.*) EOPNOTSUPP makes ls
// and its kin ask once for a whole mount instead of once for each file.
bool xattr_is_supported(const char *name);
// The value in `text`, newly allocated, without a NUL of its own, cut to the characters that fit
// into the kernel's limit (XATTR_SIZE_MAX). ABSENT: this thing has no such attribute.
StoreAnswer xattr_get(Store *store, Outbox *outbox, const Thing *thing, const char *name,
                      char **text);
// The names that exist, each ended by NUL, in `names`, which is newly allocated (never NULL when
// FOUND).
StoreAnswer xattr_list(Store *store, Outbox *outbox, const Thing *thing, GString **names);
