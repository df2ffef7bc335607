// A decorator that compresses what passes over a wire (RFC 4978: raw deflate both ways), from the
// moment it is put around it. Its memory does not grow with what the server sends, however far that
// unfolds. A stream that cannot be read, or ends, is PROTOCOL.
#pragma once

#include "net/wire.h"

// Takes over `inner`, over which nothing may be on its way.
Wire *wire_deflate_new(Wire *inner);
