#include "tests/net/deflate_server.h"

#include <string.h>
#include <zlib.h>

#define RAW_WINDOW_BITS (-15)

typedef struct {
  GBytes *bytes;  // none: the close
  size_t at;
  int64_t arrives_us;
} Packet;

struct DeflateServer {
  Wire wire;
  DeflateCut cut;
  GRand *random;
  GQueue packets;
  z_stream packer, unpacker;
  GByteArray *heard;  // not unfolded yet
  size_t heard_bytes, received_bytes;
  unsigned n_receives;
  GString *timeouts;
  GError *fault;
  bool is_woken;
  int64_t delay_us;
};

static int64_t now_us = 1000000;
static unsigned n_alive;

// In the place of GLib's.
gint64 g_get_monotonic_time(void) {
  return now_us;
}

static void packet_free(void *data) {
  Packet *packet = data;
  g_bytes_unref(packet->bytes);
  g_free(packet);
}

static ssize_t server_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  DeflateServer *self = (DeflateServer *)wire;
  Packet *packet = g_queue_peek_head(&self->packets);
  self->n_receives++;
  if (self->fault != NULL) {
    g_propagate_error(error, g_error_copy(self->fault));
    return -1;
  }
  g_assert_nonnull(packet);
  g_assert_cmpint(packet->arrives_us, <=, now_us);
  size_t left = g_bytes_get_size(packet->bytes) - packet->at;
  if (left == 0) return 0;
  size = MIN(size, left);
  memcpy(buffer, (const char *)g_bytes_get_data(packet->bytes, NULL) + packet->at, size);
  packet->at += size;
  self->received_bytes += size;
  if (size == left) packet_free(g_queue_pop_head(&self->packets));
  return (ssize_t)size;
}

static bool server_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  DeflateServer *self = (DeflateServer *)wire;
  g_assert_cmpuint(size, >, 0);
  if (self->fault != NULL) {
    g_propagate_error(error, g_error_copy(self->fault));
    return false;
  }
  g_byte_array_append(self->heard, bytes, (guint)size);
  self->heard_bytes += size;
  return true;
}

static WireWait server_wait(Wire *wire, int timeout_ms, GError **error) {
  DeflateServer *self = (DeflateServer *)wire;
  const Packet *packet = g_queue_peek_head(&self->packets);
  int64_t end_us = timeout_ms < 0 ? INT64_MAX : now_us + timeout_ms * INT64_C(1000);
  g_string_append_printf(self->timeouts, "%s%d", self->timeouts->len > 0 ? " " : "", timeout_ms);
  if (self->is_woken) return WIRE_WOKEN;
  if (packet != NULL && packet->arrives_us <= now_us) return WIRE_READY;
  if (self->fault != NULL) {
    g_propagate_error(error, g_error_copy(self->fault));
    return WIRE_BROKEN;
  }
  g_assert_true(packet != NULL || timeout_ms >= 0);
  bool arrives = packet != NULL && packet->arrives_us <= end_us;
  now_us = (arrives ? packet->arrives_us : end_us) + self->delay_us;
  return arrives ? WIRE_READY : WIRE_EXPIRED;
}

static void server_free(Wire *wire) {
  DeflateServer *self = (DeflateServer *)wire;
  g_rand_free(self->random);
  g_queue_clear_full(&self->packets, packet_free);
  deflateEnd(&self->packer);
  inflateEnd(&self->unpacker);
  g_byte_array_unref(self->heard);
  g_string_free(self->timeouts, TRUE);
  g_clear_error(&self->fault);
  g_free(self);
  n_alive--;
}

DeflateServer *deflate_server_new(DeflateCut cut) {
  static const WireOps ops = {server_recv, server_send, server_wait, server_free, NULL};
  DeflateServer *self = g_new0(DeflateServer, 1);
  self->wire.ops = &ops;
  n_alive++;
  self->cut = cut;
  self->random = g_rand_new_with_seed(13);
  self->heard = g_byte_array_new();
  self->timeouts = g_string_new(NULL);
  int made = deflateInit2(&self->packer, Z_DEFAULT_COMPRESSION, Z_DEFLATED, RAW_WINDOW_BITS, 9,
                          Z_DEFAULT_STRATEGY);
  g_assert_cmpint(made, ==, Z_OK);
  g_assert_cmpint(inflateInit2(&self->unpacker, RAW_WINDOW_BITS), ==, Z_OK);
  return self;
}

Wire *deflate_server_wire(DeflateServer *server) {
  return &server->wire;
}

unsigned deflate_server_n_alive(void) {
  return n_alive;
}

GByteArray *deflate_server_pack(DeflateServer *server, const void *bytes, size_t size, int flush) {
  z_stream *stream = &server->packer;
  GByteArray *packed = g_byte_array_new();
  unsigned char buffer[4096];
  stream->next_in = (unsigned char *)bytes;
  stream->avail_in = (uInt)size;
  do {
    stream->next_out = buffer;
    stream->avail_out = sizeof buffer;
    deflate(stream, flush);
    g_byte_array_append(packed, buffer, (guint)(sizeof buffer - stream->avail_out));
  } while (stream->avail_out == 0);
  g_assert_cmpuint(stream->avail_in, ==, 0);
  return packed;
}

void deflate_server_say(DeflateServer *server, const void *bytes, size_t size, int flush) {
  g_autoptr(GByteArray) packed = deflate_server_pack(server, bytes, size, flush);
  deflate_server_send(server, packed->data, packed->len, 0);
}

void deflate_server_send(DeflateServer *server, const void *bytes, size_t size, int64_t after_us) {
  for (size_t at = 0; at < size;) {
    size_t step = size - at;
    if (server->cut == DEFLATE_BYTES) step = 1;
    if (server->cut == DEFLATE_RANDOM) {
      size_t piece = (size_t)g_rand_int_range(server->random, 1, 301);
      step = MIN(step, piece);
    }
    Packet *packet = g_new0(Packet, 1);
    packet->bytes = g_bytes_new((const char *)bytes + at, step);
    packet->arrives_us = now_us + after_us;
    g_queue_push_tail(&server->packets, packet);
    at += step;
  }
}

void deflate_server_close(DeflateServer *server) {
  Packet *packet = g_new0(Packet, 1);
  packet->bytes = g_bytes_new(NULL, 0);
  g_queue_push_tail(&server->packets, packet);
}

void deflate_server_break(DeflateServer *server, const GError *error) {
  g_clear_error(&server->fault);
  server->fault = error != NULL ? g_error_copy(error) : NULL;
}

void deflate_server_wake(DeflateServer *server, bool is_woken) {
  server->is_woken = is_woken;
}

void deflate_server_set_delay(DeflateServer *server, int64_t delay_us) {
  server->delay_us = delay_us;
}

GString *deflate_server_hear(DeflateServer *server) {
  z_stream *stream = &server->unpacker;
  GString *text = g_string_new(NULL);
  char buffer[4096];
  stream->next_in = server->heard->data;
  stream->avail_in = server->heard->len;
  do {
    stream->next_out = (unsigned char *)buffer;
    stream->avail_out = sizeof buffer;
    int code = inflate(stream, Z_SYNC_FLUSH);
    g_assert_true(code == Z_OK || code == Z_BUF_ERROR);
    g_string_append_len(text, buffer, (gssize)(sizeof buffer - stream->avail_out));
  } while (stream->avail_out == 0);
  g_assert_cmpuint(stream->avail_in, ==, 0);
  g_byte_array_set_size(server->heard, 0);
  return text;
}

size_t deflate_server_heard_bytes(const DeflateServer *server) {
  return server->heard_bytes;
}

unsigned deflate_server_n_receives(const DeflateServer *server) {
  return server->n_receives;
}

size_t deflate_server_received_bytes(const DeflateServer *server) {
  return server->received_bytes;
}

char *deflate_server_timeouts(DeflateServer *server) {
  char *timeouts = g_strdup(server->timeouts->str);
  g_string_truncate(server->timeouts, 0);
  return timeouts;
}
