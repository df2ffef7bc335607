// The Notifier tells the kernel what to forget, names that are gone and directories whose listing
// changed, and those who watch a folder with inotify what came and went (fs/announce.h). It does so
// on a thread of its own, since the kernel may hold a directory's lock while it waits for an answer
// of ours; so no answer may ever wait for the notifier.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <fuse_lowlevel.h>
#include <glib.h>

#include "cache/store.h"
#include "fs/announce.h"

typedef struct Notifier Notifier;

// The session has answered INIT; it and the announcer (NULL: nobody is to see changes) outlive the
// notifier.
Notifier *notifier_new(struct fuse_session *session, Announcer *announcer);
// From the main loop's thread; takes the change and does not wait. CHANGE_LISTING ends the changes
// that were told of its directory before: up to NOTIFIER_SHOWN_MAX that came and as many that went
// are shown one by one, of more only that there were some. Many changes of one directory become one
// notice to the kernel.
void notifier_tell(Notifier *notifier, Change *change);
#define NOTIFIER_SHOWN_MAX STORE_ADDED_MAX
// Asks the thread to end, dropping what is still to be told. The main loop must go on answering
// until it has.
void notifier_stop(Notifier *notifier);
bool notifier_has_ended(const Notifier *notifier);
// After notifier_has_ended (or when the connection is gone: then nothing holds the thread up).
void notifier_free(Notifier *notifier);
