// A DirectoryLock keeps a second mailfs out of an account's cache and state directory: an flock on
// the file "lock" in it, held for as long as the object lives and gone with the process.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct DirectoryLock DirectoryLock;

// Makes the directory (and those above it) with mode 0700 if it is missing, then waits up to
// `wait_ms` for another holder to end: blocks. NET_ERROR_BUSY with the holder's pid in the message
// if it does not end; G_FILE_ERROR if the directory cannot be made or is not ours.
DirectoryLock *directory_lock_new(const char *directory, unsigned wait_ms, GError **error);
// Whether another holds it now, also one of this process. Makes nothing, waits for nothing.
bool directory_lock_is_held(const char *directory);
void directory_lock_free(DirectoryLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DirectoryLock, directory_lock_free)
