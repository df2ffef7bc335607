// The place where we mount, looked at before.
#pragma once

#include <stdbool.h>

#include <glib.h>

// Makes sure that `path` (absolute, or /dev/fd/N, which is left alone) is a directory. A dead mount
// of ours there, whose process is gone (ENOTCONN), is removed first. G_FILE_ERROR with words for
// the user.
bool mountpoint_prepare(const char *path, GError **error);
// True if the topmost mount at `path` in `mountinfo` (text in the form of /proc/self/mountinfo) is
// a mailfs.
bool mountpoint_is_ours(const char *mountinfo, const char *path);
