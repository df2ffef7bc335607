#include "fs/reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cache/queue.h"
#include "fs/thread.h"

#define WORKERS 2

typedef struct {
  fuse_req_t req;
  int fd;
  size_t size;  // wanted; then, if it may end, how many there are
  off_t offset;
  bool may_end;
} Read;

struct Reader {
  Queue *queues[WORKERS];
  pthread_t threads[WORKERS];
  unsigned next;  // whose turn it is
  char *buffer;   // the main loop's
  size_t buffer_size;
};

// 0 or an errno; flags as preadv2's. A file that is too short was cut off behind our backs: passing
// that on would look like the end of the message.
static int read_fully(Read *read, char *buffer, int flags) {
  size_t got = 0;
  while (got < read->size) {
    struct iovec part = {.iov_base = buffer + got, .iov_len = read->size - got};
    ssize_t n = preadv2(read->fd, &part, 1, read->offset + (off_t)got, flags);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0 && !read->may_end) return EIO;
    if (n == 0) break;
    got += (size_t)n;
  }
  read->size = got;
  return 0;
}

static void reply(const Read *read, int error, const char *buffer) {
  if (error != 0)
    fuse_reply_err(read->req, error);
  else
    fuse_reply_buf(read->req, buffer, read->size);
}

static void *work(void *data) {
  Queue *queue = data;
  for (Read *read = queue_pop(queue, -1); read != NULL; read = queue_pop(queue, -1)) {
    g_autofree char *buffer = g_malloc(read->size);
    reply(read, read_fully(read, buffer, 0), buffer);
    g_free(read);
  }
  return NULL;
}

Reader *reader_new(void) {
  Reader *reader = g_new0(Reader, 1);
  for (unsigned i = 0; i < WORKERS; i++) {
    reader->queues[i] = queue_new(g_free);
    reader->threads[i] = thread_start("reader", work, reader->queues[i]);
  }
  return reader;
}

void reader_free(Reader *reader) {
  if (reader == NULL) return;
  for (unsigned i = 0; i < WORKERS; i++) {
    queue_close(reader->queues[i]);
    pthread_join(reader->threads[i], NULL);
    queue_free(reader->queues[i]);
  }
  g_free(reader->buffer);
  g_free(reader);
}

static void hand_over(Reader *reader, const Read *read) {
  queue_push(reader->queues[reader->next], g_memdup2(read, sizeof *read));
  reader->next = (reader->next + 1) % WORKERS;
}

static void read_or_hand_over(Reader *reader, Read read) {
  if (reader->buffer_size < read.size) {
    reader->buffer = g_realloc(reader->buffer, read.size);
    reader->buffer_size = read.size;
  }
  int error = read_fully(&read, reader->buffer, RWF_NOWAIT);
  if (error == EAGAIN || error == EOPNOTSUPP)
    hand_over(reader, &read);
  else
    reply(&read, error, reader->buffer);
}

void reader_read(Reader *reader, fuse_req_t req, int fd, size_t size, off_t offset) {
  read_or_hand_over(reader, (Read){.req = req, .fd = fd, .size = size, .offset = offset});
}

void reader_read_to_end(Reader *reader, fuse_req_t req, int fd, size_t size, off_t offset) {
  read_or_hand_over(reader,
                    (Read){.req = req, .fd = fd, .size = size, .offset = offset, .may_end = true});
}
