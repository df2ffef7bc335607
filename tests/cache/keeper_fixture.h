// What the tests of the keeper share: an index of an INBOX with messages as a store without UIDs
// has them, their bodies in the cache, a keeper beside them, and a main loop for its answers.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/keeper.h"

typedef struct {
  char *directory, *index_path;  // with cache/ and state/
  GMainContext *context;
  BodyStore *bodies;
  Keeper *keeper;
  // Of the next start.
  const char *owner;
  bool keeps_forever;
  // Of the next listing.
  bool lists_anew;         // the server calls what it lists anew
  const char *message_id;  // of what is new; NULL: none
} KeeperFixture;

// In a directory of its own; no keeper runs yet.
void keeper_set_up(KeeperFixture *fixture, gconstpointer data);
void keeper_tear_down(KeeperFixture *fixture, gconstpointer data);
// The same in a directory that is there, with what it has.
void keeper_fixture_in(KeeperFixture *fixture, const char *directory);
void keeper_fixture_clear(KeeperFixture *fixture);

// NULL: it will not start.
Keeper *keeper_try(KeeperFixture *fixture, GError **error);
void keeper_start(KeeperFixture *fixture);
void keeper_stop(KeeperFixture *fixture);
// Deletes the cache and makes an empty one; no keeper may run.
void keeper_wipe_cache(KeeperFixture *fixture);

// The server lists these ids now (NULL at the end), each a message with that subject; the index is
// brought up to date as a synchronisation does it.
void keeper_list(KeeperFixture *fixture, const char *const *ids);
// The body that a message of that id has; the caller's.
char *keeper_body_of(const char *id);
// The message's body comes into the cache; or what another one's would be; or these bytes.
void keeper_bring_body(KeeperFixture *fixture, const char *id);
void keeper_bring_as(KeeperFixture *fixture, const char *id, const char *other_id);
void keeper_bring_bytes(KeeperFixture *fixture, const char *id, const char *bytes, bool on_disk);
// Inode of a message, shown or hidden; 0: none.
uint64_t keeper_find(KeeperFixture *fixture, const char *id);

// Does a job and waits for it; the caller's.
KeeperJob *keeper_do(KeeperFixture *fixture, KeeperJob *job);
// A removal by id; the errno, 0: none.
int keeper_remove_one(KeeperFixture *fixture, const char *id);
void keeper_end_one(KeeperFixture *fixture, KeeperTask task, const char *id);
KeeperJob *keeper_archive_all(KeeperFixture *fixture);

// The ids of what INBOX shows, each followed by a space; the caller's.
char *keeper_shown(KeeperFixture *fixture);
// The ids of removals as of the start, each followed by a space; the caller's. Once.
char *keeper_removals(KeeperFixture *fixture);
// The archive has the message's very bytes.
bool keeper_has(KeeperFixture *fixture, const char *id);
