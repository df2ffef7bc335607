// The Archive is the directory of bodies that are kept for ever, a file each, named by the
// message's id. A file there is in the archive only if the ledger says so (cache/ledger.h): it is
// written beside, synced and renamed before the ledger knows of it, and removed after the ledger
// has forgotten it.
//
// A body of the cache on the same file system gets another name, others are copied. Errors are a
// LEDGER_ERROR whose code is an errno. Opening is for any thread, the rest for the keeper's.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body.h"
#include "cache/ledger.h"

// A directory in it, for what the ledger does not know.
#define ARCHIVE_ASIDE "unknown"

typedef struct Archive Archive;

// Makes the directory if it is missing.
Archive *archive_new(const char *directory, GError **error);
void archive_free(Archive *archive);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Archive, archive_free)

// Removes what a crash left: unfinished files, those of messages that were to be removed, and those
// that have another name in the cache still. Others that the ledger does not know are not deleted,
// perhaps it is an older one that was put back: they are put into ARCHIVE_ASIDE. Tells how many.
unsigned archive_sweep(Archive *archive, LedgerFate (*fate)(const char *id, gpointer data),
                       gpointer data);
// True if there is no file.
bool archive_is_empty(Archive *archive);

// Lays a body beside, of exactly that size and digest. EILSEQ: these are not its bytes, or they
// cannot be read; the archive is as good as it was.
bool archive_lay(Archive *archive, const char *id, int fd, uint64_t size,
                 const uint8_t sha256[BODY_SHA256_BYTES], GError **error);
// Puts bodies that were laid beside, of `n` ids, in their places: first all bytes reach the disk,
// which is far less work for it than one after the other, then all names. With error, those that
// are not in their places are taken away.
bool archive_place(Archive *archive, const char *const *ids, size_t n, GError **error);
// Whether there is a body of exactly that size.
bool archive_has(Archive *archive, const char *id, uint64_t size);
// A descriptor for reading, the caller's, or -1 if there is no body of exactly that size.
int archive_open(Archive *archive, const char *id, uint64_t size);
void archive_remove(Archive *archive, const char *id);
