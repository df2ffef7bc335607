#include "net/wire_deflate.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "net/error.h"
#include "tests/net/deflate_server.h"

static const DeflateCut cuts[] = {DEFLATE_WHOLE, DEFLATE_BYTES, DEFLATE_RANDOM};

// A block without content, as a flush makes it.
static const char empty_block[] = {0, 0, 0, (char)0xff, (char)0xff};

// The server of the decorator in `wire`, which ends both.
static DeflateServer *start(DeflateCut cut, Wire **wire) {
  DeflateServer *server = deflate_server_new(cut);
  *wire = wire_deflate_new(deflate_server_wire(server), NULL, 0);
  return server;
}

static void fill_random(char *bytes, size_t size, uint32_t seed) {
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  for (size_t i = 0; i < size; i++)
    bytes[i] = (char)g_rand_int_range(random, 0, 256);
}

// Some of it packs well, some does not.
static char *make_text(size_t size, uint32_t seed) {
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  char *text = g_malloc(size);
  for (size_t at = 0; at < size;) {
    size_t piece = (size_t)g_rand_int_range(random, 1, 3000);
    size_t step = MIN(piece, size - at);
    memset(text + at, 'a', step);
    if (g_rand_boolean(random)) fill_random(text + at, step, g_rand_int(random));
    at += step;
  }
  return text;
}

static void say(DeflateServer *server, const char *line) {
  deflate_server_say(server, line, strlen(line), Z_SYNC_FLUSH);
}

static void send_all(Wire *wire, const void *bytes, size_t size) {
  g_autoptr(GError) error = NULL;
  g_assert_true(wire_send(wire, bytes, size, &error));
  g_assert_no_error(error);
}

// Receives exactly this, at most `step` bytes at once.
static void expect(Wire *wire, const void *bytes, size_t size, size_t step) {
  g_autofree char *buffer = g_malloc(step);
  g_autoptr(GError) error = NULL;
  for (size_t at = 0; at < size;) {
    ssize_t got = wire_recv(wire, buffer, MIN(step, size - at), &error);
    g_assert_no_error(error);
    g_assert_cmpint(got, >, 0);
    g_assert_cmpuint((size_t)got, <=, MIN(step, size - at));
    g_assert_cmpmem(buffer, got, (const char *)bytes + at, got);
    at += (size_t)got;
  }
}

// Receives exactly this, and no more, with room for more.
static void expect_line(Wire *wire, const char *line) {
  g_autoptr(GString) got = g_string_new(NULL);
  while (got->len < strlen(line)) {
    char buffer[1000];
    g_autoptr(GError) error = NULL;
    ssize_t size = wire_recv(wire, buffer, sizeof buffer, &error);
    g_assert_no_error(error);
    g_assert_cmpint(size, >, 0);
    g_string_append_len(got, buffer, size);
  }
  g_assert_cmpstr(got->str, ==, line);
}

static void expect_heard(DeflateServer *server, const void *bytes, size_t size) {
  g_autoptr(GString) heard = deflate_server_hear(server);
  g_assert_cmpmem(heard->str, heard->len, bytes, size);
}

static void expect_end(Wire *wire) {
  char byte;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, 0);
  g_assert_no_error(error);
}

static void expect_fault(Wire *wire, int code) {
  char byte;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, -1);
  g_assert_error(error, NET_ERROR, code);
}

static void expect_wait(Wire *wire, int timeout_ms, WireWait expected) {
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_wait(wire, timeout_ms, &error), ==, expected);
  if (expected == WIRE_BROKEN)
    g_assert_nonnull(error);
  else
    g_assert_no_error(error);
}

static void expect_timeouts(DeflateServer *server, const char *expected) {
  g_autofree char *timeouts = deflate_server_timeouts(server);
  g_assert_cmpstr(timeouts, ==, expected);
}

// Both directions are raw deflate, however the packets are cut: a peer that knows neither a header
// nor a checksum reads us, and we read it.
static void test_raw(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i], &wire);
    for (unsigned round = 0; round < 3; round++) {
      send_all(wire, "a1 NOOP\r\n", 9);
      expect_heard(server, "a1 NOOP\r\n", 9);
      say(server, "a1 OK\r\n");
      expect_line(wire, "a1 OK\r\n");
    }
  }
}

// Both directions use what passed up to 32 KiB before, also in an earlier send, and text packs
// well.
static void test_window(void) {
  char noise[30000];
  fill_random(noise, sizeof noise, 1);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  for (unsigned round = 0; round < 2; round++) {
    deflate_server_say(server, noise, sizeof noise, Z_SYNC_FLUSH);
    expect(wire, noise, sizeof noise, sizeof noise);
    send_all(wire, noise, sizeof noise);
  }
  g_assert_cmpuint(deflate_server_received_bytes(server), <, sizeof noise * 11 / 10);
  g_assert_cmpuint(deflate_server_heard_bytes(server), <, sizeof noise * 11 / 10);
  size_t before = deflate_server_heard_bytes(server);
  g_autofree char *lines = g_strnfill(10000, 'l');
  send_all(wire, lines, 10000);
  g_assert_cmpuint(deflate_server_heard_bytes(server) - before, <, 200);
}

// Each send is flushed: the peer can read it whole at once, whatever its length; also where the
// flush ends with the packing buffer (a range of lengths has such). An empty send is none.
static void test_flush(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  char noise[33000];
  fill_random(noise, sizeof noise, 2);
  for (size_t size = 1; size < 600; size++) {
    send_all(wire, noise, size);
    expect_heard(server, noise, size);
  }
  for (size_t size = 16200; size < 16500; size++) {
    fill_random(noise, size, (uint32_t)size);
    send_all(wire, noise, size);
    expect_heard(server, noise, size);
  }
  size_t before = deflate_server_heard_bytes(server);
  send_all(wire, noise, 0);
  send_all(wire, NULL, 0);
  g_assert_cmpuint(deflate_server_heard_bytes(server), ==, before);
}

// Much passes unchanged, both ways, through buffers and packets of any size.
static void test_large(void) {
  const size_t size = 3 << 20;
  g_autofree char *text = make_text(size, 3);
  const size_t steps[] = {100, 3001, 1 << 16, size};
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i % G_N_ELEMENTS(cuts)], &wire);
    deflate_server_say(server, text, size, Z_SYNC_FLUSH);
    expect(wire, text, size, steps[i]);
    for (size_t at = 0; at < size; at += steps[i])
      send_all(wire, text + at, MIN(steps[i], size - at));
    expect_heard(server, text, size);
  }
}

// What cannot be packed grows, but a send larger than any buffer arrives whole and flushed.
static void test_incompressible(void) {
  const size_t size = 3 << 20;
  g_autofree char *noise = g_malloc(size);
  fill_random(noise, size, 4);
  const size_t sizes[] = {16383, 16384, 16385, 100000, size};
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
    send_all(wire, noise, sizes[i]);
    expect_heard(server, noise, sizes[i]);
    deflate_server_say(server, noise, sizes[i], Z_SYNC_FLUSH);
    expect(wire, noise, sizes[i], 20000);
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
  say(start(DEFLATE_WHOLE, &wire), "* 5 EXISTS\r\n");
  g_assert_cmpint(wire_recv(wire, buffer, size, NULL), ==, 12);
  g_assert_cmpmem(buffer, 12, "* 5 EXISTS\r\n", 12);
  munmap(buffer, size);
}

// After each byte of a stream, a wait says READY exactly if a zlib that got the same bytes knows
// more; then it comes without a look at the inner wire, and without a wait with one.
static void test_wait_ready(void) {
  g_autofree char *text = make_text(20000, 5);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, text, 20000, Z_SYNC_FLUSH);
  z_stream reference = {0};
  g_assert_cmpint(inflateInit2(&reference, -15), ==, Z_OK);
  unsigned n_ready = 0;
  size_t at = 0;
  for (size_t i = 0; i < packed->len; i++) {
    unsigned char unfolded[2000];
    reference.next_in = packed->data + i;
    reference.avail_in = 1;
    reference.next_out = unfolded;
    reference.avail_out = sizeof unfolded;
    inflate(&reference, Z_SYNC_FLUSH);
    g_assert_cmpuint(reference.avail_out, >, 0);
    size_t size = sizeof unfolded - reference.avail_out;
    deflate_server_send(server, packed->data + i, 1, 0);
    bool is_waited = size == 0 || i % 3 > 0;
    if (is_waited) {
      expect_wait(wire, 0, size > 0 ? WIRE_READY : WIRE_EXPIRED);
      expect_timeouts(server, size > 0 ? "0" : "0 0");
    }
    expect(wire, text + at, size, 1 + i % 7);
    g_assert_cmpuint(deflate_server_n_receives(server), ==, i + 1);
    expect_timeouts(server, "");
    at += size;
    n_ready += size > 0;
  }
  inflateEnd(&reference);
  g_assert_cmpuint(at, ==, 20000);
  g_assert_cmpuint(n_ready, >, 1000);
  g_assert_cmpuint(n_ready, <, packed->len);
}

// A few bytes that unfold to much are READY until the last of it is received, with any buffer, and
// the inner wire is only looked at before that; waits between lose nothing.
static void test_wait_held(void) {
  const size_t steps[] = {1000, 16384, 50000, 1 << 20};
  g_autofree char *text = g_strnfill(1 << 20, 'z');
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(DEFLATE_WHOLE, &wire);
    deflate_server_say(server, text, 1 << 20, Z_SYNC_FLUSH);
    expect_wait(wire, 0, WIRE_READY);
    expect_timeouts(server, "0");
    for (size_t at = 0; at < 1 << 20; at += steps[i]) {
      expect_wait(wire, 100, WIRE_READY);
      expect_wait(wire, 100, WIRE_READY);
      expect(wire, text + at, MIN(steps[i], (1 << 20) - at), steps[i]);
    }
    g_autofree char *timeouts = deflate_server_timeouts(server);
    g_assert_cmpuint(strspn(timeouts, "0 "), ==, strlen(timeouts));
    g_assert_cmpuint(deflate_server_n_receives(server), ==, 1);
    expect_wait(wire, 0, WIRE_EXPIRED);
  }
}

// Bytes that unfold to nothing do not end a wait: it goes on for the rest of its time, rounded up
// so that it does not end early.
static void test_wait_rest(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  deflate_server_send(server, empty_block, sizeof empty_block, 30000);
  deflate_server_send(server, empty_block, sizeof empty_block, 70400);
  expect_wait(wire, 100, WIRE_EXPIRED);
  expect_timeouts(server, "100 70 30");
  deflate_server_send(server, empty_block, 3, 100000);
  deflate_server_send(server, empty_block + 3, 2, 300000);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data, packed->len, 400000);
  expect_wait(wire, 1000, WIRE_READY);
  expect_timeouts(server, "1000 900 700");
  expect_line(wire, "* 1\r\n");
  expect_wait(wire, INT_MAX - 1, WIRE_EXPIRED);
  expect_timeouts(server, "2147483646");
}

// A wait for ever stays one.
static void test_wait_for_ever(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  deflate_server_send(server, empty_block, sizeof empty_block, 5000000);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data, packed->len, 90000000);
  expect_wait(wire, -1, WIRE_READY);
  expect_timeouts(server, "-1 -1");
  expect_line(wire, "* 1\r\n");
}

// A wait without time takes what has arrived, in however many packets, and never becomes a long
// one; nor does one that took longer than it should.
static void test_wait_no_time(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  expect_wait(wire, 0, WIRE_EXPIRED);
  for (unsigned i = 0; i < 2; i++)
    deflate_server_send(server, empty_block, sizeof empty_block, 0);
  say(server, "* 1\r\n");
  expect_timeouts(server, "0");
  expect_wait(wire, 0, WIRE_READY);
  expect_timeouts(server, "0 0 0");
  expect_line(wire, "* 1\r\n");
  deflate_server_set_delay(server, 2500000);
  deflate_server_send(server, empty_block, sizeof empty_block, 40000);
  expect_wait(wire, 50, WIRE_EXPIRED);
  expect_timeouts(server, "50 0");
}

// That somebody woke the wait is passed on, also in the middle of a code, and nothing is lost by
// it.
static void test_woken(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 5 EXISTS\r\n", 12, Z_SYNC_FLUSH);
  deflate_server_wake(server, true);
  expect_wait(wire, 100, WIRE_WOKEN);
  deflate_server_send(server, packed->data, 1, 0);
  expect_wait(wire, -1, WIRE_WOKEN);
  deflate_server_wake(server, false);
  expect_wait(wire, 100, WIRE_EXPIRED);
  deflate_server_send(server, packed->data + 1, packed->len - 1, 0);
  expect_wait(wire, 100, WIRE_READY);
  expect_line(wire, "* 5 EXISTS\r\n");
}

// New work comes before all bytes, also those that are unfolded, or could be: a few that came may be
// megabytes.
static void test_woken_first(void) {
  g_autofree char *text = g_malloc0(1 << 20);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  deflate_server_say(server, text, 1 << 20, Z_SYNC_FLUSH);
  expect_wait(wire, 100, WIRE_READY);
  deflate_server_wake(server, true);
  expect_wait(wire, 100, WIRE_WOKEN);
  expect(wire, text, 100000, 5000);
  expect_wait(wire, 100, WIRE_WOKEN);
  deflate_server_wake(server, false);
  expect_wait(wire, 100, WIRE_READY);
  expect(wire, text, (1 << 20) - 100000, 5000);
  expect_wait(wire, 100, WIRE_EXPIRED);
}

// A fault of the inner wire is passed on as it is, by a receive, a send and a wait, and by a wait
// that finds it only when it receives.
static void test_inner_broken(void) {
  g_autoptr(GError) fault = g_error_new(NET_ERROR, NET_ERROR_CANCELLED, "the words of the wire");
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  deflate_server_break(server, fault);
  expect_fault(wire, NET_ERROR_CANCELLED);
  for (unsigned i = 0; i < 2; i++) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(wire_wait(wire, 100, &error), ==, WIRE_BROKEN);
    g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
    g_assert_cmpstr(error->message, ==, fault->message);
    say(server, "* 1\r\n");
  }
  g_autoptr(GError) error = NULL;
  g_assert_false(wire_send(wire, "a NOOP\r\n", 8, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
}

// What was unfolded before the fault can still be received.
static void test_ahead_of_fault(void) {
  g_autoptr(GError) fault = g_error_new(NET_ERROR, NET_ERROR_OFFLINE, "gone");
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  say(server, "* BYE\r\n");
  expect_wait(wire, 0, WIRE_READY);
  deflate_server_break(server, fault);
  expect_wait(wire, 0, WIRE_READY);
  expect_line(wire, "* BYE\r\n");
  expect_wait(wire, 0, WIRE_BROKEN);
}

// The end of the inner wire is the end, wherever the stream is cut by it: what a zlib reads of it
// comes first. A wait is READY for it, and it lasts.
static void test_end(void) {
  for (size_t cut = 0;; cut++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[cut % G_N_ELEMENTS(cuts)], &wire);
    g_autofree char *text = make_text(400, 6);
    g_autoptr(GByteArray) packed = deflate_server_pack(server, text, 400, Z_SYNC_FLUSH);
    if (cut > packed->len) break;
    unsigned char unfolded[1000];
    z_stream reference = {.next_in = packed->data, .avail_in = (uInt)cut};
    g_assert_cmpint(inflateInit2(&reference, -15), ==, Z_OK);
    reference.next_out = unfolded;
    reference.avail_out = sizeof unfolded;
    inflate(&reference, Z_SYNC_FLUSH);
    deflate_server_send(server, packed->data, cut, 0);
    deflate_server_close(server);
    expect(wire, text, sizeof unfolded - reference.avail_out, 1000);
    inflateEnd(&reference);
    expect_wait(wire, -1, WIRE_READY);
    expect_end(wire);
    expect_wait(wire, 100, WIRE_READY);
    expect_end(wire);
  }
}

// A stream that says its last word is no fault, nor the end before the server closes.
static void test_last_block(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i], &wire);
    deflate_server_say(server, "* BYE\r\n", 7, i == 0 ? Z_FINISH : Z_SYNC_FLUSH);
    if (i != 0) deflate_server_say(server, NULL, 0, Z_FINISH);
    expect_line(wire, "* BYE\r\n");
    expect_wait(wire, 100, WIRE_EXPIRED);
    deflate_server_close(server);
    expect_wait(wire, 100, WIRE_READY);
    expect_end(wire);
  }
}

// What comes behind the last word is a fault, but behind what was good.
static void test_behind_last_block(void) {
  for (size_t i = 0; i < 2 * G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i / 2], &wire);
    g_autoptr(GByteArray) packed = deflate_server_pack(server, "* BYE\r\n", 7, Z_FINISH);
    g_byte_array_append(packed, (const guint8 *)empty_block, sizeof empty_block);
    deflate_server_send(server, packed->data, packed->len, 0);
    deflate_server_close(server);
    expect_line(wire, "* BYE\r\n");
    if (i % 2 == 0) expect_fault(wire, NET_ERROR_PROTOCOL);
    if (i % 2 == 1) expect_wait(wire, 100, WIRE_BROKEN);
  }
}

static const struct {
  const char *what, *bytes;
  size_t size;
} garbage[] = {
    {"a block of no type", "\x07", 1},
    {"a stored block whose sizes differ", "\x00\x05\x00\x05\x00", 5},
    {"a copy from 32 KiB before", "\x03\xde\xff\xff", 4},
    {"zlib's header", "\x78\x9c\x03\x00\x00\x00", 6},
    {"gzip's header", "\x1f\x8b\x08\x00", 4},
};

static void check_garbage(size_t row, DeflateCut cut, const char *before, bool is_waited) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(cut, &wire);
  g_autoptr(GByteArray) sent = g_byte_array_new();
  if (*before != '\0') {
    g_byte_array_unref(sent);
    sent = deflate_server_pack(server, before, strlen(before), Z_SYNC_FLUSH);
  }
  g_byte_array_append(sent, (const guint8 *)garbage[row].bytes, (guint)garbage[row].size);
  deflate_server_send(server, sent->data, sent->len, 0);
  expect_line(wire, before);
  if (is_waited)
    expect_wait(wire, 100, WIRE_BROKEN);
  else
    expect_fault(wire, NET_ERROR_PROTOCOL);
}

// Garbage is PROTOCOL, for a receive and for a wait, at the start and later: then what came before
// is received first, however the packets are cut.
static void test_garbage(void) {
  for (size_t row = 0; row < G_N_ELEMENTS(garbage); row++) {
    g_test_message("%s", garbage[row].what);
    for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
      check_garbage(row, cuts[i], "", false);
      check_garbage(row, cuts[i], "", true);
      check_garbage(row, cuts[i], "* 1\r\n", false);
      check_garbage(row, cuts[i], "* 1\r\n", true);
    }
  }
}

// A server that agrees and goes on in plain text is found out, though not at once: some of it can
// be read as codes.
static void test_plain(void) {
  static const char text[] = "* OK still plain\r\n";
  char buffer[100];
  for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    g_autoptr(GError) error = NULL;
    deflate_server_send(start(cuts[i], &wire), text, strlen(text), 0);
    ssize_t got;
    do
      got = wire_recv(wire, buffer, sizeof buffer, &error);
    while (got > 0);
    g_assert_cmpint(got, ==, -1);
    g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  }
}

// Whichever way a server flushes, each of its lines can be read at once.
static void test_flushes(void) {
  static const int flushes[] = {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_PARTIAL_FLUSH};
  for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i], &wire);
    for (unsigned round = 0; round < 200; round++) {
      g_autofree char *line = g_strdup_printf("* %u FETCH (UID %u)\r\n", round, round * round);
      deflate_server_say(server, line, strlen(line), flushes[round / (1 + i) % 3]);
      if (round % 5 == 0) expect_wait(wire, 0, WIRE_READY);
      expect_line(wire, line);
      expect_wait(wire, 0, WIRE_EXPIRED);
    }
  }
}

// However far a stream unfolds, no more of it is received and unfolded than is asked for.
static void test_bomb(void) {
  const size_t size = 96 << 20, step = 1 << 16;
  g_autofree char *zeros = g_malloc0(step);
  g_autofree char *buffer = g_malloc(step);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = start(DEFLATE_WHOLE, &wire);
  g_autoptr(GByteArray) bomb = g_byte_array_new();
  for (size_t at = 0; at < size; at += step) {
    int flush = at + step < size ? Z_NO_FLUSH : Z_SYNC_FLUSH;
    g_autoptr(GByteArray) packed = deflate_server_pack(server, zeros, step, flush);
    if (packed->len > 0) g_byte_array_append(bomb, packed->data, packed->len);
  }
  deflate_server_send(server, bomb->data, bomb->len, 0);
  for (size_t at = 0; at < size;) {
    if (at % 7 == 0) expect_wait(wire, 0, WIRE_READY);
    ssize_t got = wire_recv(wire, buffer, step, NULL);
    g_assert_cmpint(got, >, 0);
    g_assert_cmpmem(buffer, got, zeros, got);
    at += (size_t)got;
    // zlib packs zeros 1:1030.
    g_assert_cmpuint(deflate_server_received_bytes(server), <, at / 1000 + (1 << 15));
  }
  expect_wait(wire, 0, WIRE_EXPIRED);
}

// A server that sends without end what unfolds to nothing holds up neither a wait without time nor
// a receive; one that does so now and then may.
static void test_flood(void) {
  g_autofree char *flood = g_malloc(200000);
  for (size_t i = 0; i < 200000; i++)
    flood[i] = empty_block[i % sizeof empty_block];
  for (size_t i = 0; i < G_N_ELEMENTS(cuts); i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = start(cuts[i], &wire);
    for (unsigned round = 0; round < 20; round++) {
      deflate_server_send(server, flood, 30000, 0);
      say(server, "* 1\r\n");
      if (round % 2 == 0) expect_wait(wire, 0, WIRE_READY);
      expect_line(wire, "* 1\r\n");
    }
    deflate_server_send(server, flood, 200000, 0);
    if (i % 2 == 0) expect_wait(wire, 0, WIRE_BROKEN);
    if (i % 2 == 1) expect_fault(wire, NET_ERROR_PROTOCOL);
  }
}

// What was received before the decorator was there is read first, however much it is, without a
// look at the inner wire; the rest comes from there behind it.
static void test_early(void) {
  g_autofree char *text = make_text(200000, 7);
  for (size_t i = 0;; i++) {
    const size_t sizes[] = {0, 1, 100, 16384, 16385, 65536};
    DeflateServer *server = deflate_server_new(cuts[i % G_N_ELEMENTS(cuts)]);
    g_autoptr(GByteArray) packed = deflate_server_pack(server, text, 200000, Z_SYNC_FLUSH);
    g_assert_cmpuint(packed->len, >, 65536);
    size_t size = i < G_N_ELEMENTS(sizes) ? sizes[i] : packed->len;
    deflate_server_send(server, packed->data + size, packed->len - size, 0);
    g_autoptr(Wire) wire =
        wire_wrap(deflate_server_wire(server), wire_deflate_new, packed->data, size);
    memset(packed->data, 0xff, packed->len);
    expect_wait(wire, 100, WIRE_READY);
    if (size > 1) expect_timeouts(server, "0");
    expect(wire, text, 20000, 3000);
    if (size > 20000) g_assert_cmpuint(deflate_server_n_receives(server), ==, 0);
    expect(wire, text + 20000, 180000, 3000);
    expect_wait(wire, 0, WIRE_EXPIRED);
    if (i == G_N_ELEMENTS(sizes)) break;
  }
}

// Early bytes that are no stream are a fault as any; those that end in a code wait for its rest.
static void test_early_part(void) {
  DeflateServer *server = deflate_server_new(DEFLATE_WHOLE);
  g_autoptr(Wire) bad = wire_deflate_new(deflate_server_wire(server), "\x07", 1);
  expect_wait(bad, 100, WIRE_BROKEN);
  server = deflate_server_new(DEFLATE_WHOLE);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data + 1, packed->len - 1, 20000);
  g_autoptr(Wire) part = wire_deflate_new(deflate_server_wire(server), packed->data, 1);
  expect_wait(part, 100, WIRE_READY);
  expect_timeouts(server, "100");
  expect_line(part, "* 1\r\n");
}

// The decorator ends with the wire it is put around: all the tests above freed theirs.
static void test_freed(void) {
  g_assert_cmpuint(deflate_server_n_alive(), ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/wire-deflate/raw", test_raw);
  g_test_add_func("/wire-deflate/window", test_window);
  g_test_add_func("/wire-deflate/flush", test_flush);
  g_test_add_func("/wire-deflate/large", test_large);
  g_test_add_func("/wire-deflate/incompressible", test_incompressible);
  g_test_add_func("/wire-deflate/huge-buffer", test_huge_buffer);
  g_test_add_func("/wire-deflate/wait-ready", test_wait_ready);
  g_test_add_func("/wire-deflate/wait-held", test_wait_held);
  g_test_add_func("/wire-deflate/wait-rest", test_wait_rest);
  g_test_add_func("/wire-deflate/wait-for-ever", test_wait_for_ever);
  g_test_add_func("/wire-deflate/wait-no-time", test_wait_no_time);
  g_test_add_func("/wire-deflate/woken", test_woken);
  g_test_add_func("/wire-deflate/woken-first", test_woken_first);
  g_test_add_func("/wire-deflate/inner-broken", test_inner_broken);
  g_test_add_func("/wire-deflate/ahead-of-fault", test_ahead_of_fault);
  g_test_add_func("/wire-deflate/end", test_end);
  g_test_add_func("/wire-deflate/last-block", test_last_block);
  g_test_add_func("/wire-deflate/behind-last-block", test_behind_last_block);
  g_test_add_func("/wire-deflate/garbage", test_garbage);
  g_test_add_func("/wire-deflate/plain", test_plain);
  g_test_add_func("/wire-deflate/flushes", test_flushes);
  g_test_add_func("/wire-deflate/bomb", test_bomb);
  g_test_add_func("/wire-deflate/flood", test_flood);
  g_test_add_func("/wire-deflate/early", test_early);
  g_test_add_func("/wire-deflate/early-part", test_early_part);
  g_test_add_func("/wire-deflate/freed", test_freed);
  return g_test_run();
}
