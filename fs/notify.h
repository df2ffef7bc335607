// The Notifier tells the kernel what to forget: names that are gone and directories whose listing
// changed. It does so on a thread of its own, since the kernel may hold a directory's lock while it
// waits for an answer of ours; so no answer may ever wait for the notifier.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <fuse_lowlevel.h>
#include <glib.h>

typedef struct Notifier Notifier;

// The session has answered INIT, and outlives the notifier.
Notifier *notifier_new(struct fuse_session *session);
// Both from the main loop's thread; neither waits. Many changes of one directory become one notice.
void notifier_removed(Notifier *notifier, uint64_t parent, const char *name);
void notifier_changed(Notifier *notifier, uint64_t directory);
// Asks the thread to end, dropping what is still to be told. The main loop must go on answering
// until it has.
void notifier_stop(Notifier *notifier);
bool notifier_has_ended(const Notifier *notifier);
// After notifier_has_ended (or when the connection is gone: then nothing holds the thread up).
void notifier_free(Notifier *notifier);
