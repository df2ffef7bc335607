// A decorator that compresses what passes over a wire (RFC 4978: raw deflate both ways), from the
// moment it is put around it. Its memory does not grow with what the server sends, however far that
// unfolds. Each send is flushed: the server can read it at once. A wait is READY only if a byte has
// unfolded, or the end has come.
//
// PROTOCOL is a stream that cannot be read, one that goes on behind its last block, and one of
// which 64 KiB unfold to nothing; what came before is received first. The end of `inner` is the
// end, wherever it cuts the stream: as over any wire, whoever still expects bytes knows what it
// means.
#pragma once

#include "net/wire.h"

// A WireDecorator: takes over `inner`, over which nothing may be on its way to the server. `early`
// are the compressed bytes that were received already, behind the line of the tagged OK.
Wire *wire_deflate_new(Wire *inner, const void *early, size_t size);
