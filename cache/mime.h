// What all who use GMime share. Any thread, as often as wanted.
#pragma once

#include <gmime/gmime.h>

// Makes GMime's tables ready, before any other call of it: g_mime_init itself may not be called by
// two threads at a time. Who starts threads that read mail calls it before: GLib keeps the names of
// types in a table of its own, under locks that ThreadSanitizer does not see.
void mime_init(void);
// How header text is read: bytes that are not of the charset they claim, or claim none, are guessed
// the same on every machine. To be freed with g_mime_parser_options_free.
GMimeParserOptions *mime_options_new(void);
// A header's text without the charsets that would mean the locale's: the C library takes an empty
// one for that, and GMime "x-unknown". As charsets that nobody has they are guessed from the bytes.
// Newly allocated.
char *mime_without_locale_charsets(const char *raw);
