// An OutboxDrain is a wish to have all letters sent that wait now: none is held any longer, delays
// after failed tries are over, and each is followed until it was tried. The main loop's.
#pragma once

#include <stdbool.h>

#include "cache/outbox.h"

typedef struct OutboxDrain OutboxDrain;

typedef struct {
  unsigned total;    // letters; those that are taken back are not counted any more
  unsigned sent;     // taken by the server
  unsigned failed;   // now in failed/
  unsigned delayed;  // tried, or given up for now with the server, and waiting again
  unsigned to_come;  // the rest
  const char *why;   // what the last delay came of; NULL: there was none
} OutboxProgress;

// `told` is called on the main loop, soon: at the start, and after each change until nothing is to
// come. It may free the drain.
typedef void (*OutboxDrainTold)(const OutboxProgress *progress, gpointer data);
// The outbox must have been started, and must live as long.
OutboxDrain *outbox_drain_new(Outbox *outbox, OutboxDrainTold told, gpointer data);
// Whatever it has begun goes on.
void outbox_drain_free(OutboxDrain *drain);
