// An ImapMessageReader makes a MailboxMessage of the values of one FETCH response (RFC 3501 7.4.2).
// It never fails on what the server left out or wrote wrongly: that part is then not told. It keeps
// the memory for what has to be put together (flags, an address) from one message to the next.
// Pure; any one thread at a time.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/imap_tree.h"
#include "net/mailbox.h"

typedef struct ImapMessageReader ImapMessageReader;

ImapMessageReader *imap_message_reader_new(void);
void imap_message_reader_free(ImapMessageReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapMessageReader, imap_message_reader_free)

// Reads what stands within the parentheses of a FETCH response, `items` being its first value. The
// message's strings live until the next call or the response's end. False: it names no UID.
bool imap_message_reader_read(ImapMessageReader *reader, const ImapValue *items,
                              MailboxMessage *message);

// The UID among a FETCH response's items; 0: none.
uint32_t imap_message_uid(const ImapValue *items);
