// What the outbox decides by names and numbers alone: which files are letters, how a letter is
// called when its name is wanted by another, when it is tried again. Pure functions.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

// Longest file name in bytes.
#define OUTBOX_NAME_MAX 255
#define OUTBOX_ERROR_SUFFIX ".error"

// Whether users may give this name: not empty, "." or "..", no slash or control character, and not
// one of ours (NAME.error).
bool outbox_name_is_allowed(const char *name);
// True for NAME.error.
bool outbox_name_is_note(const char *name);
// False for what is no letter: dot-files, *~, *.swp, 4913 (vim's trial file), #*#.
bool outbox_name_is_sendable(const char *name);

// The name of the lock that some editor lays beside `name` while it is edited (.NAME.sw?, .#NAME,
// .~lock.NAME#): newly allocated for each i from 0, NULL after the last.
char *outbox_lock_name(const char *name, unsigned i);
// The name that a lock belongs to, newly allocated; NULL: it is no lock.
char *outbox_lock_target(const char *lock);

// NAME+n, shortened at a character so that it and its NAME.error stay within OUTBOX_NAME_MAX, and
// is no name of ours; for n = 0 just NAME, shortened likewise.
char *outbox_label(const char *name, unsigned n);

// The wait after that many failed attempts (1, 2, ...): first_ms doubling up to sixty times as
// much.
int64_t outbox_retry_delay_ms(int64_t first_ms, unsigned attempts);
