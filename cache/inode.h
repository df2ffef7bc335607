// An Inode is one folder or message as the index knows it: a plain copy of a row, what stat needs
// and a little more. The index is the inode table (its row number is st_ino, the FUSE node and the
// readdir cookie), so nothing is kept in memory for it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INODE_ROOT 1
// Inodes of the outbox lie above; those of the index below.
#define INODE_OUTBOX_BASE ((uint64_t)1 << 52)

typedef enum {
  INODE_FOLDER,
  INODE_MESSAGE,
} InodeKind;

typedef struct {
  uint64_t ino, parent;
  InodeKind kind;
  bool gone;            // expunged or deleted on the server: only for those who hold it open
  const char *name;     // final file name; lives until the next call on the same store or index
  int64_t mtime_ns;     // message: INTERNALDATE; folder: last change of its listing
  int64_t ctime_ns;     // message: first seen here; folder: as mtime
  uint64_t size;        // message: bytes, never 0 while it is an estimate
  bool size_exact;      // the body was here once
  uint32_t subfolders;  // folder: how many folders lie in it
  bool listed;          // folder: it was listed as a whole at least once
} Inode;
