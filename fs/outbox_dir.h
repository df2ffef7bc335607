// The OutboxDir is outbox/ as FUSE calls see it, its writing half: creating, writing, closing,
// renaming and removing letters. Calls that must reach the disk are answered when the outbox says
// so; until then their requests are owed here. Main loop's thread.
#pragma once

#include <stdbool.h>

#include <fuse_lowlevel.h>

#include "fs/attr.h"
#include "fs/reader.h"
#include "fs/tree.h"

typedef struct OutboxDir OutboxDir;

// All three stay the caller's and outlive it.
OutboxDir *outbox_dir_new(Outbox *outbox, Tree *tree, const Identity *identity);
// True while answers are owed.
bool outbox_dir_is_busy(const OutboxDir *dir);
// The kernel has ended the mount: does what the RELEASEs ask for that it did not tell of any more.
void outbox_dir_release_rest(OutboxDir *dir);
// Answers what is still owed with EIO; the outbox may then say what it likes.
void outbox_dir_free(OutboxDir *dir);

// Each replies to `req`, now or later, with what the outbox makes of it.
// The caller is told that outbox/ has a file of that name.
void outbox_dir_seen(OutboxDir *dir, fuse_req_t req, const char *name);
void outbox_dir_create(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                       mode_t mode, const struct fuse_file_info *file);
void outbox_dir_mknod(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                      mode_t mode);
void outbox_dir_open(OutboxDir *dir, fuse_req_t req, uint64_t ino,
                     const struct fuse_file_info *file);
void outbox_dir_read(Reader *reader, fuse_req_t req, size_t size, off_t offset,
                     const struct fuse_file_info *file);
void outbox_dir_write(OutboxDir *dir, fuse_req_t req, const char *bytes, size_t size, off_t offset,
                      const struct fuse_file_info *file);
void outbox_dir_flush(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file);
void outbox_dir_fsync(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file);
void outbox_dir_release(OutboxDir *dir, fuse_req_t req, const struct fuse_file_info *file);
void outbox_dir_rename(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name,
                       uint64_t new_parent, const char *new_name, unsigned flags);
void outbox_dir_link(OutboxDir *dir, fuse_req_t req, uint64_t ino, uint64_t parent,
                     const char *name);
void outbox_dir_unlink(OutboxDir *dir, fuse_req_t req, uint64_t parent, const char *name);
// Only the envelope's sender can be set (value NULL: removed); EOPNOTSUPP for all others. flags as
// setxattr(2)'s.
void outbox_dir_setxattr(OutboxDir *dir, fuse_req_t req, uint64_t ino, const char *name,
                         const char *value, size_t size, int flags);
// Size, permissions and times are taken; owners are accepted and stay what they are, as does all of
// a directory. file: NULL by path.
void outbox_dir_setattr(OutboxDir *dir, fuse_req_t req, uint64_t ino, const struct stat *attr,
                        int set, const struct fuse_file_info *file);
