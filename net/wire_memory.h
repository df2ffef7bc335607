// Memory for a library that puts secrets into it and forgets to wipe them: what is given back is
// overwritten first. For memory of malloc; any thread.
#pragma once

#include <stddef.h>

// Overwrites and frees; NULL is fine.
void wire_memory_free(void *memory);
// As realloc, but never in place: the old block is overwritten.
void *wire_memory_realloc(void *memory, size_t size);
