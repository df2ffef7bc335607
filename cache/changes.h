// Changes are what one synchronisation did to the tree, collected by the session thread that wrote
// it and handed to the main loop after the commit, for the file system to tell the kernel.
// A value; whoever holds it owns it.
#pragma once

#include <stdint.h>

#include <glib.h>

typedef struct Changes Changes;

typedef struct {
  uint64_t parent, ino;
  char *name;
} ChangesRemoved;

Changes *changes_new(void);
void changes_free(Changes *changes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Changes, changes_free)

void changes_add_removed(Changes *changes, uint64_t parent, uint64_t ino, const char *name);
// Each folder is kept once.
void changes_add_folder(Changes *changes, uint64_t folder);

const ChangesRemoved *changes_removed(const Changes *changes, unsigned *n);
const uint64_t *changes_folders(const Changes *changes, unsigned *n);
