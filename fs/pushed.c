#include "fs/pushed.h"

#include <stdbool.h>
#include <sys/uio.h>

// Larger messages are read ahead by the kernel, which is as good.
#define PUSHED_MAX ((uint64_t)64 << 10)
// Which messages were opened is a bit each, in blocks that the numbers of one folder fill.
#define BLOCK_BITS 15
#define BLOCK_BYTES (((size_t)1 << BLOCK_BITS) / 8)

struct Pushed {
  GHashTable *blocks;  // ino >> BLOCK_BITS -> its bits
  char *buffer;
};

Pushed *pushed_new(void) {
  Pushed *pushed = g_new0(Pushed, 1);
  pushed->blocks = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
  pushed->buffer = g_malloc(PUSHED_MAX);
  return pushed;
}

void pushed_free(Pushed *pushed) {
  if (pushed == NULL) return;
  g_hash_table_unref(pushed->blocks);
  g_free(pushed->buffer);
  g_free(pushed);
}

// True the first time.
static bool mark(Pushed *pushed, uint64_t ino) {
  uint64_t number = ino >> BLOCK_BITS, bit = ino & (((uint64_t)1 << BLOCK_BITS) - 1);
  uint8_t *block = g_hash_table_lookup(pushed->blocks, &number), mask = (uint8_t)(1 << bit % 8);
  if (block == NULL) {
    block = g_malloc0(BLOCK_BYTES);
    g_hash_table_insert(pushed->blocks, g_memdup2(&number, sizeof number), block);
  }
  bool first = (block[bit / 8] & mask) == 0;
  block[bit / 8] |= mask;
  return first;
}

void pushed_open(Pushed *pushed, struct fuse_session *session, uint64_t ino, int fd,
                 uint64_t size) {
  struct iovec part = {.iov_base = pushed->buffer, .iov_len = size};
  if (!mark(pushed, ino) || size == 0 || size > PUSHED_MAX) return;
  if (preadv2(fd, &part, 1, 0, RWF_NOWAIT) != (ssize_t)size) return;
  struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(size);
  bytes.buf[0].mem = pushed->buffer;
  // What the kernel does not take it asks for.
  fuse_lowlevel_notify_store(session, ino, 0, &bytes, 0);
}

void pushed_open_partly(Pushed *pushed, uint64_t ino) {
  mark(pushed, ino);
}
