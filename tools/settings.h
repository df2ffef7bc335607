// The Settings of a mount: what the options come to, as the rooms below want it. Made once before
// the fork, read-only from then on.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "fs/filesystem.h"
#include "net/account.h"
#include "tools/options.h"

typedef struct {
  const Options *options;
  Account *mailbox;         // IMAP or POP3, without its secret (see credentials.h)
  Account *smtp;            // NULL: nothing can be sent
  const char *outbox_name;  // NULL exactly if smtp is
  char *from;               // sender of letters without one
  bool keeps_sent;          // a copy of what was sent
  const char *sent_folder;  // where; NULL: in the server's own folder for it
  char *cache_directory;    // the account's own, below cache_dir
  char *state_directory;    // the account's own, below state_root
  char *state_root;
  char *source;        // what mount shows
  char *mountpoint;    // absolute, or /dev/fd/N
  char *fuse_options;  // NULL: none
  bool debug;
} Settings;

// `section`: the name of the account's section, NULL: it was given as a URL. `mountpoint` as the
// user wrote it; it must be a directory (or a dead mount); NULL: nothing is to be mounted. The
// options must live as long. Errors: an EXIT_ERROR, EX_CONFIG where options contradict each other
// or ask for what the account's kind of store cannot do, EX_USAGE for the mount point.
Settings *settings_new(const char *section, const char *mountpoint, const Options *options,
                       GError **error);
void settings_free(Settings *settings);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Settings, settings_free)
