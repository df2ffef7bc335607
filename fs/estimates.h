// Estimates remembers the sizes of messages that the kernel was told while they were only the
// server's word, until the body is opened and the exact size known: a kernel that believes in a
// smaller one would cut the file short. Four bytes for a message told so. Main loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Estimates Estimates;

Estimates *estimates_new(void);
void estimates_free(Estimates *estimates);
// The kernel was told that `ino` has `size` bytes.
void estimates_told(Estimates *estimates, uint64_t ino, uint64_t size, bool exact);
// `size` is the exact one: true if the kernel may believe in another and must be made to ask again.
// What was told is forgotten.
bool estimates_settle(Estimates *estimates, uint64_t ino, uint64_t size);
