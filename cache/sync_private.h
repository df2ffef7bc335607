// What the files of synchronisation share. For cache/sync*.c only.
#pragma once

#include "cache/sync.h"

int64_t sync_now_ns(void);
// Collects what the index tells into `changes`.
IndexListener sync_listener(Changes *changes);
