// Who sends a letter and who gets it, as its header says.
#pragma once

#include <glib.h>

#include "cache/letter_header.h"

// The envelope's recipients (of char *), each once, in order: To, Cc and Bcc, or those of the first
// Resent block if there is one (RFC 5322 section 3.6.6). LETTER_ERROR_INVALID: none, or broken.
GPtrArray *letter_envelope_recipients(const LetterHeader *header, const char *bytes,
                                      GError **error);
// The envelope's sender: Resent-Sender, Resent-From, Sender or From, the first of these that is
// there; `otherwise` if none is. LETTER_ERROR_INVALID: that field is broken.
char *letter_envelope_from(const LetterHeader *header, const char *bytes, const char *otherwise,
                           GError **error);
