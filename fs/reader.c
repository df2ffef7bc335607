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
  size_t size;
  off_t offset;
} Read;

struct Reader {
  Queue *queues[WORKERS];
  pthread_t threads[WORKERS];
  unsigned next;  // whose turn it is
  char *buffer;   // the main loop's
  size_t buffer_size;
};

// Reads until the end of the file or an error, which is returned; flags as preadv2's.
static int read_fully(const Read *read, char *buffer, int flags, size_t *got) {
  *got = 0;
  while (*got < read->size) {
    struct iovec part = {.iov_base = buffer + *got, .iov_len = read->size - *got};
    ssize_t n = preadv2(read->fd, &part, 1, read->offset + (off_t)*got, flags);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) break;
    *got += (size_t)n;
  }
  return 0;
}

static void reply(fuse_req_t req, int error, const char *buffer, size_t size) {
  if (error != 0)
    fuse_reply_err(req, error);
  else
    fuse_reply_buf(req, buffer, size);
}

static void *work(void *data) {
  Queue *queue = data;
  for (Read *read = queue_pop(queue, -1); read != NULL; read = queue_pop(queue, -1)) {
    g_autofree char *buffer = g_malloc(read->size);
    size_t got;
    int error = read_fully(read, buffer, 0, &got);
    reply(read->req, error, buffer, got);
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

void reader_read(Reader *reader, fuse_req_t req, int fd, size_t size, off_t offset) {
  Read read = {.req = req, .fd = fd, .size = size, .offset = offset};
  if (reader->buffer_size < size) {
    reader->buffer = g_realloc(reader->buffer, size);
    reader->buffer_size = size;
  }
  size_t got;
  int error = read_fully(&read, reader->buffer, RWF_NOWAIT, &got);
  if (error == EAGAIN || error == EOPNOTSUPP)
    hand_over(reader, &read);
  else
    reply(req, error, reader->buffer, got);
}
