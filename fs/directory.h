// A reply to READDIR or READDIRPLUS in the making: a directory's entries from a cookie on, as many
// as the buffer holds. The cookie of an entry is its ino, so it stays right while others come and
// go, and one call costs what it returns. `.` and `..` come first, with cookies below all inos.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <fuse_lowlevel.h>

#include "fs/attr.h"
#include "fs/tree.h"

typedef struct {
  fuse_req_t req;
  Tree *tree;
  const Identity *identity;
  char *bytes;  // the caller's, `size` long
  size_t size;
  size_t used;                                      // result
  bool plus;                                        // with attributes
  void (*told)(const Thing *thing, gpointer data);  // called for what `plus` tells
  gpointer data;
} Directory;

// Fills `bytes` with the entries of `ino` that follow `cookie` (0: from the start). Nothing used:
// the end.
StoreAnswer directory_read(Directory *directory, uint64_t ino, off_t cookie);
