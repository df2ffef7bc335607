// A DeflateServer is a wire whose other end is a server that speaks compressed (RFC 4978), with
// zlib itself and nothing of ours: the inner wire for wire_deflate. What it sends comes in packets,
// each at its time: the clock of a program that links this stands still, but for waits on such a
// wire.
//
// One thread. Lives as long as the wire: the wire_free of the decorator around it ends it. It
// aborts at what no wire allows: an empty send, and a receive or a wait for ever while nothing is
// on its way.
#pragma once

#include "net/wire.h"

typedef enum {
  DEFLATE_WHOLE,   // a packet is what was said at once
  DEFLATE_BYTES,   // one byte
  DEFLATE_RANDOM,  // 1 to 300 bytes
} DeflateCut;

typedef struct DeflateServer DeflateServer;

DeflateServer *deflate_server_new(DeflateCut cut);
Wire *deflate_server_wire(DeflateServer *server);
// How many servers there are whose wire was not freed.
unsigned deflate_server_n_alive(void);

// What zlib makes of `bytes` behind all that was packed before; `flush` as deflate has it.
GByteArray *deflate_server_pack(DeflateServer *server, const void *bytes, size_t size, int flush);
// Packs and sends.
void deflate_server_say(DeflateServer *server, const void *bytes, size_t size, int flush);
// Sends the bytes as they are, in packets that arrive `after_us` from now.
void deflate_server_send(DeflateServer *server, const void *bytes, size_t size, int64_t after_us);
// Closes in an orderly way behind all that was sent.
void deflate_server_close(DeflateServer *server);
// From now on a receive, a send and, unless it finds a packet, a wait fail so. A copy is taken;
// NULL: no more.
void deflate_server_break(DeflateServer *server, const GError *error);
// A wait ends at once with WIRE_WOKEN, or no more.
void deflate_server_wake(DeflateServer *server, bool is_woken);
// Each wait that had to wait ends so much later than it should.
void deflate_server_set_delay(DeflateServer *server, int64_t delay_us);

// Unfolds what the client sent since the last call. All of it must be there.
GString *deflate_server_hear(DeflateServer *server);
// How many bytes the client sent in all.
size_t deflate_server_heard_bytes(const DeflateServer *server);
// How often the client received, and how many bytes in all.
unsigned deflate_server_n_receives(const DeflateServer *server);
size_t deflate_server_received_bytes(const DeflateServer *server);
// The time-outs of the client's waits since the last call: `100 70 -1`.
char *deflate_server_timeouts(DeflateServer *server);
