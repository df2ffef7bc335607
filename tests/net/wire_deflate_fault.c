// Claim: what ends a compressed stream, or is none, is told as the end or as a fault, by a receive
// and by a wait, and behind all that was good before.
#include <string.h>
#include <zlib.h>

#include "net/error.h"
#include "tests/net/deflate_client.h"

// A fault of the inner wire is passed on as it is, by a receive, a send and a wait, and by a wait
// that finds it only when it receives.
static void test_inner_broken(void) {
  g_autoptr(GError) fault = g_error_new(NET_ERROR, NET_ERROR_CANCELLED, "the words of the wire");
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_server_break(server, fault);
  deflate_client_expect_fault(wire, NET_ERROR_CANCELLED);
  for (unsigned i = 0; i < 2; i++) {
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(wire_wait(wire, 100, &error), ==, WIRE_BROKEN);
    g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
    g_assert_cmpstr(error->message, ==, fault->message);
    deflate_client_let_say(server, "* 1\r\n");
  }
  g_autoptr(GError) error = NULL;
  g_assert_false(wire_send(wire, "a NOOP\r\n", 8, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
}

// What was unfolded before the fault can still be received.
static void test_ahead_of_fault(void) {
  g_autoptr(GError) fault = g_error_new(NET_ERROR, NET_ERROR_OFFLINE, "gone");
  g_autoptr(Wire) wire = NULL;
  DeflateServer *server = deflate_client_new(DEFLATE_WHOLE, &wire);
  deflate_client_let_say(server, "* BYE\r\n");
  deflate_client_expect_wait(wire, 0, WIRE_READY);
  deflate_server_break(server, fault);
  deflate_client_expect_wait(wire, 0, WIRE_READY);
  deflate_client_expect_line(wire, "* BYE\r\n");
  deflate_client_expect_wait(wire, 0, WIRE_BROKEN);
}

// The end of the inner wire is the end, wherever the stream is cut by it: what a zlib reads of it
// comes first. A wait is READY for it, and it lasts.
static void test_end(void) {
  for (size_t cut = 0;; cut++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[cut % DEFLATE_CUTS], &wire);
    g_autofree char *text = deflate_client_text(400, 6);
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
    deflate_client_expect(wire, text, sizeof unfolded - reference.avail_out, 1000);
    inflateEnd(&reference);
    deflate_client_expect_wait(wire, -1, WIRE_READY);
    deflate_client_expect_end(wire);
    deflate_client_expect_wait(wire, 100, WIRE_READY);
    deflate_client_expect_end(wire);
  }
}

// A stream that says its last word is no fault, nor the end before the server closes.
static void test_last_block(void) {
  for (size_t i = 0; i < DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i], &wire);
    deflate_server_say(server, "* BYE\r\n", 7, i == 0 ? Z_FINISH : Z_SYNC_FLUSH);
    if (i != 0) deflate_server_say(server, NULL, 0, Z_FINISH);
    deflate_client_expect_line(wire, "* BYE\r\n");
    deflate_client_expect_wait(wire, 100, WIRE_EXPIRED);
    deflate_server_close(server);
    deflate_client_expect_wait(wire, 100, WIRE_READY);
    deflate_client_expect_end(wire);
  }
}

// What comes behind the last word is a fault, but behind what was good.
static void test_behind_last_block(void) {
  for (size_t i = 0; i < 2 * DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i / 2], &wire);
    g_autoptr(GByteArray) packed = deflate_server_pack(server, "* BYE\r\n", 7, Z_FINISH);
    g_byte_array_append(packed, (const guint8 *)deflate_empty_block, sizeof deflate_empty_block);
    deflate_server_send(server, packed->data, packed->len, 0);
    deflate_server_close(server);
    deflate_client_expect_line(wire, "* BYE\r\n");
    if (i % 2 == 0) deflate_client_expect_fault(wire, NET_ERROR_PROTOCOL);
    if (i % 2 == 1) deflate_client_expect_wait(wire, 100, WIRE_BROKEN);
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
  DeflateServer *server = deflate_client_new(cut, &wire);
  g_autoptr(GByteArray) sent = g_byte_array_new();
  if (*before != '\0') {
    g_byte_array_unref(sent);
    sent = deflate_server_pack(server, before, strlen(before), Z_SYNC_FLUSH);
  }
  g_byte_array_append(sent, (const guint8 *)garbage[row].bytes, (guint)garbage[row].size);
  deflate_server_send(server, sent->data, sent->len, 0);
  deflate_client_expect_line(wire, before);
  if (is_waited)
    deflate_client_expect_wait(wire, 100, WIRE_BROKEN);
  else
    deflate_client_expect_fault(wire, NET_ERROR_PROTOCOL);
}

// Garbage is PROTOCOL, for a receive and for a wait, at the start and later: then what came before
// is received first, however the packets are cut.
static void test_garbage(void) {
  for (size_t row = 0; row < G_N_ELEMENTS(garbage); row++) {
    g_test_message("%s", garbage[row].what);
    for (size_t i = 0; i < DEFLATE_CUTS; i++) {
      check_garbage(row, deflate_cuts[i], "", false);
      check_garbage(row, deflate_cuts[i], "", true);
      check_garbage(row, deflate_cuts[i], "* 1\r\n", false);
      check_garbage(row, deflate_cuts[i], "* 1\r\n", true);
    }
  }
}

// A server that agrees and goes on in plain text is found out, though not at once: some of it can
// be read as codes.
static void test_plain(void) {
  static const char text[] = "* OK still plain\r\n";
  char buffer[100];
  for (size_t i = 0; i < DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    g_autoptr(GError) error = NULL;
    deflate_server_send(deflate_client_new(deflate_cuts[i], &wire), text, strlen(text), 0);
    ssize_t got;
    do
      got = wire_recv(wire, buffer, sizeof buffer, &error);
    while (got > 0);
    g_assert_cmpint(got, ==, -1);
    g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  }
}

// A server that sends without end what unfolds to nothing holds up neither a wait without time nor
// a receive; one that does so now and then may.
static void test_flood(void) {
  g_autofree char *flood = g_malloc(200000);
  for (size_t i = 0; i < 200000; i++)
    flood[i] = deflate_empty_block[i % sizeof deflate_empty_block];
  for (size_t i = 0; i < DEFLATE_CUTS; i++) {
    g_autoptr(Wire) wire = NULL;
    DeflateServer *server = deflate_client_new(deflate_cuts[i], &wire);
    for (unsigned round = 0; round < 20; round++) {
      deflate_server_send(server, flood, 30000, 0);
      deflate_client_let_say(server, "* 1\r\n");
      if (round % 2 == 0) deflate_client_expect_wait(wire, 0, WIRE_READY);
      deflate_client_expect_line(wire, "* 1\r\n");
    }
    deflate_server_send(server, flood, 200000, 0);
    if (i % 2 == 0) deflate_client_expect_wait(wire, 0, WIRE_BROKEN);
    if (i % 2 == 1) deflate_client_expect_fault(wire, NET_ERROR_PROTOCOL);
  }
}

int main(int argc, char **argv) {
  static const DeflateClientTest tests[] = {
      {"inner-broken", test_inner_broken},
      {"ahead-of-fault", test_ahead_of_fault},
      {"end", test_end},
      {"last-block", test_last_block},
      {"behind-last-block", test_behind_last_block},
      {"garbage", test_garbage},
      {"plain", test_plain},
      {"flood", test_flood},
  };
  return deflate_client_main(argc, argv, "/wire-deflate-fault", tests, G_N_ELEMENTS(tests));
}
