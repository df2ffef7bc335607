#include "net/wire_deflate.h"

#include <string.h>
#include <zlib.h>

#include "net/error.h"

#define BUFFER_BYTES 16384
// Raw deflate, the largest window (RFC 4978 section 3).
#define WINDOW_BITS (-15)
#define MEMORY_LEVEL 8
// zlib counts in less than a size_t; flushed apart, which costs five bytes.
#define PIECE_BYTES (1 << 20)
// Received without a byte unfolded: no server flushes so often without a word.
#define MAX_BARREN_BYTES (64 << 10)

typedef struct {
  Wire wire;
  Wire *inner;
  z_stream incoming, outgoing;
  unsigned char *early;                  // what inflate takes first
  unsigned char received[BUFFER_BYTES];  // compressed, what inflate has not taken yet
  // What wire_wait unfolded in order to know that there is something.
  unsigned char ahead[BUFFER_BYTES];
  size_t ahead_at, ahead_end;
  size_t barren_bytes;  // received since something unfolded
} DeflateWire;

static bool set_broken(const char *words, GError **error) {
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "the server's compressed stream %s", words);
  return false;
}

// Unfolds what was received into `buffer`; 0 in `*got`: more has to be received first. A fault is
// told only after what came before it, so that the packets' sizes do not decide what is read.
// inflate is asked also when it took all input: it may have had no room for what it has, or a fault
// to tell.
static bool unfold(DeflateWire *self, void *buffer, size_t size, size_t *got, GError **error) {
  z_stream *stream = &self->incoming;
  stream->next_out = buffer;
  stream->avail_out = (uInt)MIN(size, G_MAXUINT32 / 2);
  uInt room = stream->avail_out;
  int code = inflate(stream, Z_SYNC_FLUSH);
  *got = room - stream->avail_out;
  if (*got > 0) {
    self->barren_bytes = 0;
    return true;
  }
  bool is_good = code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END;
  if (!is_good) return set_broken("cannot be read", error);
  bool goes_on = code == Z_STREAM_END && stream->avail_in > 0;
  return goes_on ? set_broken("goes on behind its end", error) : true;
}

// More compressed bytes; 0 at the peer's orderly end, -1 with error.
static ssize_t receive(DeflateWire *self, GError **error) {
  if (self->barren_bytes > MAX_BARREN_BYTES) {
    set_broken("holds nothing", error);
    return -1;
  }
  ssize_t size = wire_recv(self->inner, self->received, sizeof self->received, error);
  if (size > 0) {
    self->incoming.next_in = self->received;
    self->incoming.avail_in = (uInt)size;
    self->barren_bytes += (size_t)size;
  }
  return size;
}

static ssize_t deflate_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  DeflateWire *self = (DeflateWire *)wire;
  if (self->ahead_at < self->ahead_end) {
    size = MIN(size, self->ahead_end - self->ahead_at);
    memcpy(buffer, self->ahead + self->ahead_at, size);
    self->ahead_at += size;
    return (ssize_t)size;
  }
  for (;;) {
    size_t got;
    if (!unfold(self, buffer, size, &got, error)) return -1;
    if (got > 0) return (ssize_t)got;
    ssize_t received = receive(self, error);
    if (received <= 0) return received;
  }
}

static bool send_piece(DeflateWire *self, const void *bytes, size_t size, GError **error) {
  z_stream *stream = &self->outgoing;
  unsigned char packed[BUFFER_BYTES];
  stream->next_in = (unsigned char *)bytes;
  stream->avail_in = (uInt)size;
  do {
    stream->next_out = packed;
    stream->avail_out = sizeof packed;
    deflate(stream, Z_SYNC_FLUSH);
    if (!wire_send(self->inner, packed, sizeof packed - stream->avail_out, error)) return false;
  } while (stream->avail_out == 0);
  return true;
}

static bool deflate_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  const char *next = bytes;
  while (size > 0) {
    size_t piece = MIN(size, PIECE_BYTES);
    if (!send_piece((DeflateWire *)wire, next, piece, error)) return false;
    next += piece;
    size -= piece;
  }
  return true;
}

// Compressed bytes that came may yield nothing yet: then a receive would wait for more. They may
// also yield a thousand times what came, through which new work does not wait: the inner wire
// knows.
static WireWait deflate_wait(Wire *wire, int timeout_ms, GError **error) {
  DeflateWire *self = (DeflateWire *)wire;
  int64_t end_us = g_get_monotonic_time() + timeout_ms * INT64_C(1000);
  bool is_asked = false;
  while (self->ahead_at == self->ahead_end) {
    size_t got;
    if (!unfold(self, self->ahead, sizeof self->ahead, &got, error)) return WIRE_BROKEN;
    self->ahead_at = 0;
    self->ahead_end = got;
    if (got > 0) break;
    int64_t left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
    WireWait wait = wire_wait(self->inner, timeout_ms < 0 ? -1 : (int)MAX(left_ms, 0), error);
    if (wait != WIRE_READY) return wait;
    is_asked = true;
    ssize_t received = receive(self, error);
    if (received < 0) return WIRE_BROKEN;
    if (received == 0) break;
  }
  bool is_woken = !is_asked && wire_wait(self->inner, 0, NULL) == WIRE_WOKEN;
  return is_woken ? WIRE_WOKEN : WIRE_READY;
}

static void deflate_free(Wire *wire) {
  DeflateWire *self = (DeflateWire *)wire;
  inflateEnd(&self->incoming);
  deflateEnd(&self->outgoing);
  wire_free(self->inner);
  g_free(self->early);
  g_free(self);
}

Wire *wire_deflate_new(Wire *inner, const void *early, size_t size) {
  static const WireOps ops = {deflate_recv, deflate_send, deflate_wait, deflate_free, NULL};
  DeflateWire *self = g_new0(DeflateWire, 1);
  self->wire.ops = &ops;
  self->inner = inner;
  self->early = g_memdup2(early, size);
  self->incoming.next_in = self->early;
  self->incoming.avail_in = (uInt)size;
  bool set_up = inflateInit2(&self->incoming, WINDOW_BITS) == Z_OK &&
                deflateInit2(&self->outgoing, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS,
                             MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
  if (!set_up) g_error("zlib: out of memory");
  return &self->wire;
}
