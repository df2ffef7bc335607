// What the files of the store share. For cache/store*.c only.
#pragma once

#include "cache/body.h"
#include "cache/index.h"
#include "cache/job.h"
#include "cache/queue.h"
#include "cache/session.h"
#include "cache/store.h"

struct Store {
  char *directory, *index_path;
  char *reserved;
  char **folders;
  unsigned refresh_s, n_sessions;
  Index *index;  // for reading
  BodyStore *bodies;
  JobBoard *board;
  Post *results;
  SessionContext context;
  Session **sessions;  // NULL: not started
  StoreListener listener;
  gpointer listener_data;
  GHashTable *syncs, *fetches;  // ino -> Work
  GHashTable *sizes;            // ino -> size that the index had no room for
  GHashTable *unfetchable;      // ino -> until when, monotonic microseconds
  bool was_online;              // at least once
  GError *problem;              // why the last try to connect failed; NULL: it did not
  int64_t retry_at_us;
  unsigned retry_s;
};

// store_ask.c: takes a Job with its result from the post.
void store_take_result(gpointer job, gpointer store);
// Frees the Work in the tables above.
void store_free_work(gpointer work);
