// Paths knows the folders that the kernel was ever told of, and where they lie. Nobody can be
// watching another one. Main loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Paths Paths;

Paths *paths_new(void);
void paths_free(Paths *paths);
// The kernel was told that `name` in `parent` is the folder `ino`.
void paths_told(Paths *paths, uint64_t ino, uint64_t parent, const char *name);
bool paths_has(const Paths *paths, uint64_t ino);
// From the root ("." for itself), newly allocated: names joined by '/', which no name contains.
// NULL: the kernel was never told of it.
char *paths_find(const Paths *paths, uint64_t ino);
