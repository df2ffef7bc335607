// A CtlLine is the command line of mailfsctl, taken apart: switches, a command and its arguments.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "tools/place.h"

typedef enum { CTL_OUTBOX, CTL_FLUSH, CTL_RETRY, CTL_CANCEL } CtlCommand;

// All text is argv's.
typedef struct {
  bool wants_help, wants_version, as_json;
  bool is_escaped;      // the names are, %XX
  const char *account;  // NULL: the only one
  PlaceHints hints;
  CtlCommand command;
  char **names;  // of letters, ended by NULL; if escaped, soundly
} CtlLine;

// Fills the empty `line`. Errors: an EXIT_ERROR with EX_USAGE. Once: it reorders argv.
bool ctl_line_parse(CtlLine *line, int argc, char **argv, GError **error);
const char *ctl_line_help(void);
