// Whatever a server sends in place of a compressed stream: what is read of it, and whether it ends
// in a fault, is what zlib alone makes of it, however it was cut, waited for and handed over. And
// whatever passes compressed is the same behind it, both ways.
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "net/error.h"
#include "net/wire_deflate.h"
#include "tests/fuzz/fuzz.h"
#include "tests/net/deflate_server.h"

// So far is a stream read; a small input unfolds to much.
#define MAX_UNFOLDED_BYTES (1 << 17)
// Below what a server may send without a word.
#define MAX_BYTES (1 << 15)

static GString *unfold_alone(const uint8_t *data, size_t size, bool *is_bad) {
  GString *text = g_string_new(NULL);
  z_stream stream = {.next_in = (uint8_t *)data, .avail_in = (uInt)size};
  int code = inflateInit2(&stream, -15);
  while (code == Z_OK && text->len < MAX_UNFOLDED_BYTES) {
    char buffer[4096];
    stream.next_out = (uint8_t *)buffer;
    stream.avail_out = sizeof buffer;
    code = inflate(&stream, Z_SYNC_FLUSH);
    g_string_append_len(text, buffer, (gssize)(sizeof buffer - stream.avail_out));
  }
  *is_bad = code == Z_DATA_ERROR || (code == Z_STREAM_END && stream.avail_in > 0);
  inflateEnd(&stream);
  return text;
}

static GString *receive_all(Wire *wire, size_t step, bool is_waited, bool *is_bad) {
  GString *text = g_string_new(NULL);
  g_autofree char *buffer = g_malloc(step);
  g_autoptr(GError) error = NULL;
  *is_bad = false;
  while (text->len < MAX_UNFOLDED_BYTES && !*is_bad) {
    WireWait wait = is_waited ? wire_wait(wire, -1, &error) : WIRE_READY;
    ssize_t got = wait == WIRE_READY ? wire_recv(wire, buffer, step, &error) : -1;
    *is_bad = got < 0;
    g_assert_true(*is_bad == (error != NULL));
    if (got == 0) break;
    if (got > 0) g_string_append_len(text, buffer, got);
  }
  if (*is_bad) g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  return text;
}

static void check_hostile(const uint8_t *data, size_t size, size_t early, DeflateCut cut,
                          size_t step, bool is_waited) {
  DeflateServer *server = deflate_server_new(cut);
  deflate_server_send(server, data + early, size - early, 0);
  deflate_server_close(server);
  g_autoptr(Wire) wire = wire_deflate_new(deflate_server_wire(server), data, early);
  bool is_bad, is_bad_alone;
  g_autoptr(GString) alone = unfold_alone(data, size, &is_bad_alone);
  g_autoptr(GString) text = receive_all(wire, step, is_waited, &is_bad);
  if (alone->len < MAX_UNFOLDED_BYTES) g_assert_true(is_bad == is_bad_alone);
  size_t length = MIN(text->len, MAX_UNFOLDED_BYTES);
  g_assert_cmpmem(text->str, length, alone->str, MIN(alone->len, MAX_UNFOLDED_BYTES));
}

static void check_round_trip(const uint8_t *data, size_t size) {
  DeflateServer *server = deflate_server_new(DEFLATE_RANDOM);
  g_autoptr(Wire) wire = wire_deflate_new(deflate_server_wire(server), NULL, 0);
  const size_t half = size / 2;
  g_assert_true(wire_send(wire, data, half, NULL));
  g_assert_true(wire_send(wire, data + half, size - half, NULL));
  g_autoptr(GString) heard = deflate_server_hear(server);
  g_assert_cmpmem(heard->str, heard->len, data, size);
  deflate_server_say(server, data, half, Z_PARTIAL_FLUSH);
  deflate_server_say(server, data + half, size - half, Z_FULL_FLUSH);
  deflate_server_close(server);
  bool is_bad;
  g_autoptr(GString) text = receive_all(wire, 999, true, &is_bad);
  g_assert_false(is_bad);
  g_assert_cmpmem(text->str, text->len, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > MAX_BYTES) return 0;
  check_hostile(data, size, 0, DEFLATE_WHOLE, 1 << 16, false);
  check_hostile(data, size, 0, DEFLATE_BYTES, 1000, true);
  check_hostile(data, size, size / 2, DEFLATE_RANDOM, 100, false);
  check_hostile(data, size, size, DEFLATE_WHOLE, 1 << 14, true);
  check_round_trip(data, size);
  return 0;
}
