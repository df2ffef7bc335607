// A Drop is a committed letter that another program has put beside the outbox, in
// state_dir/ACCOUNT/incoming/ (0700), whether mailfs runs or not. It is two files:
//
//   ID.eml   the letter's bytes, on disk first
//   ID.drop  its envelope, a GKeyFile; written as ID.new, on disk, and then renamed
//
// The rename is the commit. A .eml or .new without its .drop is nobody's; it is swept away when it
// is a day old and its writer is gone. The outbox takes a drop by linking the .eml into letters/,
// and removes the .drop before it sends the letter.
//
// This is the reader's half, for one thread at a time; the writer's is drop_writer.h. Errors are an
// OUTBOX_ERROR with an errno.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/envelope.h"

#define DROP_DIRECTORY "incoming"
#define DROP_LETTER ".eml"
#define DROP_ENVELOPE ".drop"
#define DROP_UNFINISHED ".new"

typedef struct {
  char *id;
  char *name;  // how the letter is to be called; NULL: it was not said
  Envelope envelope;
  char *broken;  // NULL; else why the envelope cannot be used: it is empty then
} Drop;

void drop_free(Drop *drop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Drop, drop_free)

// The directory in state_dir/ACCOUNT, made (with those above it) durably if it is missing: its
// descriptor, or -1. EACCES if it is not ours alone to write to.
int drop_directory_open(const char *account_directory, GError **error);
// The same where it is, without making it: -1 if there is none.
int drop_directory_find(const char *account_directory);
// At most `max` ids of drops (char *), by rising id, those after `after` (NULL: all).
GPtrArray *drop_list(int directory_fd, const char *after, unsigned max, GError **error);
// Never fails: see `broken`.
Drop *drop_read(int directory_fd, const char *id);
// "ID.eml" and so on.
char *drop_file_name(const char *id, const char *suffix);
// Takes away what no drop needs any more.
void drop_sweep(int directory_fd);
