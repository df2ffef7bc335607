// What the tests of letters share: letters in memory, the account's defaults, rows of refused ones.
#pragma once

#include "cache/letter.h"

extern const LetterDefaults letter_defaults;

// What is put into a letter that lacks these.
#define DATE "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
#define FROM "From: me@example.org\r\n"
#define MESSAGE_ID "Message-ID: <id@example.org>\r\n"
// A header that lacks nothing but recipients, before and after.
#define NOTHING_MISSING "Date: x\nFrom: alice@example.org\nMessage-ID: <1@example.org>\n"
#define SENT_WHOLE "Date: x\r\nFrom: alice@example.org\r\nMessage-ID: <1@example.org>\r\n"

#define LINE_100                                                                                   \
  "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
  "567890"
#define LINE_900 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100
#define LINE_98                                                                                    \
  "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
  "5678"

// A file with these bytes.
int letter_file(const char *bytes, size_t size);
// The letter in it, which must be one that can be sent.
Letter *letter_of(int fd, const LetterDefaults *defaults);
// All that a stream gives when it is read in steps of `step` bytes; ends the stream.
GString *letter_drain(LetterStream *stream, size_t step);
// What is sent of a letter in memory that needs nothing but itself.
GString *letter_sent(const char *bytes, size_t size);
// It is refused as invalid, and these words are among the reason's.
void letter_assert_refused(const char *bytes, size_t size, const LetterDefaults *defaults,
                           const char *words);

typedef struct {
  const char *name, *letter, *words;
} Refused;
void letter_test_refused(gconstpointer row);
// Adds each of an array's rows, a struct that begins with its name, as GROUP/NAME.
#define ADD_ROWS(group, rows, test)                                        \
  for (size_t row = 0; row < G_N_ELEMENTS(rows); row++) {                  \
    g_autofree char *path = g_strconcat(group, "/", rows[row].name, NULL); \
    g_test_add_data_func(path, &rows[row], test);                          \
  }
