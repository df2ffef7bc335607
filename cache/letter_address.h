// Reads the addresses out of a header field, for the envelope: display names, comments, source
// routes and group names fall away. GMime parses each address; it is lenient and drops what it does
// not understand, and a recipient dropped silently would be a letter lost, so the field is split
// here and each piece has to be exactly one sound address.
#pragma once

#include <stdbool.h>

#include <glib.h>

// A bare name that stands for an address.
typedef struct {
  const char *name, *address;
} LetterAlias;

// Adds the addresses of `value` (a field's value on one line) to `addresses` (of char *), in order
// and without brackets. LETTER_ERROR_INVALID with `where` ("To field") and the broken piece in its
// words. Each is fit to stand between < and > in an SMTP command: no blank, bracket or control
// character, valid UTF-8, at most 500 bytes. `alias` NULL: every piece has to be an address.
bool letter_addresses_add(GPtrArray *addresses, const char *where, const char *value,
                          const LetterAlias *alias, GError **error);
// The one address of `value`; more or none is LETTER_ERROR_INVALID, too.
char *letter_address_read(const char *where, const char *value, GError **error);
