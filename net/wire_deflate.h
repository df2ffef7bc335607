// A decorator that compresses what passes over a wire (RFC 4978: raw deflate both ways), from the
// moment it is put around it. Its memory does not grow with what the server sends, however far that
// unfolds. A stream that cannot be read, or ends, is PROTOCOL.
#pragma once

#include "net/wire.h"

// A WireDecorator: takes over `inner`, over which nothing may be on its way to the server. `early`
// are the compressed bytes that were received already, behind the line of the tagged OK.
Wire *wire_deflate_new(Wire *inner, const void *early, size_t size);
