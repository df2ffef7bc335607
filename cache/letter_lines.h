// Reads all lines of a letter's file and says whether they can be sent.
#pragma once

#include "cache/letter_private.h"

// LETTER_ERROR_INVALID names the line: a NUL byte, a carriage return that ends no line, a line over
// 998 bytes. A line that `letter` cuts away may be as long as it likes.
bool letter_check_lines(const Letter *letter, int fd, GError **error);
