#include "cache/granules.h"

#include <glib.h>

void granules_init(Granules *granules, uint64_t size_bytes) {
  uint64_t n = (size_bytes + GRANULE_BYTES - 1) / GRANULE_BYTES;
  *granules = (Granules){.size_bytes = size_bytes, .n = n, .states = g_malloc0(n)};
}

void granules_clear(Granules *granules) {
  g_clear_pointer(&granules->states, g_free);
}

// Where a range ends, or the body before it.
static uint64_t end_of(const Granules *granules, uint64_t offset, uint64_t size) {
  return size < granules->size_bytes - offset ? offset + size : granules->size_bytes;
}

void granules_find(const Granules *granules, uint64_t offset, uint64_t size, uint64_t *first,
                   uint64_t *end) {
  *first = offset / GRANULE_BYTES;
  *end = (end_of(granules, offset, size) + GRANULE_BYTES - 1) / GRANULE_BYTES;
}

void granules_set(Granules *granules, uint64_t first, uint64_t end, GranuleState state) {
  for (uint64_t i = first; i < end; i++) {
    if (granules->states[i] == GRANULE_READY) continue;
    granules->states[i] = (uint8_t)state;
    if (state == GRANULE_READY) granules->n_ready++;
  }
}

void granules_note_ready(Granules *granules, const MailboxRange *range) {
  uint64_t end = range->offset + range->size;
  uint64_t last = end == granules->size_bytes ? granules->n : end / GRANULE_BYTES;
  granules_set(granules, (range->offset + GRANULE_BYTES - 1) / GRANULE_BYTES, last, GRANULE_READY);
}

bool granules_is_ready(const Granules *granules, uint64_t offset, uint64_t size) {
  if (offset >= granules->size_bytes || size == 0) return true;
  uint64_t first, end;
  granules_find(granules, offset, size, &first, &end);
  while (first < end && granules->states[first] == GRANULE_READY)
    first++;
  return first == end;
}

bool granules_is_whole(const Granules *granules) {
  return granules->n_ready == granules->n;
}

uint64_t granules_next_missing(const Granules *granules, uint64_t first, uint64_t end) {
  while (first < end && granules->states[first] != GRANULE_MISSING)
    first++;
  return first;
}

uint64_t granules_count_missing(const Granules *granules, uint64_t first, uint64_t end) {
  uint64_t at = first;
  while (at < end && granules->states[at] == GRANULE_MISSING)
    at++;
  return at - first;
}
