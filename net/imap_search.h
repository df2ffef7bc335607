// What SEARCH answers (RFC 3501 7.2.5, or ESEARCH, RFC 4731 3.1), where absence counts: a server
// says it also where it found nothing. Pure.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/imap_response.h"

// All false at first.
typedef struct {
  bool has_answer;
  bool is_broken;  // it cannot be read, or not to its end
} ImapSearch;

// Notes what belongs to the answer; true if the event did. One of type IMAP_EVENT_RANGE is a hit.
bool imap_search_note(ImapSearch *search, const ImapEvent *event);
// After the command's end. REFUSED: there was no answer, or none that can be read.
bool imap_search_check(const ImapSearch *search, GError **error);
