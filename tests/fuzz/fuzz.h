// What every fuzz target is: one function, called by libFuzzer with inputs of its own making and by
// replay.c with the seeds.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Aborts when a property does not hold. Returns 0.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
