// INTERNALDATE, the date-time of RFC 3501 section 9. Pure.
#pragma once

#include <stdint.h>

#include <glib.h>

// "17-Jul-1996 02:44:25 -0700" as seconds since 1970; the day may have a leading space or one digit
// alone, the month any case. -1: no such date, or one before 1970. `text` may be NULL.
int64_t imap_date_parse(const char *text);
// The other way, in UTC; newly allocated. `seconds` of the years 1970 to 9999.
char *imap_date_print(int64_t seconds);
