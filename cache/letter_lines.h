// Reads all lines of a letter's file, says whether they can be sent, and mends those that are too
// long where that can be done.
#pragma once

#include "cache/letter_private.h"

// `bytes` are the file's first `size`, and `header` is theirs. LETTER_ERROR_INVALID names the line:
// a NUL byte, a carriage return that ends no line, a line over 998 bytes. A line that an edit
// already cuts away may be as long as it likes; a text with such a line gets edits that encode it,
// if it is not encoded yet and nothing around it is signed.
bool letter_check_lines(Letter *letter, int fd, const LetterHeader *header, const char *bytes,
                        size_t size, GError **error);
