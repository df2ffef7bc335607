// Modified UTF-7, the spelling of mailbox names in IMAP (RFC 3501 5.1.3), to UTF-8 and back. Pure.
#pragma once

#include <glib.h>

// The name in UTF-8, to be freed; NULL when `name` is no modified UTF-7 or not the one that
// imap_utf7_encode would write (needless or broken base64, bytes beyond ASCII, a NUL within): such
// a name is only to be shown as it stands.
char *imap_utf7_decode(const char *name);
// The name in modified UTF-7, to be freed; NULL when `utf8` is not valid UTF-8.
char *imap_utf7_encode(const char *utf8);
