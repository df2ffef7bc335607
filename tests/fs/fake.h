// A Store and an Outbox that live in memory and do what a test says: they fulfil cache/store.h and
// cache/outbox.h as far as the file system calls them. All but fake_wait_* is for the thread of the
// context.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cache/outbox.h"
#include "cache/store.h"

Store *fake_store_new(GMainContext *context);
// A fake's own end: store_free of the real one is not here.
void fake_store_free(Store *store);

uint64_t fake_add_folder(Store *store, uint64_t parent, const char *name);
// A message whose size is announced as `announced` until its body is fetched. NULL body: it cannot
// be fetched (GONE).
uint64_t fake_add_message(Store *store, uint64_t parent, const char *name, const char *body,
                          uint64_t announced);
// The message's body is the file at `path`.
void fake_put_body(Store *store, uint64_t ino, const char *path);
// The server changed the bytes of a message, and they have been fetched again.
void fake_change_body(Store *store, uint64_t ino, const char *body);
// Of the body, bytes from `arrived` on have not come: it can be opened, and who wants those waits
// until a later call lets more arrive (or the outcome, set before they want them, is an error).
void fake_let_arrive(Store *store, uint64_t ino, uint64_t arrived);
// Bytes of some message come just now.
void fake_note_progress(Store *store);
// As the server's change: the listener is told.
void fake_remove(Store *store, uint64_t ino);
void fake_tell_changed(Store *store, uint64_t folder);
// The same in two steps: each of several names that are new or gone (they are at once), then the
// change as a whole. `forget`: nothing is known of it any more.
void fake_tell_added(Store *store, uint64_t ino);
void fake_tell_removed(Store *store, uint64_t ino, bool forget);
// Adds a number of empty messages "NNNNNN.eml" quickly.
void fake_add_many(Store *store, uint64_t parent, unsigned from, unsigned to);

void fake_set_listing(Store *store, uint64_t folder, StoreListing listing);
// What store_sync and store_fetch do: nothing (they wait until fake_go_on), or end with the code of
// a NET_ERROR, or succeed at once. store_want alike, but it succeeds only with its bytes.
#define FAKE_WAIT -2
#define FAKE_SUCCEED -1
void fake_set_outcome(Store *store, int outcome);
// The next `count` calls of store_want end with the code of a NET_ERROR, whatever the outcome is.
void fake_fail_wants(Store *store, unsigned count, int code);
// Ends all that waits with success. Where nobody waits any more, bodies arrive for the next open.
void fake_go_on(Store *store);
// The next `count` reads of the tree answer LATER.
void fake_be_busy(Store *store, unsigned count);
// What every message has as its date: 128 KiB of two-byte characters behind one of one byte.
char *fake_long_text(void);
// What a removal comes to: it is refused, or done at once, or ends as the outcome says.
void fake_set_removal(Store *store, StoreRemoval removal);
void fake_set_usage(Store *store, uint64_t used, uint64_t limit);

// Any thread: blocks until `count` fetches, wants or synchronisations were asked for in all.
void fake_wait_asked(Store *store, unsigned count);
// How many names were looked up, tickets cancelled, and how many bodies are open.
unsigned fake_count_lookups(Store *store);
unsigned fake_count_cancelled(Store *store);
unsigned fake_count_open(Store *store);

Outbox *fake_outbox_new(void);
void fake_outbox_free(Outbox *outbox);
// Who was told last that a file of outbox/ is there, since this was asked last; 0: nobody. Any
// thread.
pid_t fake_seen_by(Outbox *outbox);
// A letter whose bytes are those of an open file, the caller's.
void fake_lend_letter(Outbox *outbox, const char *name, int fd, unsigned size);
