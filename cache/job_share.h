// A JobShare says which of an account's jobs are one session's: the first one keeps the tree and
// the listings, and watches for news; with two or more, only the others fetch bodies; with three or
// more, the second one is kept for readers who wait, so that neither a long listing nor what is
// fetched ahead holds them up, and the rest do all that is left. The tree and the inbox are the
// first one's alone. Where one connection watches one folder only, the first keeps to the inbox,
// and the rest watch what they synchronised. A plain value.
#pragma once

#include <stdbool.h>

#include "cache/job.h"

typedef struct {
  unsigned session;
  unsigned rank, n;       // its place among those that get jobs, and how many they are
  bool spreads_listings;  // each connection watches one folder
} JobShare;

bool job_share_has(const JobShare *share, const Job *job);
