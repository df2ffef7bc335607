// A Mount is the running program: the directories' locks, the store, the outbox, the file system
// and the main loop that carries them, from the first login to the orderly end.
#pragma once

#include "tools/daemon.h"
#include "tools/settings.h"

// Logs in, mounts, serves until the mount is gone or a signal (SIGTERM, SIGINT, SIGHUP) ends it,
// and puts everything away. Once the mount answers, `daemon` (NULL: in the foreground) becomes
// ready. Returns the exit code; a failure was reported in one line.
int mount_run(const Settings *settings, Daemon *daemon);
