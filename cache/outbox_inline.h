// The OutboxInline knows which letters are inline: small ones that were made durable by their bytes
// beside their row in the journal. That is one write to one file, which the row needs anyway; a
// letter's own file would need two syncs more, one for itself and one for its name, and those cost
// most of the time of a burst. The file is there all the same, and everybody reads only it; it is
// just not known to be on the disk.
//
//   durable, in the journal ──settle──> durable, in its file
//         └──power failure──restore──> at the next start, from the journal
//
// They settle when the spool has had nothing to do for a while, some at a time while much has
// gathered, and at the end: by then most were sent, and their files never had to be written at all.
//
// The spool thread's, but for outbox_inline_restore.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/outbox_journal.h"

typedef struct OutboxInline OutboxInline;

// Both stay the caller's.
OutboxInline *outbox_inline_new(OutboxJournal *journal, int letters_fd);
// What is inline stays so on the disk.
void outbox_inline_free(OutboxInline *letters);

// The whole file, from its beginning; NULL if it is too large to be inline, or cannot be read.
// Blocks on the disk.
GBytes *outbox_inline_read(int fd);

// The letter's bytes are in the journal, that many; or no more.
void outbox_inline_add(OutboxInline *letters, uint64_t id, size_t size);
void outbox_inline_remove(OutboxInline *letters, uint64_t id);

// So much has gathered that it is time to settle.
bool outbox_inline_is_full(const OutboxInline *letters);
// How long nothing may have to be done until then, in ms: 0 once they have begun to settle; -1:
// there is nothing to settle.
int outbox_inline_idle_ms(const OutboxInline *letters);
// Syncs the files of `most` of them, oldest first, and takes their bytes out of the journal. What
// cannot be settled is told (`failed`, where it is the file's fault, with an errno), and stays in
// the journal until the next start restores it. Blocks on the disk.
typedef void (*OutboxInlineFailed)(uint64_t id, int code, gpointer data);
void outbox_inline_settle(OutboxInline *letters, unsigned most, OutboxInlineFailed failed,
                          gpointer data);

// At start: writes to the file of each inline letter that is not buried what the journal says, and
// syncs it; the caller drops the contents then. One that was still being written keeps what its
// file has behind that. Errors are an OUTBOX_ERROR with an errno; then it can be done again. Blocks
// on the disk.
bool outbox_inline_restore(OutboxJournal *journal, int letters_fd, GError **error);
