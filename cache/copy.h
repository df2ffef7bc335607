// A Copy is one letter that was sent, on its way into a folder of its sender's: where it goes, its
// bytes, and what came of the try. A value: it belongs to whoever holds it, the main loop or the
// session that does it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/letter.h"

typedef enum {
  COPY_SAVED,
  COPY_FOUND,     // it was there already
  COPY_ABSENT,    // looked for only, and not there
  COPY_UNWANTED,  // the server has no folder for it, or keeps copies by itself
} CopyOutcome;

typedef struct Copy Copy;
typedef void (*CopyDone)(const Copy *copy, const GError *error, gpointer data);

struct Copy {
  char *folder;      // as the mount shows it; NULL: the one that the server has for sent mail
  bool looks_first;  // a try before may have saved it
  bool only_looks;   // and it was perhaps not sent at all; a server that keeps copies will know
  int fd;            // of the letter's file
  int64_t sent_at;   // seconds since 1970
  // As in the LetterDefaults with which it was sent; owned.
  char *from, *message_id, *envelope_from;
  char **recipients;
  int64_t date;
  // The result, unless the job has an error.
  CopyOutcome outcome;
  bool uncertain;  // with an error: the server may have it
  CopyDone done;   // whom the store tells, on the main loop
  gpointer data;
};

// Of a letter sent now, with copies of `defaults` and of the descriptor.
Copy *copy_new(const char *folder, int fd, const LetterDefaults *defaults);
// As the letter was sent. Blocks on the disk.
Letter *copy_read(const Copy *copy, GError **error);
void copy_free(Copy *copy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Copy, copy_free)
