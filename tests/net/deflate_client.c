#include "tests/net/deflate_client.h"

#include <string.h>
#include <zlib.h>

#include "net/error.h"
#include "net/wire_deflate.h"

const DeflateCut deflate_cuts[DEFLATE_CUTS] = {DEFLATE_WHOLE, DEFLATE_BYTES, DEFLATE_RANDOM};
const char deflate_empty_block[DEFLATE_EMPTY_BLOCK_BYTES] = {0, 0, 0, (char)0xff, (char)0xff};

DeflateServer *deflate_client_new(DeflateCut cut, Wire **wire) {
  DeflateServer *server = deflate_server_new(cut);
  *wire = wire_deflate_new(deflate_server_wire(server), NULL, 0);
  return server;
}

void deflate_client_noise(char *bytes, size_t size, uint32_t seed) {
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  for (size_t i = 0; i < size; i++)
    bytes[i] = (char)g_rand_int_range(random, 0, 256);
}

char *deflate_client_text(size_t size, uint32_t seed) {
  g_autoptr(GRand) random = g_rand_new_with_seed(seed);
  char *text = g_malloc(size);
  for (size_t at = 0; at < size;) {
    size_t piece = (size_t)g_rand_int_range(random, 1, 3000);
    size_t step = MIN(piece, size - at);
    memset(text + at, 'a', step);
    if (g_rand_boolean(random)) deflate_client_noise(text + at, step, g_rand_int(random));
    at += step;
  }
  return text;
}

void deflate_client_let_say(DeflateServer *server, const char *line) {
  deflate_server_say(server, line, strlen(line), Z_SYNC_FLUSH);
}

void deflate_client_send(Wire *wire, const void *bytes, size_t size) {
  g_autoptr(GError) error = NULL;
  g_assert_true(wire_send(wire, bytes, size, &error));
  g_assert_no_error(error);
}

void deflate_client_expect(Wire *wire, const void *bytes, size_t size, size_t step) {
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

void deflate_client_expect_line(Wire *wire, const char *line) {
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

void deflate_client_expect_heard(DeflateServer *server, const void *bytes, size_t size) {
  g_autoptr(GString) heard = deflate_server_hear(server);
  g_assert_cmpmem(heard->str, heard->len, bytes, size);
}

void deflate_client_expect_end(Wire *wire) {
  char byte;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, 0);
  g_assert_no_error(error);
}

void deflate_client_expect_fault(Wire *wire, int code) {
  char byte;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, -1);
  g_assert_error(error, NET_ERROR, code);
}

void deflate_client_expect_wait(Wire *wire, int timeout_ms, WireWait expected) {
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(wire_wait(wire, timeout_ms, &error), ==, expected);
  if (expected == WIRE_BROKEN)
    g_assert_nonnull(error);
  else
    g_assert_no_error(error);
}

void deflate_client_expect_timeouts(DeflateServer *server, const char *expected) {
  g_autofree char *timeouts = deflate_server_timeouts(server);
  g_assert_cmpstr(timeouts, ==, expected);
}

// The decorator ends with the wire it is put around: all the tests before freed theirs.
static void test_freed(void) {
  g_assert_cmpuint(deflate_server_n_alive(), ==, 0);
}

int deflate_client_main(int argc, char **argv, const char *path, const DeflateClientTest *tests,
                        size_t n_tests) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < n_tests; i++) {
    g_autofree char *name = g_strconcat(path, "/", tests[i].name, NULL);
    g_test_add_func(name, tests[i].test);
  }
  g_autofree char *freed = g_strconcat(path, "/freed", NULL);
  g_test_add_func(freed, test_freed);
  return g_test_run();
}
