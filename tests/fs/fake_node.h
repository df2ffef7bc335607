// The inside of the fake store: fake_store.c is its tree and what a test says of that, fake_body.c
// its bodies and what is asked of the server.
#pragma once

#include <pthread.h>

#include "tests/fs/fake.h"

typedef struct {
  Inode inode;
  char *name;
  char *body;        // NULL: cannot be had
  char *path;        // where it is, NULL: in memory
  bool here;         // on disk, as far as it has arrived
  uint64_t arrived;  // that many bytes
  uint64_t edition;
  StoreListing listing;
} Node;

struct Store {
  GMainContext *context;
  GTree *nodes;        // by ino
  GHashTable *names;   // "PARENT/NAME" -> Node
  GPtrArray *tickets;  // under way
  uint64_t next_ino;
  int64_t progress_us;
  int outcome;
  StoreRemoval removal;
  int fail_code;  // of the next `fail_wants`
  unsigned fail_wants;
  unsigned busy;
  uint64_t used, limit;
  unsigned cancelled, lookups;
  GPtrArray *bodies;  // open
  StoreListener listener;
  gpointer listener_data;
  pthread_mutex_t mutex;
  pthread_cond_t asked_more;
  unsigned asked;  // under the mutex
};

struct StoreBody {
  Node *node;
  int fd;
  uint64_t size;
};

// Its name is gone; nobody is told.
void fake_take_out(Store *store, Node *node);
Node *fake_find(Store *store, uint64_t ino);
