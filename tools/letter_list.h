// The letters of an account, for people and for programs: asked of a running mailfs, else read from
// what lies on the disk.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "tools/place.h"

// Of JsonObject: the members of control_command.h, and `recipients` instead of `envelope_to`, read
// from the letter's header where nothing else is said. *running: whether a mailfs was asked.
// Errors: an EXIT_ERROR, EX_IOERR where the disk cannot be read.
GPtrArray *letter_list_load(const Place *place, bool *running, GError **error);
// To standard output: some lines a letter, or an object a line.
void letter_list_print(GPtrArray *letters, bool as_json);
