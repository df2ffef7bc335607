// A CrashStory is told again and again in an empty directory, each time by a process that ends one
// step later (see crash_disk.h), until it comes to its end. After each, other processes start on
// what is left there and look at it; every other time, one of them is ended before.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "crash_disk.h"

// One that starts again.
typedef struct {
  unsigned step;    // at which the story ended
  unsigned number;  // from 1; 0: it may be ended itself
  bool is_exact;    // all that was done until then is there, and nothing else
} CrashStart;

typedef struct {
  unsigned steps_min;  // it has more of them; fewer, and the disk is not watched
  unsigned starts;     // how many look at what is left
  size_t known_size;
  gpointer data;  // for the following, each called in a process of its own
  // Before all others. `known` is shared by the processes of one telling, zeros at first: what the
  // world outside knows.
  void (*begin)(gpointer data, gpointer known, const char *directory);
  void (*prepare)(gpointer data);  // what is there before the story; NULL: nothing
  void (*tell)(gpointer data);
  void (*start_again)(gpointer data, const CrashStart *start);
} CrashStory;

// Adds a test for each kind of crash. The story outlives them.
void crash_story_add(const char *path, const CrashStory *story);
