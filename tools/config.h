// A Config is the configuration file: a GKeyFile with a section an account, whose keys are those of
// the options table. Since it names commands to run, it must be a regular file of the user's that
// nobody else may write.
//
// All errors are an EXIT_ERROR with EX_CONFIG and begin with the file's path, and the line where
// there is one: "PATH:7: refresh: 'often' is not a time ...".
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "tools/options.h"

typedef struct Config Config;

// $XDG_CONFIG_HOME/mailfs/config.
char *config_default_path(void);

// Reads the file (blocking, at most 1 MiB of it). Keys are looked for in the table in all sections,
// values are only read by config_apply.
Config *config_load(const char *path, GError **error);
void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

// The sections, in the order of the file, NULL at the end; the config's.
const char *const *config_sections(const Config *config);
// Sets what the section says. No such section is an error. Relative paths start at the file's
// directory.
bool config_apply(const Config *config, const char *section, Options *options, GError **error);
