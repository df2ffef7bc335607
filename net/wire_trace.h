// A decorator that writes what passes over a wire to the debug log, a line each, with `name` at the
// start. Secrets are struck out, literals and message bytes are counted, not shown.
#pragma once

#include "net/wire.h"

// Takes over `inner`. With debug logging off for the domain it returns `inner` itself.
Wire *wire_trace_new(Wire *inner, const char *name);
