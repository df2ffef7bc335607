// A UidSet is a set of message UIDs (RFC 3501 2.3.1.1: 1 to 2^32-1) kept as sorted, disjoint
// ranges: a mailbox of a million messages with few gaps is a few ranges. Values only; the owner's
// thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct UidSet UidSet;
typedef struct {
  uint32_t first, last;  // both belong to it
} UidRange;

UidSet *uid_set_new(void);
void uid_set_free(UidSet *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UidSet, uid_set_free)

// 0 is not a UID and is ignored. Costs O(1) in rising order; what comes in any other is sorted when
// somebody asks, O(log n) for each.
void uid_set_add(UidSet *set, uint32_t uid);
void uid_set_add_range(UidSet *set, uint32_t first, uint32_t last);
bool uid_set_is_empty(const UidSet *set);
bool uid_set_contains(const UidSet *set, uint32_t uid);  // O(log n)
uint64_t uid_set_count(const UidSet *set);
uint32_t uid_set_last(const UidSet *set);  // 0 when empty
size_t uid_set_n_ranges(const UidSet *set);
// How many ranges are in memory: no less than uid_set_n_ranges; more while some that came out of
// order wait to be sorted, which are never more than those that are, and 1,025. O(1).
size_t uid_set_n_kept(const UidSet *set);
UidRange uid_set_range(const UidSet *set, size_t index);

// What is in `a` and not in `b`, as a new set.
UidSet *uid_set_subtract(const UidSet *a, const UidSet *b);

// A set as IMAP writes it (RFC 3501 section 9: sequence-set of UIDs): "41,43:116". So much of it as
// fits into max_bytes, from range `*next` on, which is moved; newly allocated, NULL at the end.
char *uid_set_print(const UidSet *set, size_t *next, size_t max_bytes);
