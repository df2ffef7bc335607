// From the text of an option to its value. Pure but for paths (the home directory) and secret files
// (which are looked at).
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "tools/options.h"

// Parses `text` as the option's kind has it and puts it into *field, whose type is that of the
// option's member in Options; what was there is freed. Relative paths start at `directory`. On
// error (EXIT_ERROR, EX_CONFIG, without the key's name) *field is as before.
bool option_value_parse(const Option *option, const char *text, const char *directory, void *field,
                        GError **error);
// Frees what a field of this option holds.
void option_value_clear(const Option *option, void *field);
