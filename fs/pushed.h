// A Pushed puts a small message's bytes into the kernel's page cache when it is opened for the
// first time, before that is answered: so the reader who comes with them asks for nothing more.
//
// It is done once for each message, while nobody has it open: a READ of it under way would hold the
// very pages that the kernel is to fill. Main loop's thread.
#pragma once

#include <stdint.h>

#include <fuse_lowlevel.h>
#include <glib.h>

typedef struct Pushed Pushed;

Pushed *pushed_new(void);
void pushed_free(Pushed *pushed);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pushed, pushed_free)
// `ino` is being opened; its bytes are all there in `fd`. Does not wait for a disk: bytes that are
// not in memory are left to be asked for.
void pushed_open(Pushed *pushed, struct fuse_session *session, uint64_t ino, int fd, uint64_t size);
// Its bytes are not all there.
void pushed_open_partly(Pushed *pushed, uint64_t ino);
