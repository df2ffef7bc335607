// What a server's refusal means for the caller (RFC 3501 7.1, RFC 5530): from its response code and
// words to NetError. Pure.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/imap_response.h"

// Sets the error that the status response `NO`, `BAD` or `BYE` stands for: GONE, FORBIDDEN, BUSY,
// OFFLINE for BYE, else REFUSED. The message is the server's words, made printable.
void imap_error_set(GError **error, const ImapResponse *response);

// Adds the failure of one of several commands to `failure`, their common one, and frees or keeps
// it: the first counts, but for one that ends the connection.
void imap_error_add(GError **failure, GError *another);

// `text` as one line for a log or a message: UTF-8, without control characters, cut where it is
// very long. To be freed.
char *imap_printable(const char *text);
