#include "net/uid_set.h"

#include <inttypes.h>
#include <stdio.h>

struct UidSet {
  GArray *ranges;  // UidRange, rising, with at least one missing UID between two
};

UidSet *uid_set_new(void) {
  UidSet *set = g_new0(UidSet, 1);
  set->ranges = g_array_new(FALSE, FALSE, sizeof(UidRange));
  return set;
}

void uid_set_free(UidSet *set) {
  if (!set) return;
  g_array_unref(set->ranges);
  g_free(set);
}

static UidRange *range_at(const UidSet *set, size_t index) {
  return &g_array_index(set->ranges, UidRange, index);
}

// The first range that ends at `uid` or later; n_ranges if there is none.
static size_t find_range(const UidSet *set, uint32_t uid) {
  size_t low = 0, high = set->ranges->len;
  if (high > 0 && range_at(set, high - 1)->last < uid) return high;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (range_at(set, middle)->last < uid)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void uid_set_add(UidSet *set, uint32_t uid) {
  uid_set_add_range(set, uid, uid);
}

void uid_set_add_range(UidSet *set, uint32_t first, uint32_t last) {
  if (first == 0) first = 1;
  if (last < first) return;
  UidRange merged = {first, last};
  size_t start = find_range(set, first - 1), end = start;  // a range that ends just before joins
  while (end < set->ranges->len && range_at(set, end)->first - 1 <= last) {
    merged.first = MIN(merged.first, range_at(set, end)->first);
    merged.last = MAX(merged.last, range_at(set, end)->last);
    end++;
  }
  if (end == start) {
    g_array_insert_val(set->ranges, (guint)start, merged);
    return;
  }
  *range_at(set, start) = merged;
  if (end - start > 1)
    g_array_remove_range(set->ranges, (guint)start + 1, (guint)(end - start - 1));
}

bool uid_set_contains(const UidSet *set, uint32_t uid) {
  size_t index = find_range(set, uid);
  return uid != 0 && index < set->ranges->len && range_at(set, index)->first <= uid;
}

bool uid_set_is_empty(const UidSet *set) {
  return set->ranges->len == 0;
}

uint64_t uid_set_count(const UidSet *set) {
  uint64_t count = 0;
  for (size_t i = 0; i < set->ranges->len; i++)
    count += (uint64_t)range_at(set, i)->last - range_at(set, i)->first + 1;
  return count;
}

uint32_t uid_set_last(const UidSet *set) {
  return set->ranges->len > 0 ? range_at(set, set->ranges->len - 1)->last : 0;
}

size_t uid_set_n_ranges(const UidSet *set) {
  return set->ranges->len;
}

UidRange uid_set_range(const UidSet *set, size_t index) {
  g_assert(index < set->ranges->len);
  return *range_at(set, index);
}

UidSet *uid_set_subtract(const UidSet *a, const UidSet *b) {
  UidSet *rest = uid_set_new();
  size_t hole = 0;
  for (size_t i = 0; i < a->ranges->len; i++) {
    uint64_t first = range_at(a, i)->first, last = range_at(a, i)->last;
    while (hole < b->ranges->len && range_at(b, hole)->last < first)
      hole++;
    for (size_t j = hole; j < b->ranges->len && range_at(b, j)->first <= last; j++) {
      if (range_at(b, j)->first > first)
        uid_set_add_range(rest, (uint32_t)first, range_at(b, j)->first - 1);
      first = (uint64_t)range_at(b, j)->last + 1;
    }
    if (first <= last) uid_set_add_range(rest, (uint32_t)first, (uint32_t)last);
  }
  return rest;
}

char *uid_set_format(const UidSet *set, size_t *next, size_t max_bytes) {
  if (*next >= set->ranges->len) return NULL;
  g_autoptr(GString) text = g_string_new(NULL);
  for (; *next < set->ranges->len; (*next)++) {
    const UidRange *range = range_at(set, *next);
    char piece[sizeof ",4294967295:4294967295"];
    int size =
        range->first == range->last
            ? snprintf(piece, sizeof piece, ",%" PRIu32, range->first)
            : snprintf(piece, sizeof piece, ",%" PRIu32 ":%" PRIu32, range->first, range->last);
    size_t skip = text->len == 0 ? 1 : 0;
    // One range always fits, so that a caller's loop ends.
    if (text->len > 0 && text->len + (size_t)size > max_bytes) break;
    g_string_append(text, piece + skip);
  }
  return g_string_free(g_steal_pointer(&text), FALSE);
}

// An nz-number of 32 bits (RFC 3501 section 9); 0 if there is none.
static uint32_t take_uid(const char **at) {
  uint64_t uid = 0;
  if (**at == '0') return 0;
  for (; g_ascii_isdigit(**at); (*at)++) {
    uid = uid * 10 + (uint64_t)(**at - '0');
    if (uid > UINT32_MAX) return 0;
  }
  return (uint32_t)uid;
}

static bool take_range(const char **at, UidRange *range) {
  range->first = range->last = take_uid(at);
  if (range->first == 0) return false;
  if (**at == ':') {
    (*at)++;
    range->last = take_uid(at);
  }
  return range->last != 0;
}

bool uid_set_parse(UidSet *set, const char *text) {
  g_autoptr(UidSet) found = uid_set_new();
  for (const char *at = text;; at++) {
    UidRange range;
    if (!take_range(&at, &range)) return false;
    uid_set_add_range(found, MIN(range.first, range.last), MAX(range.first, range.last));
    if (*at == '\0') break;
    if (*at != ',') return false;
  }
  for (size_t i = 0; i < found->ranges->len; i++)
    uid_set_add_range(set, range_at(found, i)->first, range_at(found, i)->last);
  return true;
}
