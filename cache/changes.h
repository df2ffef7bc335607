// Changes are what one synchronisation did to the tree, collected by the session thread that wrote
// it and handed to the main loop after the commit, for the file system to tell the kernel.
// A value; whoever holds it owns it.
#pragma once

#include <stdint.h>

#include <glib.h>

typedef struct Changes Changes;

// A name that came to a folder, or left it.
typedef struct {
  uint64_t parent, ino;
  char *name;
} ChangesName;

Changes *changes_new(void);
void changes_free(Changes *changes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Changes, changes_free)

void changes_add_removed(Changes *changes, uint64_t parent, uint64_t ino, const char *name);
void changes_add_added(Changes *changes, uint64_t parent, uint64_t ino, const char *name);
// Each folder is kept once.
void changes_add_folder(Changes *changes, uint64_t folder);
// The folder that is now listed for the first time; at most one.
void changes_add_first(Changes *changes, uint64_t folder);
// A folder that was not looked into but is not as we know it.
void changes_add_stale(Changes *changes, uint64_t folder);

const ChangesName *changes_removed(const Changes *changes, unsigned *n);
const ChangesName *changes_added(const Changes *changes, unsigned *n);
const uint64_t *changes_folders(const Changes *changes, unsigned *n);
// 0: none.
uint64_t changes_first(const Changes *changes);
const uint64_t *changes_stale(const Changes *changes, unsigned *n);
