#include "net/uid_set.h"

#include <inttypes.h>
#include <string.h>

// How many ranges may wait out of order behind a set of few.
#define MIN_LOOSE 1024

struct UidSet {
  // UidRange. The first n_settled are rising, with at least one missing UID between two; what came
  // out of order stands behind them until somebody asks: in its place it would move all the others.
  GArray *ranges;
  size_t n_settled;
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

static int compare_ranges(const void *a, const void *b) {
  uint32_t first = ((const UidRange *)a)->first, second = ((const UidRange *)b)->first;
  return (first > second) - (first < second);
}

// Puts the range behind the settled ones, or into the last of them; false if it belongs before it.
static bool append_range(UidSet *set, UidRange range) {
  UidRange *last = set->n_settled > 0 ? range_at(set, set->n_settled - 1) : NULL;
  if (last && range.first < last->first) return false;
  if (last && range.first - 1 <= last->last)
    last->last = MAX(last->last, range.last);
  else
    *range_at(set, set->n_settled++) = range;
  return true;
}

// Brings all ranges in order. What is in the set does not change.
static const UidSet *settle(const UidSet *set) {
  UidSet *self = (UidSet *)set;
  guint count = self->ranges->len;
  if (self->n_settled == count) return set;
  g_array_sort(self->ranges, compare_ranges);
  self->n_settled = 0;
  for (guint i = 0; i < count; i++)
    append_range(self, *range_at(self, i));
  g_array_set_size(self->ranges, (guint)self->n_settled);
  return set;
}

void uid_set_add(UidSet *set, uint32_t uid) {
  uid_set_add_range(set, uid, uid);
}

void uid_set_add_range(UidSet *set, uint32_t first, uint32_t last) {
  if (first == 0) first = 1;
  if (last < first) return;
  UidRange range = {first, last};
  bool is_settled = set->n_settled == set->ranges->len;
  g_array_append_val(set->ranges, range);
  if (is_settled && append_range(set, range)) {
    g_array_set_size(set->ranges, (guint)set->n_settled);
    return;
  }
  // The same UIDs said again and again shall not fill the memory.
  if (set->ranges->len - set->n_settled > set->n_settled + MIN_LOOSE) settle(set);
}

bool uid_set_is_empty(const UidSet *set) {
  return set->ranges->len == 0;
}

bool uid_set_contains(const UidSet *set, uint32_t uid) {
  const UidSet *settled = settle(set);
  size_t first = 0, end = settled->n_settled;
  while (first < end) {
    size_t middle = first + (end - first) / 2;
    const UidRange *range = range_at(settled, middle);
    if (uid >= range->first && uid <= range->last) return true;
    if (uid < range->first)
      end = middle;
    else
      first = middle + 1;
  }
  return false;
}

uint64_t uid_set_count(const UidSet *set) {
  const UidSet *settled = settle(set);
  uint64_t count = 0;
  for (size_t i = 0; i < settled->n_settled; i++)
    count += (uint64_t)range_at(settled, i)->last - range_at(settled, i)->first + 1;
  return count;
}

uint32_t uid_set_last(const UidSet *set) {
  size_t count = settle(set)->n_settled;
  return count > 0 ? range_at(set, count - 1)->last : 0;
}

size_t uid_set_n_ranges(const UidSet *set) {
  return settle(set)->n_settled;
}

size_t uid_set_n_kept(const UidSet *set) {
  return set->ranges->len;
}

UidRange uid_set_range(const UidSet *set, size_t index) {
  const UidSet *settled = settle(set);
  g_assert(index < settled->n_settled);
  return *range_at(settled, index);
}

UidSet *uid_set_subtract(const UidSet *a, const UidSet *b) {
  UidSet *rest = uid_set_new();
  size_t hole = 0, n_holes = settle(b)->n_settled, n_ranges = settle(a)->n_settled;
  for (size_t i = 0; i < n_ranges; i++) {
    uint64_t first = range_at(a, i)->first, last = range_at(a, i)->last;
    while (hole < n_holes && range_at(b, hole)->last < first)
      hole++;
    for (size_t j = hole; j < n_holes && range_at(b, j)->first <= last; j++) {
      if (range_at(b, j)->first > first)
        uid_set_add_range(rest, (uint32_t)first, range_at(b, j)->first - 1);
      first = (uint64_t)range_at(b, j)->last + 1;
    }
    if (first <= last) uid_set_add_range(rest, (uint32_t)first, (uint32_t)last);
  }
  return rest;
}

char *uid_set_print(const UidSet *set, size_t *next, size_t max_bytes) {
  g_autoptr(GString) text = g_string_new(NULL);
  for (; *next < uid_set_n_ranges(set); (*next)++) {
    UidRange range = uid_set_range(set, *next);
    char word[32];
    if (range.first == range.last)
      g_snprintf(word, sizeof word, "%" PRIu32, range.first);
    else
      g_snprintf(word, sizeof word, "%" PRIu32 ":%" PRIu32, range.first, range.last);
    if (text->len > 0 && text->len + strlen(word) + 1 > max_bytes) break;
    if (text->len > 0) g_string_append_c(text, ',');
    g_string_append(text, word);
  }
  return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}
