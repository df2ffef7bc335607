// A DeflateClient is what tests of wire_deflate do with it, the client of a DeflateServer: what
// they send, and what they expect of a receive, a wait and the server.
#pragma once

#include "tests/net/deflate_server.h"

#define DEFLATE_CUTS 3
extern const DeflateCut deflate_cuts[DEFLATE_CUTS];
// A block without content, as a flush makes it.
#define DEFLATE_EMPTY_BLOCK_BYTES 5
extern const char deflate_empty_block[DEFLATE_EMPTY_BLOCK_BYTES];

// The server of the decorator in `wire`, which ends both.
DeflateServer *deflate_client_new(DeflateCut cut, Wire **wire);

// Bytes that cannot be packed; and newly allocated ones of which some pack well, some do not. The
// same for the same seed.
void deflate_client_noise(char *bytes, size_t size, uint32_t seed);
char *deflate_client_text(size_t size, uint32_t seed);

// The server says a line and flushes it.
void deflate_client_let_say(DeflateServer *server, const char *line);
void deflate_client_send(Wire *wire, const void *bytes, size_t size);

// Receives exactly this, at most `step` bytes at once.
void deflate_client_expect(Wire *wire, const void *bytes, size_t size, size_t step);
// Receives exactly this, and no more, with room for more.
void deflate_client_expect_line(Wire *wire, const char *line);
void deflate_client_expect_end(Wire *wire);
// A receive that fails with a NetError.
void deflate_client_expect_fault(Wire *wire, int code);
void deflate_client_expect_wait(Wire *wire, int timeout_ms, WireWait expected);
// What the server heard since the last time, and the time-outs that its wire was waited on with, as
// deflate_server_timeouts.
void deflate_client_expect_heard(DeflateServer *server, const void *bytes, size_t size);
void deflate_client_expect_timeouts(DeflateServer *server, const char *expected);

typedef struct {
  const char *name;
  void (*test)(void);
} DeflateClientTest;

// The main() of a file of such tests, and of one that holds that they freed all.
int deflate_client_main(int argc, char **argv, const char *path, const DeflateClientTest *tests,
                        size_t n_tests);
