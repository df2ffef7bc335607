// Claim: a wait on a compressed wire tells exactly whether there is something to receive, unfolded
// or still packed, within the time it was given, and passes on that somebody woke it.
#include <limits.h>
#include <string.h>
#include <zlib.h>

#include "net/wire_deflate.h"
#include "tests/net/deflate_client.h"

// After each byte of a stream, a wait says READY exactly if a zlib that got the same bytes knows
// more; then it comes without a look at the inner wire, and without a wait with one.
static void test_wait_ready(void) {
  g_autofree char *text = deflate_client_text(20000, 5);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
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
      deflate_client_expect_wait(wire, 0, size > 0 ? WIRE_READY : WIRE_EXPIRED);
      deflate_client_expect_timeouts(server, size > 0 ? "0" : "0 0");
    }
    deflate_client_expect(wire, text + at, size, 1 + i % 7);
    g_assert_cmpuint(deflate_server_n_receives(server), ==, i + 1);
    deflate_client_expect_timeouts(server, "");
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
    DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
    deflate_server_say(server, text, 1 << 20, Z_SYNC_FLUSH);
    deflate_client_expect_wait(wire, 0, WIRE_READY);
    deflate_client_expect_timeouts(server, "0");
    for (size_t at = 0; at < 1 << 20; at += steps[i]) {
      deflate_client_expect_wait(wire, 100, WIRE_READY);
      deflate_client_expect_wait(wire, 100, WIRE_READY);
      deflate_client_expect(wire, text + at, MIN(steps[i], (1 << 20) - at), steps[i]);
    }
    g_autofree char *timeouts = deflate_server_timeouts(server);
    g_assert_cmpuint(strspn(timeouts, "0 "), ==, strlen(timeouts));
    g_assert_cmpuint(deflate_server_n_receives(server), ==, 1);
    deflate_client_expect_wait(wire, 0, WIRE_EXPIRED);
  }
}

// Bytes that unfold to nothing do not end a wait: it goes on for the rest of its time, rounded up
// so that it does not end early.
static void test_wait_rest(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_server_send(server, deflate_empty_block, sizeof deflate_empty_block, 30000);
  deflate_server_send(server, deflate_empty_block, sizeof deflate_empty_block, 70400);
  deflate_client_expect_wait(wire, 100, WIRE_EXPIRED);
  deflate_client_expect_timeouts(server, "100 70 30");
  deflate_server_send(server, deflate_empty_block, 3, 100000);
  deflate_server_send(server, deflate_empty_block + 3, 2, 300000);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data, packed->len, 400000);
  deflate_client_expect_wait(wire, 1000, WIRE_READY);
  deflate_client_expect_timeouts(server, "1000 900 700");
  deflate_client_expect_line(wire, "* 1\r\n");
  deflate_client_expect_wait(wire, INT_MAX - 1, WIRE_EXPIRED);
  deflate_client_expect_timeouts(server, "2147483646");
}

// A wait for ever stays one.
static void test_wait_for_ever(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_server_send(server, deflate_empty_block, sizeof deflate_empty_block, 5000000);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data, packed->len, 90000000);
  deflate_client_expect_wait(wire, -1, WIRE_READY);
  deflate_client_expect_timeouts(server, "-1 -1");
  deflate_client_expect_line(wire, "* 1\r\n");
}

// A wait without time takes what has arrived, in however many packets, and never becomes a long
// one; nor does one that took longer than it should.
static void test_wait_no_time(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_client_expect_wait(wire, 0, WIRE_EXPIRED);
  for (unsigned i = 0; i < 2; i++)
    deflate_server_send(server, deflate_empty_block, sizeof deflate_empty_block, 0);
  deflate_client_let_say(server, "* 1\r\n");
  deflate_client_expect_timeouts(server, "0");
  deflate_client_expect_wait(wire, 0, WIRE_READY);
  deflate_client_expect_timeouts(server, "0 0 0");
  deflate_client_expect_line(wire, "* 1\r\n");
  deflate_server_set_delay(server, 2500000);
  deflate_server_send(server, deflate_empty_block, sizeof deflate_empty_block, 40000);
  deflate_client_expect_wait(wire, 50, WIRE_EXPIRED);
  deflate_client_expect_timeouts(server, "50 0");
}

// That somebody woke the wait is passed on, also in the middle of a code, and nothing is lost by
// it.
static void test_woken(void) {
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 5 EXISTS\r\n", 12, Z_SYNC_FLUSH);
  deflate_server_wake(server, true);
  deflate_client_expect_wait(wire, 100, WIRE_WOKEN);
  deflate_server_send(server, packed->data, 1, 0);
  deflate_client_expect_wait(wire, -1, WIRE_WOKEN);
  deflate_server_wake(server, false);
  deflate_client_expect_wait(wire, 100, WIRE_EXPIRED);
  deflate_server_send(server, packed->data + 1, packed->len - 1, 0);
  deflate_client_expect_wait(wire, 100, WIRE_READY);
  deflate_client_expect_line(wire, "* 5 EXISTS\r\n");
}

// New work comes before all bytes, also those that are unfolded, or could be: a few that came may
// be megabytes.
static void test_woken_first(void) {
  g_autofree char *text = g_malloc0(1 << 20);
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_server_say(server, text, 1 << 20, Z_SYNC_FLUSH);
  deflate_client_expect_wait(wire, 100, WIRE_READY);
  deflate_server_wake(server, true);
  deflate_client_expect_wait(wire, 100, WIRE_WOKEN);
  deflate_client_expect(wire, text, 100000, 5000);
  deflate_client_expect_wait(wire, 100, WIRE_WOKEN);
  deflate_server_wake(server, false);
  deflate_client_expect_wait(wire, 100, WIRE_READY);
  deflate_client_expect(wire, text, (1 << 20) - 100000, 5000);
  deflate_client_expect_wait(wire, 100, WIRE_EXPIRED);
}

// Early bytes that are no stream are a fault as any; those that end in a code wait for its rest.
static void test_early_part(void) {
  DeflateServer *server = deflate_server_new(DEFLATE_WHOLE);
  g_autoptr(Wire) bad = wire_deflate_new(deflate_server_wire(server), "\x07", 1);
  deflate_client_expect_wait(bad, 100, WIRE_BROKEN);
  server = deflate_server_new(DEFLATE_WHOLE);
  g_autoptr(GByteArray) packed = deflate_server_pack(server, "* 1\r\n", 5, Z_SYNC_FLUSH);
  deflate_server_send(server, packed->data + 1, packed->len - 1, 20000);
  g_autoptr(Wire) part = wire_deflate_new(deflate_server_wire(server), packed->data, 1);
  deflate_client_expect_wait(part, 100, WIRE_READY);
  deflate_client_expect_timeouts(server, "100");
  deflate_client_expect_line(part, "* 1\r\n");
}

int main(int argc, char **argv) {
  static const DeflateClientTest tests[] = {
      {"ready", test_wait_ready},        {"held", test_wait_held},        {"rest", test_wait_rest},
      {"for-ever", test_wait_for_ever},  {"no-time", test_wait_no_time},  {"woken", test_woken},
      {"woken-first", test_woken_first}, {"early-part", test_early_part},
  };
  return deflate_client_main(argc, argv, "/wire-deflate-wait", tests, G_N_ELEMENTS(tests));
}
