// Makes texts with lines that are too long quoted-printable (RFC 2045 section 6.7).
#pragma once

#include "cache/letter_mime.h"
#include "cache/letter_private.h"

// Adds the edits for `text`: its body encoded, its header saying so. The letter's own header gets
// what makes it MIME, if it is not yet; its charset is what the body shows: us-ascii, utf-8, or
// unknown-8bit (RFC 1428), which is no claim. Reads the body for that.
bool letter_encode_text(Letter *letter, int fd, const LetterText *text, GError **error);
