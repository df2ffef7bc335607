// What the files of the body store share. For cache/body*.c only.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "cache/body.h"

#define BODY_UNFINISHED "unfinished"
#define BODY_PATH_BYTES 40

// A finished body that found no room on disk: it lives for as long as descriptors of it are open.
typedef struct {
  dev_t device;
  ino_t file;
  uint64_t size;
} MemoryBody;

struct BodyStore {
  char *path;     // .../bodies
  int directory;  // the same, open
  _Atomic uint64_t unfinished_number;
  pthread_mutex_t place_lock;  // guards `placed`, and the sweep's unlinking
  GHashTable *placed;    // set of inos put in their places before the sweep was over, then NULL
  pthread_mutex_t lock;  // guards the rest
  uint64_t memory_used;
  GArray *memory_bodies;  // of MemoryBody
  GHashTable *open;       // ino -> how many descriptors
  GHashTable *used;       // set of inos
};

// bodies/3f/1a2b3f: spread over 256 directories by the inode's last byte.
void body_path(uint64_t ino, char path[BODY_PATH_BYTES]);
// Does `place` for the body's path, once more if its directory had to be made.
bool body_place(BodyStore *store, uint64_t ino, bool (*place)(const char *path, gpointer data),
                gpointer data);
// The cache was deleted while in use: makes its directories again.
bool body_renew_directory(BodyStore *store);
// A descriptor of `ino`'s is open from now on.
void body_note_open(BodyStore *store, uint64_t ino);
// Sets G_FILE_ERROR from errno; false.
bool body_fail(GError **error, const char *attempt);
