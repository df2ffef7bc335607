// File names for messages and folders, as users see them (the contract is in the manual page,
// "File names"). Pure functions: what they give depends on nothing but their arguments, so the same
// mail has the same name on every machine; the finished name is stored in the index and never
// computed again. They live beside the index, which is where names are kept.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

// At most this many bytes for a whole message name; 255 for a folder's.
#define NAME_MESSAGE_MAX 150
#define NAME_FOLDER_MAX 255

// "2026-11-23_0343_Alice-Smith_Quarterly-report,4711.eml", newly allocated, never NULL.
// internaldate: seconds since 1970, negative: unknown ("0000-00-00_0000"). from_name, from_address
// and subject are text as name_header_text makes it, each may be NULL. id: UID or hex.
char *name_message(int64_t internaldate, const char *from_name, const char *from_address,
                   const char *subject, const char *id);

// Header text (RFC 2047 words, raw 8-bit of any kind) as valid UTF-8 without control characters,
// for extended attributes. Never NULL for non-NULL.
char *name_header_text(const char *raw);

// One level of a folder's name: `raw` is the server's bytes between two delimiters, in modified
// UTF-7. Decoded where it round-trips, else shown raw with `&` as %26; what a file name cannot
// hold, and `%`, as %XX; empty or over 255 bytes: cut at a character and marked with "%~" and a
// hash of raw. reserved: a name it must not have (NULL: none). A name that a message could have (it
// ends in a digit and ".eml") or that is reserved gets its first character escaped.
char *name_folder(const char *raw, const char *reserved);
// The same, for when a sibling has that name already: marked with a hash of raw.
char *name_folder_distinct(const char *raw);
// The levels of a server's name of a folder, from the top, as the server spells them; g_strfreev.
char **name_folder_levels(const char *server_name, char delimiter);
// The server's whole name of a folder as UTF-8, for people: decoded where it round-trips.
char *name_folder_display(const char *raw);

// True if `path` (server folder, decoded, `/` between levels) is wanted by the globs: no globs, or
// one without `!` matches (or only excluding ones are given), and none with `!` does. `*` matches
// across levels. INBOX in any case.
bool name_folder_wanted(const char *path, const char *const *globs);
