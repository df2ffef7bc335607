// A mount for tests: a Filesystem over a fake Store and Outbox, served by a thread of its own, so
// that the test itself may do what programs do. A guard process unmounts it whatever becomes of the
// test, and an alarm ends a test that hangs.
#pragma once

#include <semaphore.h>

#include "fs/filesystem.h"
#include "tests/fs/fake.h"

typedef struct {
  char *directory;
  Store *store;
  Outbox *outbox;
  Filesystem *filesystem;
  uint64_t inbox;  // "INBOX" in the root
  sem_t ended;     // posted by the file system's `ended`
  struct Loop *loop;
} Mounted;

// `timeout_ms` is the file system's option. Answers before it returns.
Mounted *mounted_new(unsigned timeout_ms);
void mounted_free(Mounted *mounted);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Mounted, mounted_free)
// Frees the file system and stops its loop, the rest stays: for what happens at the end.
void mounted_end(Mounted *mounted);
// Runs `run` on the loop's thread and waits until it has.
void mounted_call(Mounted *mounted, void (*run)(Mounted *mounted, gpointer data), gpointer data);
// A path in the mount, newly allocated.
char *mounted_path(const Mounted *mounted, const char *name);
// Unmounts as a user does.
void mounted_unmount(const char *directory);
// For main(): sets up what all mounts here share.
void mounted_init(void);
