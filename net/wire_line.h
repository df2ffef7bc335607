// What a line of a mail protocol may show to a log or a user. Pure functions.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// The bytes as one line of valid UTF-8 that is safe to print: line ends at the end are dropped,
// control and format characters (bidi) and broken bytes become `?`, at most 1,000 bytes. g_free.
char *wire_line_printable(const char *bytes, size_t size);

// True for a client's line that carries a secret or opens an exchange that does: AUTH,
// AUTHENTICATE, LOGIN, PASS, APOP, as the first word or after a tag.
bool wire_line_is_login(const char *bytes, size_t size);

// Like wire_line_printable, for what a client sends: what follows the command of a login is struck
// out, and so is what follows the first line of a request to an HTTP proxy (CONNECT, RFC
// 9110 9.3.6) or the name of an Authorization field. `in_login` is for the lines of a login that
// have no command: struck out whole.
char *wire_line_redacted(const char *bytes, size_t size, bool in_login);
