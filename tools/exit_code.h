// What a program's end tells its caller: exit codes as sysexits.h has them. This is the only table
// from GError to exit code.
//
//   64 usage   68 host unknown   69 unavailable   70 ended by a signal   71 system   73 cannot
//   mount or make a directory   75 in use, interrupted   77 refused or not trusted   78
//   configuration
#pragma once

#include <sysexits.h>

#include <glib.h>

// For what only a program knows (how it was called, how it is configured): the code is the exit
// code itself.
#define EXIT_ERROR exit_error_quark()
GQuark exit_error_quark(void);

// Never 0, whatever the error.
int exit_code(const GError *error);
// Logs the error's message as the one line the user gets, and returns its exit code.
int exit_report(const GError *error);
