// Compression changes no byte, however the stream is cut; a stream that is broken, ends or unfolds
// without end costs neither sense nor memory; and a wait says READY only when a receive would not
// wait.

#include "net/wire_deflate.h"

#include <string.h>
#include <zlib.h>

#include "net/error.h"
#include "net/imap_session.h"

// A wire that gives out what `incoming` holds, at most `cut` bytes at once, and keeps what is sent.
typedef struct {
  Wire wire;
  GByteArray *incoming, *outgoing;
  size_t at, cut;
  unsigned waits;
} MemoryWire;

static ssize_t memory_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  MemoryWire *self = (MemoryWire *)wire;
  size_t left = self->incoming->len - self->at;
  size = MIN(size, MIN(left, self->cut));
  if (size > 0) memcpy(buffer, self->incoming->data + self->at, size);
  self->at += size;
  return (ssize_t)size;
}

static bool memory_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  g_byte_array_append(((MemoryWire *)wire)->outgoing, bytes, (guint)size);
  return true;
}

static WireWait memory_wait(Wire *wire, int timeout_ms, GError **error) {
  MemoryWire *self = (MemoryWire *)wire;
  self->waits++;
  return self->at < self->incoming->len ? WIRE_READY : WIRE_EXPIRED;
}

static void memory_free(Wire *wire) {
  MemoryWire *self = (MemoryWire *)wire;
  g_byte_array_unref(self->incoming);
  g_byte_array_unref(self->outgoing);
  g_free(self);
}

static MemoryWire *memory_wire_new(const void *bytes, size_t size, size_t cut) {
  static const WireOps ops = {memory_recv, memory_send, memory_wait, memory_free, NULL};
  MemoryWire *self = g_new0(MemoryWire, 1);
  self->wire.ops = &ops;
  self->incoming = g_byte_array_new();
  self->outgoing = g_byte_array_new();
  self->cut = cut;
  if (size > 0) g_byte_array_append(self->incoming, bytes, (guint)size);
  return self;
}

// What a peer would send: pieces, each flushed.
static GByteArray *pack(const char *const *pieces) {
  MemoryWire *out = memory_wire_new(NULL, 0, 1);
  g_autoptr(Wire) wire = wire_deflate_new(&out->wire, NULL, 0);
  for (; *pieces != NULL; pieces++)
    g_assert_true(wire_send(wire, *pieces, strlen(*pieces), NULL));
  return g_byte_array_ref(out->outgoing);
}

static char *random_text(GRand *random, size_t size) {
  char *text = g_malloc(size + 1);
  for (size_t i = 0; i < size; i++)
    text[i] = (char)g_rand_int_range(random, 1, g_rand_boolean(random) ? 4 : 256);
  text[size] = '\0';
  return text;
}

static void test_round_trip(void) {
  g_autoptr(GRand) random = g_rand_new_with_seed(11);
  for (unsigned round = 0; round < 40; round++) {
    g_autofree char *first = random_text(random, (size_t)g_rand_int_range(random, 0, 60000));
    g_autofree char *second = random_text(random, (size_t)g_rand_int_range(random, 0, 60000));
    const char *pieces[] = {first, "", second, NULL};
    g_autoptr(GByteArray) packed = pack(pieces);
    size_t cut = round % 3 == 0 ? 1 : (size_t)g_rand_int_range(random, 1, 5000);
    MemoryWire *in = memory_wire_new(packed->data, packed->len, cut);
    g_autoptr(Wire) wire = wire_deflate_new(&in->wire, NULL, 0);
    g_autoptr(GString) got = g_string_new(NULL);
    char buffer[3000];
    ssize_t n;
    while ((n = wire_recv(wire, buffer, (size_t)g_rand_int_range(random, 1, 3000), NULL)) > 0)
      g_string_append_len(got, buffer, n);
    g_autofree char *expected = g_strconcat(first, second, NULL);
    g_assert_cmpmem(got->str, got->len, expected, strlen(expected));
  }
}

// Compressed bytes that yield nothing yet are no reason to receive.
static void test_wait(void) {
  const char *pieces[] = {"* 5 EXISTS\r\n", NULL};
  g_autoptr(GByteArray) packed = pack(pieces);
  char buffer[100];
  for (size_t size = 0; size <= packed->len; size++) {
    MemoryWire *in = memory_wire_new(packed->data, size, 1);
    g_autoptr(Wire) wire = wire_deflate_new(&in->wire, NULL, 0);
    WireWait wait = wire_wait(wire, 0, NULL);
    g_assert_true(wait == WIRE_READY || wait == WIRE_EXPIRED);
    if (wait == WIRE_READY) {
      // What is there comes without another wait, all of it.
      unsigned waits = in->waits;
      g_assert_cmpint(wire_recv(wire, buffer, sizeof buffer, NULL), >, 0);
      g_assert_cmpuint(in->waits, ==, waits);
      g_assert_cmpint(wire_wait(wire, 0, NULL), !=, WIRE_BROKEN);
    }
    if (size == packed->len) g_assert_cmpint(wait, ==, WIRE_READY);
    if (size == 0) g_assert_cmpint(wait, ==, WIRE_EXPIRED);
  }
}

static void test_broken(void) {
  g_autoptr(GError) error = NULL;
  char buffer[100];
  MemoryWire *garbage = memory_wire_new("\xff\xff\xff\xff plain text", 15, 100);
  g_autoptr(Wire) first = wire_deflate_new(&garbage->wire, NULL, 0);
  g_assert_cmpint(wire_recv(first, buffer, sizeof buffer, &error), ==, -1);
  g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  g_clear_error(&error);
  // A last block: the peer will never say anything again.
  MemoryWire *last = memory_wire_new("\x03\x00more", 6, 100);
  g_autoptr(Wire) second = wire_deflate_new(&last->wire, NULL, 0);
  g_assert_cmpint(wire_recv(second, buffer, sizeof buffer, &error), ==, -1);
  g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  // An orderly end of the connection is one.
  MemoryWire *nothing = memory_wire_new(NULL, 0, 100);
  g_autoptr(Wire) third = wire_deflate_new(&nothing->wire, NULL, 0);
  g_assert_cmpint(wire_recv(third, buffer, sizeof buffer, NULL), ==, 0);
}

// What was received before the decorator was there is read first, however much it is, and the rest
// from the wire goes on behind it; a wait knows of it.
static void test_early(void) {
  g_autoptr(GRand) random = g_rand_new_with_seed(12);
  g_autofree char *text = random_text(random, 100000);
  const char *pieces[] = {text, NULL};
  g_autoptr(GByteArray) packed = pack(pieces);
  const size_t sizes[] = {0, 1, 100, 16384, 65536, packed->len};
  g_assert_cmpuint(packed->len, >, 65536);
  for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
    MemoryWire *in = memory_wire_new(packed->data + sizes[i], packed->len - sizes[i], 5000);
    g_autofree uint8_t *early = g_memdup2(packed->data, sizes[i]);
    g_autoptr(Wire) wire = wire_wrap(&in->wire, wire_deflate_new, early, sizes[i]);
    g_clear_pointer(&early, g_free);
    g_assert_cmpint(wire_wait(wire, 0, NULL), ==, WIRE_READY);
    if (sizes[i] > 16384) g_assert_cmpuint(in->waits, ==, 0);
    g_autoptr(GString) got = g_string_new(NULL);
    char buffer[3000];
    ssize_t n;
    while ((n = wire_recv(wire, buffer, sizeof buffer, NULL)) > 0)
      g_string_append_len(got, buffer, n);
    g_assert_cmpmem(got->str, got->len, text, strlen(text));
  }
}

// A quarter of a GiB of nothing in some hundred KiB is read a buffer at a time.
static void test_bomb(void) {
  const uint64_t size = UINT64_C(256) << 20;
  static const char zeros[1 << 16];
  MemoryWire *out = memory_wire_new(NULL, 0, 1);
  g_autoptr(Wire) packer = wire_deflate_new(&out->wire, NULL, 0);
  for (uint64_t done = 0; done < size; done += sizeof zeros)
    wire_send(packer, zeros, sizeof zeros, NULL);
  g_assert_cmpuint(out->outgoing->len, <, 1 << 20);
  MemoryWire *in = memory_wire_new(out->outgoing->data, out->outgoing->len, 100000);
  g_autoptr(Wire) wire = wire_deflate_new(&in->wire, NULL, 0);
  g_autofree char *buffer = g_malloc(1 << 16);
  uint64_t got = 0;
  ssize_t n;
  while ((n = wire_recv(wire, buffer, 1 << 16, NULL)) > 0)
    got += (uint64_t)n;
  g_assert_cmpuint(got, ==, size);
}

// Compression is for links that are slower than it is, and only when that is sure.
static void test_rule(void) {
  g_assert_false(imap_session_is_slow(0, 0));
  g_assert_false(imap_session_is_slow(1000, 60 * G_USEC_PER_SEC));
  g_assert_true(imap_session_is_slow(1 << 20, G_USEC_PER_SEC));
  g_assert_false(imap_session_is_slow(1 << 20, G_USEC_PER_SEC / 5));
  g_assert_false(imap_session_is_slow(UINT64_C(100) << 20, 2 * G_USEC_PER_SEC));
  g_assert_true(imap_session_is_slow(UINT64_C(100) << 20, UINT64_C(100) * G_USEC_PER_SEC));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/wire-deflate/round-trip", test_round_trip);
  g_test_add_func("/wire-deflate/wait", test_wait);
  g_test_add_func("/wire-deflate/broken", test_broken);
  g_test_add_func("/wire-deflate/early", test_early);
  g_test_add_func("/wire-deflate/bomb", test_bomb);
  g_test_add_func("/wire-deflate/rule", test_rule);
  return g_test_run();
}
