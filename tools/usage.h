// What is wrong with how a program was called, told in one way by all of them: an EXIT_ERROR of
// code EX_USAGE that names the program's --help.
#pragma once

#include <stdbool.h>

#include <glib.h>

// Always false.
bool usage_refuse(GError **error, const char *program, const char *format, ...) G_GNUC_PRINTF(3, 4);
// The same for what getopt_long answered to an option: ':' or '?'.
bool usage_refuse_option(GError **error, const char *program, int letter, const char *name);
// The option that getopt_long stands at, without what may follow it: that could be a password put
// where none belongs. Long options have values of `first_long` and above, or those of letters.
char *usage_option_name(char **argv, int first_long);
