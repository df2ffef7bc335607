// A Filesystem is the mounted tree: it turns FUSE requests into calls on the store and the outbox,
// and their results and changes into replies and kernel invalidations. It owns the FUSE session and
// lives on the main loop; its only other thread is the notifier (fs/notify.h).
//
//   kernel ──> GSource on /dev/fuse ──> ops ──> Store, Outbox
//   kernel <── reply, at once or from a callback (fs/pending.h)
//   kernel <── notifier thread <── "this changed"
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/outbox.h"
#include "cache/store.h"

typedef struct Filesystem Filesystem;

typedef struct {
  const char *source;       // what mount shows: "imaps://user@host", no secret
  const char *mountpoint;   // absolute, or /dev/fd/N
  const char *outbox_name;  // the outbox directory's name; NULL: none
  const char *cache_dir;    // where bodies lie: its disk is what df shows; NULL: of "/"
  bool read_only;
  bool allow_other;  // then default_permissions too
  uid_t uid;
  gid_t gid;
  mode_t umask;              // taken from 0666 and 0777; usually 077
  unsigned timeout_ms;       // longest wait of a request without progress
  const char *fuse_options;  // further -o options for libfuse, comma separated; NULL: none
  bool debug;
} FilesystemOptions;

// The store and the outbox (NULL: none) stay the caller's and must outlive it. `ended` is called on
// the main loop when the mount is gone (fusermount3 -u) or its connection broke.
typedef void (*FilesystemEnded)(gpointer data);
Filesystem *filesystem_new(const FilesystemOptions *options, Store *store, Outbox *outbox,
                           GMainContext *context, FilesystemEnded ended, gpointer data,
                           GError **error);
// Mounts. A dead mount of ours left at the mount point (ENOTCONN) is removed first. `answers` is
// called on the main loop once the kernel's first request was answered. G_FILE_ERROR with words for
// the user.
typedef void (*FilesystemAnswers)(gpointer data);
bool filesystem_mount(Filesystem *filesystem, FilesystemAnswers answers, gpointer data,
                      GError **error);
// Answers what waits with an error, unmounts (lazily if it is busy), ends the notifier, frees.
void filesystem_free(Filesystem *filesystem);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Filesystem, filesystem_free)
