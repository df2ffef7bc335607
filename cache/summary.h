// A Summary is what a message's header says of it, as an IMAP server's ENVELOPE would: for servers
// that give no more than the header (POP3's TOP). GMime reads addresses and dates; the fields are
// found here, since a header from the wire may be no header at all, and none may be without a name.
//
// Of fields that stand there more than once the first one counts. A NUL is a space, a line that is
// no field (an mbox's "From " among them) is passed over, and of a field's value no more is looked
// at than SUMMARY_FIELD_MAX bytes. What it says depends on nothing but the header: the same message
// has the same name on every machine, at any time.
//
// A value without a thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#define SUMMARY_FIELD_MAX ((size_t)32 << 10)

typedef struct {
  // Texts as in MailboxMessage: not decoded but for the sender's name, bytes may be anything but
  // NUL, unfolded. NULL: there is none.
  char *from_name, *from_address;
  char *subject;
  char *date;
  char *message_id;
  // Seconds since 1970, from 1970 to 9999; -1: there is no such date, or it cannot be understood.
  int64_t sent;      // Date (RFC 5322 section 3.6.1)
  int64_t received;  // of the first Received (section 3.6.7): where it came in last
} Summary;

void summary_read(Summary *summary, const char *header, size_t size);
void summary_clear(Summary *summary);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Summary, summary_clear)

// When it was written, else received: the date in its name. -1: unknown.
int64_t summary_date(const Summary *summary);
