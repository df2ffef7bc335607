// A BodyWriter takes a message's bytes as they come from the server and, at the end, puts them in
// their place in the BodyStore. Either in one stream, or in parts in any order once the size is
// known: what has been written of it can then be read at once. Without a finish, nothing is left.
//
//   new ──> write ... ─────────────────────────> finish ──> free
//                └──> set_size ──> write_at ... ──┘
//
// One thread at a time; but several may write_at different places, while others read the
// descriptor.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body.h"

typedef struct BodyWriter BodyWriter;

// ino: whose body it will be, where that is known already: it is then written in its place, where
// nobody takes it for a body before the index says so. 0: not known.
BodyWriter *body_writer_new(BodyStore *store, uint64_t ino, GError **error);
void body_writer_free(BodyWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BodyWriter, body_writer_free)

// NET_ERROR_LIMIT: neither disk nor memory can take it.
bool body_writer_write(BodyWriter *writer, const void *bytes, size_t size, GError **error);
// The body will have so many bytes, the first of which are those already written. The room for them
// is taken now, so that no later write runs out of it: unless they are more than `most` (0: any
// number is well), or than the disk has left; then it is taken as they come. LIMIT as above.
bool body_writer_set_size(BodyWriter *writer, uint64_t size, uint64_t most, GError **error);
// Only after set_size, within it. LIMIT: the disk is full.
bool body_writer_write_at(BodyWriter *writer, uint64_t offset, const void *bytes, size_t size,
                          GError **error);
// The writer's own, for reading what has been written.
int body_writer_fd(const BodyWriter *writer);
bool body_writer_is_in_memory(const BodyWriter *writer);

// Ends the writing: puts the body in its place as `ino`'s and returns a descriptor of it for
// reading (see body_close); the writer is left to be freed. on_disk: false if it lies in memory
// only. -1 with error. Reads all of a body that came in parts, and waits until the disk has it.
int body_writer_finish(BodyWriter *writer, uint64_t ino, uint64_t *size,
                       uint8_t sha256[BODY_SHA256_BYTES], bool *on_disk, GError **error);
