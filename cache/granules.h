// Granules tell of a body that arrives in parts which pieces of it are here. All pieces are of one
// size, but for the last. A value that any thread may own, one at a time.
//
//   [########.....>.........#]    # ready   > under way   . missing
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/mailbox.h"

#define GRANULE_BYTES ((uint64_t)64 << 10)

typedef enum { GRANULE_MISSING, GRANULE_UNDER_WAY, GRANULE_READY } GranuleState;

typedef struct {
  uint64_t size_bytes;  // of the body
  uint64_t n, n_ready;
  uint8_t *states;  // of GranuleState
} Granules;

// Of a body of that size: all are missing.
void granules_init(Granules *granules, uint64_t size_bytes);
void granules_clear(Granules *granules);

// The granules of a range that begins within the body: from *first on, *end is behind them. What
// reaches over the end of the body is cut there.
void granules_find(const Granules *granules, uint64_t offset, uint64_t size, uint64_t *first,
                   uint64_t *end);
// What is ready stays so.
void granules_set(Granules *granules, uint64_t first, uint64_t end, GranuleState state);
// All that lie whole within the range are ready.
void granules_note_ready(Granules *granules, const MailboxRange *range);

// Whether all bytes of the range are here that the body has.
bool granules_is_ready(const Granules *granules, uint64_t offset, uint64_t size);
bool granules_is_whole(const Granules *granules);
// The first of these that is neither here nor on its way, `end` if there is none; and how many in a
// row are so from there on.
uint64_t granules_next_missing(const Granules *granules, uint64_t first, uint64_t end);
uint64_t granules_count_missing(const Granules *granules, uint64_t first, uint64_t end);
