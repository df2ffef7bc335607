// How a Thing looks to stat, and which changes of that look are none.
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include <fuse_lowlevel.h>

#include "fs/tree.h"

// Who owns all files, and which permissions nobody gets.
typedef struct {
  uid_t uid;
  gid_t gid;
  mode_t umask;
} Identity;

void attr_fill(const Identity *identity, const Thing *thing, struct stat *attr);
// The answer to a lookup: attributes, and how long the kernel may keep them and the name.
void attr_fill_entry(const Identity *identity, const Thing *thing, struct fuse_entry_param *entry);
// Seconds that the kernel may keep a thing's name and attributes: long for mail, whose changes it
// is told; none in the outbox.
double attr_timeout(const Thing *thing);
// True if setting what `set` (FUSE_SET_ATTR_*) names in `wanted` leaves `now` as it is.
bool attr_is_unchanged(const struct stat *now, const struct stat *wanted, int set);
// What comes of one time in a request to set it: the given one, this moment, or the old one.
int64_t attr_time_ns(const struct timespec *wanted, int64_t old_ns, bool set, bool set_to_now);
