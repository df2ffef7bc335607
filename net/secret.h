// A Secret is where a password or an OAuth2 token comes from: a command, a file, the environment or
// what the user typed. The value is fetched when a login needs it and wiped after; only a typed or
// inherited one is kept, in memory that is neither swapped nor dumped. Never logged, never an
// argument.
// Immutable: any thread may ask.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/waker.h"

typedef struct Secret Secret;

typedef enum {
  SECRET_PASSWORD,
  SECRET_TOKEN,  // an OAuth2 bearer token
} SecretKind;

// `command` is run by /bin/sh -c each time, the first line of its output is the secret.
Secret *secret_new_from_command(SecretKind kind, const char *command);
// The first line of the file, read each time. A file that group or others may read is refused at
// once: NULL and NET_ERROR_REFUSED.
Secret *secret_new_from_file(const char *path, GError **error);
// Copies and keeps `value`.
Secret *secret_new_from_value(SecretKind kind, const char *value);
Secret *secret_ref(Secret *secret);
void secret_unref(Secret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Secret, secret_unref)

SecretKind secret_kind(const Secret *secret);
// True where asking again may give another value (a command, a file).
bool secret_is_renewable(const Secret *secret);

// The secret as a string to be given to secret_wipe, or NULL with NET_ERROR_DENIED (command failed,
// empty output, unreadable file; a value with NUL, CR or LF is refused) or CANCELLED. Blocks while
// the command runs, at most 60 s or until `waker` cancels, which kills it. The command's standard
// error is ours. With a terminal it stays in our process group, so that it may ask there; without
// one it gets a group of its own and is killed with all that it started.
char *secret_load(Secret *secret, const Waker *waker, GError **error);
// Overwrites and frees; NULL is fine.
void secret_wipe(char *value);
