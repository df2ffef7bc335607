// Opened knows which messages are open, and of which edition (store_edition). The kernel has one
// size and one page cache for all who have a message open: who opens a new edition while an older
// one is open has to pass the cache by, else each would be given bytes of the other's; and if it is
// of another size, it cannot be opened meanwhile, else one of them would be cut off. Main loop's
// thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/store.h"

typedef struct Opened Opened;
typedef struct OpenMessage OpenMessage;

// A message file that is open.
typedef struct {
  StoreBody *body;
  OpenMessage *message;
  GList link;      // of all that are open
  bool is_beside;  // another edition is open, and this file passes the page cache by
} OpenFile;

Opened *opened_new(Store *store);
// Closes what is still open.
void opened_free(Opened *opened);

// Takes the body, of the store's present edition. The file is Opened's; NULL: this edition cannot
// be opened now.
OpenFile *opened_open(Opened *opened, uint64_t ino, uint64_t edition, StoreBody *body);
void opened_close(Opened *opened, OpenFile *file);
// The size of a message as the kernel may be told: that of the edition that is open, else `size`.
uint64_t opened_size(const Opened *opened, uint64_t ino, uint64_t size);
