// The CommandLine is what the user typed, taken apart and not yet understood: switches, the
// arguments of -o, and one or two words.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct {
  bool wants_help, wants_version;
  bool stays_in_foreground;  // -f, and with -d
  bool shows_debug;
  GPtrArray *lists;  // of char *: the arguments of -o
  char *account;     // a section's name or a URL; NULL: the configuration's only section
  char *mountpoint;  // NULL only where help or the version is wanted
} CommandLine;

// Fills the empty `line`; options and words may come in any order, `--` ends the options. Errors:
// an EXIT_ERROR with EX_USAGE. Call it once: it reorders argv.
bool command_line_parse(CommandLine *line, int argc, char **argv, GError **error);
void command_line_clear(CommandLine *line);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CommandLine, command_line_clear)

// What --help says above the table of keys.
const char *command_line_help(void);
