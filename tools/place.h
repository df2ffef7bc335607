// A Place is where an account keeps its letters, for programs that do not mount it: found by the
// account's section, its URL, or what lies in the state directory. Needs no secrets, nor
// that their files are there.
//
// Errors are an EXIT_ERROR: EX_USAGE where more has to be said, EX_CONFIG where there is no such
// account or the configuration is wrong.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct {
  char *account;    // as users name it
  char *directory;  // state_dir/ACCOUNT; need not be there
  char *from;       // the account's own address; NULL: not known
  bool sends;       // it has an smtp=, or has had one
} Place;

void place_free(Place *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Place, place_free)

// Where users keep their accounts, if they say so: NULL for the usual places.
typedef struct {
  const char *config;     // the configuration file
  const char *state_dir;  // instead of what the configuration says
} PlaceHints;

// All accounts that can send: the sections in the order of the file; without a file, the
// directories below the state directory. A section that is wrong is left out and *wrong is its
// error, the first one's of several; what is chosen without it may be the wrong choice. Never
// empty: NULL where none is left.
GPtrArray *places_load(const PlaceHints *hints, GError **wrong, GError **error);
// The one that is named, by section or URL; NULL: the only one that can send, which nobody knows
// where a section is wrong.
Place *place_find(const char *account, const PlaceHints *hints, GError **error);
