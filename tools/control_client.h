// A ControlClient is the other end of the control socket: a program that asks a running mailfs. It
// blocks until it is answered, but for EX_TEMPFAIL after half a minute without a byte. Errors are
// an EXIT_ERROR, with the code that mailfs gave.
#pragma once

#include <stdbool.h>

#include <glib.h>
#include <json-glib/json-glib.h>

typedef struct ControlClient ControlClient;

// NULL with EX_UNAVAILABLE: mailfs does not run for that account; EX_TEMPFAIL: it has too many to
// speak to.
ControlClient *control_client_new(const char *account_directory, GError **error);
void control_client_free(ControlClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ControlClient, control_client_free)

// How long it waits for more of an answer from now on; 0: without end.
void control_client_set_patience(ControlClient *client, unsigned seconds);
// Asks; `escaped` is a NAME as control_command.h has it, NULL: of no letter.
bool control_client_ask(ControlClient *client, const char *command, const char *escaped,
                        GError **error);
// The next object of the answer; *done is set with the last. NULL: an error, mailfs's or ours.
JsonObject *control_client_next(ControlClient *client, bool *done, GError **error);

// Tells a mailfs, if one runs, that there are drops. Waits for nothing.
void control_client_tell_drops(const char *account_directory);
