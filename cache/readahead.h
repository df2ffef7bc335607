// A ReadAhead watches which messages of a folder are opened, and tells which will be wanted next.
// It knows readers by their steps alone: whoever opens a third message close behind the second and
// the first, in the order of inodes (ls -U, cp, tar, grep), of names (rsync, shell globs) or of
// UIDs, is a stream; many may pass through one folder.
//
//   messages:  . . r r r [a a a a a a a a] . . . .
//                      │  └─ asked for ahead ─┘└── frontier
//                      └── where the reader is
//
// What is ahead of a reader begins small and doubles while he goes on, up to a limit for all
// streams together; when he stops, nothing more is asked for. A value of the main loop's; reads the
// index.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/index.h"

typedef struct ReadAhead ReadAhead;

typedef struct {
  // Whether a message that follows has to be fetched; false: it is here, under way, or not for
  // this.
  bool (*is_wanted)(const IndexStep *step, gpointer data);
  // These are to be fetched now, in the reader's order; window_bytes is how far ahead the stream
  // is.
  void (*fetch)(uint64_t folder, const IndexStep *steps, unsigned n, uint64_t window_bytes,
                gpointer data);
  gpointer data;
} ReadAheadFuncs;

ReadAhead *readahead_new(Index *index, uint64_t max_bytes, const ReadAheadFuncs *funcs);
void readahead_free(ReadAhead *ahead);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ReadAhead, readahead_free)

// A reader opened a message whose body had to be fetched.
void readahead_missed(ReadAhead *ahead, uint64_t folder, uint64_t ino);
// He found the body here: costs nothing unless it was asked for ahead.
void readahead_found(ReadAhead *ahead, uint64_t ino);
