// The Tree is the one place that decides who owns an inode: the store (root, folders, messages) or
// the outbox (outbox/, failed/, letters and their notes). To all else in this folder both are
// Things. It keeps nothing of its own: each call reads the index or the outbox's table, and none
// waits. Main loop's thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cache/outbox.h"
#include "cache/store.h"
#include "fs/opened.h"

typedef struct Tree Tree;

typedef enum {
  THING_FOLDER,  // of the server; the root too
  THING_MESSAGE,
  THING_OUTBOX,  // outbox/
  THING_FAILED,  // outbox/failed/
  THING_LETTER,
  THING_NOTE,  // NAME.error
} ThingKind;

// What stat and readdir need to know of one file or directory.
typedef struct {
  ThingKind kind;
  uint64_t ino, parent;
  const char *name;  // lives until the next call on the tree
  uint64_t size;
  bool size_exact;
  mode_t permissions;
  int64_t mtime_ns, ctime_ns, atime_ns;
  uint32_t subfolders;
  bool gone;            // known only to those who hold it open
  uint64_t shared_ino;  // shown for it and its hard links; 0: its own
  unsigned more_links;  // that it has besides its own name
} Thing;

// outbox and outbox_name are both NULL where there is no outbox; all stay the caller's and outlive
// the tree.
Tree *tree_new(Store *store, Outbox *outbox, const char *outbox_name, const Opened *opened);
void tree_free(Tree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)

bool thing_is_directory(const Thing *thing);
// True for what the server holds: it changes only with a notice to the kernel, so it may be cached.
bool thing_is_mail(const Thing *thing);

StoreAnswer tree_get(Tree *tree, uint64_t ino, Thing *thing);
StoreAnswer tree_lookup(Tree *tree, uint64_t parent, const char *name, Thing *thing);
// Things in `directory` with ino > after, by rising ino, until `each` returns false.
typedef bool (*TreeEach)(const Thing *thing, gpointer data);
StoreAnswer tree_children(Tree *tree, uint64_t directory, uint64_t after, TreeEach each,
                          gpointer data);
