// A BodyStore holds message bytes on disk, a file each, named by inode. A file there is a body only
// if the index says so, and of the size that the index says: whoever opens one says how long it
// must be. It may vanish at any time, since it can be fetched again. So what is written from its
// start to its end is not synced: after a power loss it is missing or too short, on file systems
// that do not put a size on disk before the bytes (ext4 as it is mounted by default, XFS, Btrfs;
// not ext4 with data=writeback). What came in parts had its size before its bytes; it is on disk
// before the index knows it.
//
// When the disk is full a body lives in memory for those who wait for it, within BODY_MEMORY_MAX
// for all of them. The store knows which bodies are open, so that none of those is evicted, and
// which were read lately. It is shared by all threads.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define BODY_MEMORY_MAX ((uint64_t)16 << 20)
#define BODY_SHA256_BYTES 32

typedef struct BodyStore BodyStore;

// Makes directory/bodies if it is missing and removes what unfinished writers left. G_FILE_ERROR.
BodyStore *body_store_new(const char *directory, GError **error);
void body_store_free(BodyStore *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BodyStore, body_store_free)
// Removes all bodies.
bool body_store_clear(BodyStore *store, GError **error);

// A descriptor for reading, or -1 if there is no body of exactly `size` bytes. It is `ino`'s until
// body_close.
int body_open(BodyStore *store, uint64_t ino, uint64_t size);
// The same of one that lies elsewhere and was opened there.
void body_adopt(BodyStore *store, uint64_t ino);
void body_close(BodyStore *store, uint64_t ino, int fd);
void body_remove(BodyStore *store, uint64_t ino);
// The same, but not of one that is open: false. Blocks on the disk, and holds up nobody else.
// is_last: the file had no other name.
bool body_evict(BodyStore *store, uint64_t ino, bool *is_last);
// Bodies that a crash left, or an index that was deleted, are nobody's: to be found by going
// through the directories, by any thread, once and while the store is in use.
#define BODY_DIRECTORIES 256
// The inodes that have a file in one of them, as an array of uint64_t, the caller's.
GArray *body_in_directory(BodyStore *store, unsigned directory);
// Removes a body that is nobody's, unless it was put there since the store was made, or is open.
void body_sweep(BodyStore *store, uint64_t ino);
// All are gone through.
void body_end_sweep(BodyStore *store);
// Makes the body of `from`, of exactly `size` bytes, that of `ino` too: one file, two names. False:
// it is not there, or cannot have another name.
bool body_link(BodyStore *store, uint64_t from, uint64_t size, uint64_t ino);
// The inodes whose bodies were opened since the last call (some may be left out when they are very
// many), as an array of uint64_t, the caller's.
GArray *body_take_used(BodyStore *store);
