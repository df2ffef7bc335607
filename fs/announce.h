// An Announcer makes changes at the server visible to inotify, which sees only what processes do:
// on the notifier's thread it performs each change on our own mount, and the main loop, which gets
// the calls that come of it, knows by the caller's thread what is meant by them.
//
//   notifier's thread                              main loop (fs/ops_announce.c)
//   mknodat, mkdirat  ──> kernel ──> LOOKUP ──>    not there yet
//                                ──> MKNOD  ──>    the message as it is
//   unlinkat          ──> kernel ──> LOOKUP ──>    still there
//                                ──> UNLINK ──>    done
//   utimensat         ──> kernel ──> SETATTR ──>   done, the attributes as they are
//
// It opens the mount anew for each folder and closes it at once, since an open descriptor holds up
// unmounting; and it looks whether what it opened is ours, since after an unmount the same path is
// the user's own directory.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum {
  CHANGE_ADDED,
  CHANGE_REMOVED,
  CHANGE_LISTING,  // something in the directory
} ChangeKind;

// One change at the server.
typedef struct {
  ChangeKind kind;
  uint64_t directory;
  uint64_t ino;  // what was added or removed
  bool folder;   // it is a directory itself, as far as is known
  char *name;    // its name; of CHANGE_LISTING the directory's path, NULL: nobody can watch it
} Change;

Change *change_new(ChangeKind kind, uint64_t directory, uint64_t ino, bool folder,
                   const char *name);
void change_free(Change *change);

typedef struct Announcer Announcer;

// `mountpoint` is resolved, `device` the mount's.
Announcer *announcer_new(const char *mountpoint, dev_t device);
void announcer_free(Announcer *announcer);

// The notifier's thread. Opens a directory of the mount (a path from its root); false: something is
// not as it should be, and nothing can be announced there.
bool announcer_open(Announcer *announcer, const char *path, uint64_t directory);
// Performs a change in the open directory: 0 or an errno. A name that the kernel knows is no
// obstacle: before it makes something (Linux 5.16 and later) or removes what it was told to forget,
// it asks.
int announcer_perform(Announcer *announcer, const Change *change);
void announcer_close(Announcer *announcer);

// The main loop's thread. True if `tid` is the notifier's.
bool announcer_is(Announcer *announcer, pid_t tid);
// True if it is, and it performs a change of `name` in `directory` (NULL: of the directory itself):
// `change` says which, without a name.
bool announcer_means(Announcer *announcer, pid_t tid, uint64_t directory, const char *name,
                     Change *change);
// What is removed was looked up by the call under way; only then it is what the kernel asks to
// unlink: else it is something new of that name.
void announcer_set_found(Announcer *announcer);
bool announcer_has_found(Announcer *announcer);
