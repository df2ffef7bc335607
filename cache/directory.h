// Making directories that survive a power failure. Blocks on the disk; any thread.
#pragma once

// Makes `path` and what is missing above it (mode 0700), each on disk before the next is made in
// it. 0, also where all was there already, or an errno.
int directory_make(const char *path);
