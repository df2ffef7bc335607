// Claim: what a compressed wire sends and receives is raw deflate with a window of 32 KiB, each
// send flushed; it passes unchanged in any amount, through any buffer and packets, and no more of
// it is unfolded than is asked for.
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "net/wire_deflate.h"
#include "tests/net/deflate_client.h"

// Both directions are raw deflate, however the packets are cut: a peer that knows neither a header
// nor a checksum reads us, and we read it.
static void test_raw(void) {
  for (size_t i = 0; i < DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i], &wire);
    for (unsigned round = 0; round < 3; round++) {
      deflate_client_send(wire, "a1 NOOP\r\n", 9);
      deflate_client_expect_heard(server, "a1 NOOP\r\n", 9);
      deflate_client_let_say(server, "a1 OK\r\n");
      deflate_client_expect_line(wire, "a1 OK\r\n");
    }
  }
}

// Both directions use what passed up to 32 KiB before, also in an earlier send, and text packs
// well.
static void test_window(void) {
  char noise[30000];
  deflate_client_noise(noise, sizeof noise, 1);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  for (unsigned round = 0; round < 2; round++) {
    deflate_server_say(server, noise, sizeof noise, Z_SYNC_FLUSH);
    deflate_client_expect(wire, noise, sizeof noise, sizeof noise);
    deflate_client_send(wire, noise, sizeof noise);
  }
  g_assert_cmpuint(deflate_server_received_bytes(server), <, sizeof noise * 11 / 10);
  g_assert_cmpuint(deflate_server_heard_bytes(server), <, sizeof noise * 11 / 10);
  size_t before = deflate_server_heard_bytes(server);
  g_autofree char *lines = g_strnfill(10000, 'l');
  deflate_client_send(wire, lines, 10000);
  g_assert_cmpuint(deflate_server_heard_bytes(server) - before, <, 200);
}

// Each send is flushed: the peer can read it whole at once, whatever its length; also where the
// flush ends with the packing buffer (a range of lengths has such). An empty send is none.
static void test_flush(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  char noise[33000];
  deflate_client_noise(noise, sizeof noise, 2);
  for (size_t size = 1; size < 600; size++) {
    deflate_client_send(wire, noise, size);
    deflate_client_expect_heard(server, noise, size);
  }
  for (size_t size = 16200; size < 16500; size++) {
    deflate_client_noise(noise, size, (uint32_t)size);
    deflate_client_send(wire, noise, size);
    deflate_client_expect_heard(server, noise, size);
  }
  size_t before = deflate_server_heard_bytes(server);
  deflate_client_send(wire, noise, 0);
  deflate_client_send(wire, NULL, 0);
  g_assert_cmpuint(deflate_server_heard_bytes(server), ==, before);
}

// Much passes unchanged, both ways, through buffers and packets of any size.
static void test_large(void) {
  const size_t size = 3 << 20;
  g_autofree char *text = deflate_client_text(size, 3);
  const size_t steps[] = {100, 3001, 1 << 16, size};
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i % DEFLATE_CUTS], &wire);
    deflate_server_say(server, text, size, Z_SYNC_FLUSH);
    deflate_client_expect(wire, text, size, steps[i]);
    for (size_t at = 0; at < size; at += steps[i])
      deflate_client_send(wire, text + at, MIN(steps[i], size - at));
    deflate_client_expect_heard(server, text, size);
  }
}

// What cannot be packed grows, but a send larger than any buffer arrives whole and flushed.
static void test_incompressible(void) {
  const size_t size = 3 << 20;
  g_autofree char *noise = g_malloc(size);
  deflate_client_noise(noise, size, 4);
  const size_t sizes[] = {16383, 16384, 16385, 100000, size};
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
    deflate_client_send(wire, noise, sizes[i]);
    deflate_client_expect_heard(server, noise, sizes[i]);
    deflate_server_say(server, noise, sizes[i], Z_SYNC_FLUSH);
    deflate_client_expect(wire, noise, sizes[i], 20000);
  }
  g_assert_cmpuint(deflate_server_heard_bytes(server), >, size);
}

// A buffer may be larger than zlib can count.
static void test_huge_buffer(void) {
  size_t size = SIZE_MAX / 2 > UINT32_MAX ? (size_t)UINT32_MAX + 1 : 1 << 20;
  char *buffer =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_assert_true(buffer != MAP_FAILED);
  g_autoptr(Wire) wire = NULL;
  deflate_client_let_say(deflate_client_new(DEFLATE_WHOLE, &wire), "* 5 EXISTS\r\n");
  g_assert_cmpint(wire_recv(wire, buffer, size, NULL), ==, 12);
  g_assert_cmpmem(buffer, 12, "* 5 EXISTS\r\n", 12);
  munmap(buffer, size);
}

// Whichever way a server flushes, each of its lines can be read at once.
static void test_flushes(void) {
  static const int flushes[] = {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH};
  for (size_t i = 0; i < DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i], &wire);
    for (unsigned round = 0; round < 200; round++) {
      g_autofree char *line = g_strdup_printf("* %u FETCH (UID %u)\r\n", round, round * round);
      deflate_server_say(server, line, strlen(line), flushes[round / (1 + i) % 3]);
      if (round % 5 == 0) deflate_client_expect_wait(wire, 0, WIRE_READY);
      deflate_client_expect_line(wire, line);
      deflate_client_expect_wait(wire, 0, WIRE_EXPIRED);
    }
  }
}

// However far a stream unfolds, no more of it is received and unfolded than is asked for.
static void test_bomb(void) {
  const size_t size = 96 << 20, step = 1 << 16;
  g_autofree char *zeros = g_malloc0(step);
  g_autofree char *buffer = g_malloc(step);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  g_autoptr(GByteArray) bomb = g_byte_array_new();
  for (size_t at = 0; at < size; at += step) {
    int flush = at + step < size ? Z_NO_FLUSH : Z_SYNC_FLUSH;
    g_autoptr(GByteArray) packed = deflate_server_pack(server, zeros, step, flush);
    if (packed->len > 0) g_byte_array_append(bomb, packed->data, packed->len);
  }
  deflate_server_send(server, bomb->data, bomb->len, 0);
  for (size_t at = 0; at < size;) {
    if (at % 7 == 0) deflate_client_expect_wait(wire, 0, WIRE_READY);
    ssize_t got = wire_recv(wire, buffer, step, NULL);
    g_assert_cmpint(got, >, 0);
    g_assert_cmpmem(buffer, got, zeros, got);
    at += (size_t)got;
    // zlib packs zeros 1:1030.
    g_assert_cmpuint(deflate_server_received_bytes(server), <, at / 1000 + (1 << 15));
  }
  deflate_client_expect_wait(wire, 0, WIRE_EXPIRED);
}

// What was received before the decorator was there is read first, however much it is, without a
// look at the inner wire; the rest comes from there behind it.
static void test_early(void) {
  g_autofree char *text = deflate_client_text(200000, 7);
  for (size_t i = 0;; i++) {
    const size_t sizes[] = {0, 1, 100, 16384, 16385, 65536};
    DeflateServer *server = deflate_server_new(deflate_cuts[i % DEFLATE_CUTS]);
    g_autoptr(GByteArray) packed = deflate_server_pack(server, text, 200000, Z_SYNC_FLUSH);
    g_assert_cmpuint(packed->len, >, 65536);
    size_t size = i < G_N_ELEMENTS(sizes) ? sizes[i] : packed->len;
    deflate_server_send(server, packed->data + size, packed->len - size, 0);
    g_autoptr(Wire) wire =
        wire_wrap(deflate_server_wire(server), wire_deflate_new, packed->data, size);
    memset(packed->data, 0xff, packed->len);
    deflate_client_expect_wait(wire, 100, WIRE_READY);
    if (size > 1) deflate_client_expect_timeouts(server, "0");
    deflate_client_expect(wire, text, 20000, 3000);
    if (size > 20000) g_assert_cmpuint(deflate_server_n_receives(server), ==, 0);
    deflate_client_expect(wire, text + 20000, 180000, 3000);
    deflate_client_expect_wait(wire, 0, WIRE_EXPIRED);
    if (i == G_N_ELEMENTS(sizes)) break;
  }
}

int main(int argc, char **argv) {
  static const DeflateClientTest tests[] = {
      {"raw", test_raw},
      {"window", test_window},
      {"flush", test_flush},
      {"large", test_large},
      {"incompressible", test_incompressible},
      {"huge-buffer", test_huge_buffer},
      {"flushes", test_flushes},
      {"bomb", test_bomb},
      {"early", test_early},
  };
  return deflate_client_main(argc, argv, "/wire-deflate", tests, G_N_ELEMENTS(tests));
}
