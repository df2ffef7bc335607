// The place where we mount, looked at before.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <glib.h>

// Makes sure that `path` (absolute, or /dev/fd/N, which is left alone) is a directory. A dead mount
// of ours there, whose process is gone (ENOTCONN), is removed first. G_FILE_ERROR with words for
// the user.
bool mountpoint_prepare(const char *path, GError **error);
// The path without symbolic links, newly allocated; NULL if there is none, as of /dev/fd/N. To be
// asked before we mount there, since it looks at the place.
char *mountpoint_resolve(const char *path);
// True if the topmost mount at `path` (resolved) is a mailfs; then `device` is what stat calls it.
bool mountpoint_find(const char *path, dev_t *device);
// The same for `mountinfo`, text in the form of /proc/self/mountinfo.
bool mountpoint_find_in(const char *mountinfo, const char *path, dev_t *device);
