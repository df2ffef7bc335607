// A drop's envelope as text: the one place that knows how it is written. Pure functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cache/drop.h"

// Newly allocated; *size without the NUL behind it.
char *drop_format_write(const char *name, const Envelope *envelope, size_t *size);
// Fills name and envelope of the drop; LETTER_ERROR_INVALID if anything there is not as it has to
// be, and then they may be filled in part.
bool drop_format_read(Drop *drop, const char *text, size_t size, GError **error);
