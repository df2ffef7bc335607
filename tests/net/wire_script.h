// A WireScript is a wire whose other end is a transcript: it checks what the engine sends and hands
// out what the server says, so a protocol engine can be tested without a server. A transcript is
// text, an event a line:
//
//   # words           a comment; the first one states the claim
//   C: line           the client must send exactly this line (CRLF is added)
//   C~ glob           the client must send a line that matches; * and ? as in a shell
//   C= bytes          the client must send exactly these bytes, nothing added (a literal)
//   C? silence        a send gets stuck half-way and ends with TIMEOUT
//   S: line           the server sends this line (CRLF is added)
//   S= bytes          the server sends these bytes, nothing added
//   S! close          the server closes in an orderly way
//   S! reset          the connection breaks
//   S? silence        nothing comes: a recv ends with TIMEOUT, a wait with WIRE_EXPIRED
//   S? wake           a wait ends with WIRE_WOKEN
//   S? cancel         a recv or a wait ends with CANCELLED, and so does each later call, as with a
//                     real waker, until wire_script_reset_waker
//   do words, E: words    for the test itself (wire_script_lines), no event of the wire
//
// `\xHH` in a line is that byte; any other backslash is one. A close, a reset and the end of the
// transcript last: later calls get the same answer. Events come in the order of the lines: a
// client that sends before it has read what stands above fails the test, and so does one that waits
// for the server when it is its own turn; but to wait for 0 ms is only to look. Failing is
// g_test_fail_printf with both lines; the engine gets an OFFLINE error and can unwind.
//
// One thread. Lives as long as the wire: the engine's wire_free ends it, and checks that every
// event was used.
#pragma once

#include "net/wire.h"

typedef enum {
  WIRE_SCRIPT_WHOLE,   // a recv gets all that the server has to say
  WIRE_SCRIPT_BYTES,   // a recv gets one byte
  WIRE_SCRIPT_RANDOM,  // a recv gets 1 to 16 bytes, by `seed`
} WireScriptCut;

// `transcript` is the text itself if it has a newline, else a file below tests/net. A transcript
// that cannot be read ends the test program.
Wire *wire_script_new(const char *transcript, WireScriptCut cut, unsigned seed);

// After a cancel: later calls go on behind it, as after waker_reset. `wire` is a script's.
void wire_script_reset_waker(Wire *wire);

// What follows `prefix` ("do ", "E: ") in each line that starts so, in order; g_strfreev.
char **wire_script_lines(const char *transcript, const char *prefix);
