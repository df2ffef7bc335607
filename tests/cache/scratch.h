// Scratch is what tests do with whole directories of their own.
#pragma once

// Removes a file or a directory with all that is in it; one that is not there is fine.
void scratch_remove(const char *path);
// All files of one directory into another, made anew, as far as they are still there.
void scratch_copy(const char *from, const char *to);
