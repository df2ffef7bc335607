// A BodyStore holds message bytes on disk, a file each, named by inode. A body is written beside
// and renamed, so a file that is there is whole; it may vanish at any time, since it can be fetched
// again, and therefore is not fsynced: whoever opens one says how long it must be.
//
// When the disk is full a body lives in memory for those who wait for it, within BODY_MEMORY_MAX
// for all of them. The store is shared by all threads; a BodyWriter belongs to one.
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

// A new descriptor for reading, or -1 if there is no body of exactly `size` bytes. Descriptors of
// bodies are duplicated and closed by the calls below, which know the ones that lie in memory.
int body_open(BodyStore *store, uint64_t ino, uint64_t size);
int body_dup(BodyStore *store, int fd);  // -1: errno
void body_close(BodyStore *store, int fd);
void body_remove(BodyStore *store, uint64_t ino);

typedef struct BodyWriter BodyWriter;
BodyWriter *body_writer_new(BodyStore *store, GError **error);
// NET_ERROR_LIMIT: neither disk nor memory can take it.
bool body_writer_write(BodyWriter *writer, const void *bytes, size_t size, GError **error);
// Starts again from nothing.
bool body_writer_reset(BodyWriter *writer, GError **error);
// Ends the writing: puts the body in its place as `ino`'s and returns a descriptor of it for
// reading; the writer is left to be freed. on_disk: false if it lies in memory only. -1 with error.
int body_writer_finish(BodyWriter *writer, uint64_t ino, uint64_t *size,
                       uint8_t sha256[BODY_SHA256_BYTES], bool *on_disk, GError **error);
// Without a finish, nothing is left.
void body_writer_free(BodyWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BodyWriter, body_writer_free)
