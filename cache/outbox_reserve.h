// The OutboxReserve is disk space set aside: a file that is given up when the disk is full, so that
// the journal can still note what must not be lost. One thread at a time. What fails here fails
// silently: then there is no reserve.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct OutboxReserve OutboxReserve;

// Makes nothing on the disk yet.
OutboxReserve *outbox_reserve_new(const char *path);
// The file stays.
void outbox_reserve_free(OutboxReserve *reserve);
// Sets the space aside unless it is already. Blocks on the disk.
void outbox_reserve_keep(OutboxReserve *reserve);
// Gives the space to whoever wants it; false: there was none.
bool outbox_reserve_give_up(OutboxReserve *reserve);
