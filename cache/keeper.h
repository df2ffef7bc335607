// The Keeper is the thread that waits for the disk where mail is concerned that must survive: it
// owns the ledger and the archive, and does what the main loop asks for in order. Removals that
// wait when it comes round share one commit.
//
//   KEEPER_REMOVE     hidden in the index ──> noted in the ledger ──> out of the archive
//   KEEPER_SETTLE     gone in the index ──> the ledger's note goes
//   KEEPER_SHOW       the ledger's note goes ──> shown in the index
//   KEEPER_ARCHIVE    bodies into the archive ──> marked in the index ──> rows in the ledger
//                     ──> bodies out of the cache
//
// What is answered without error is on disk. A crash between two steps is mended at the next start:
// the ledger says what is. Errors are a LEDGER_ERROR.
//
// Mail that the server calls anew, as it does with one of several it called the same when another
// of them is gone, is known by its bytes: the one in the archive is then the one that is listed.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/archive.h"
#include "cache/body.h"
#include "cache/index.h"
#include "cache/ledger.h"

typedef struct Keeper Keeper;

typedef enum { KEEPER_REMOVE, KEEPER_SETTLE, KEEPER_SHOW, KEEPER_ARCHIVE } KeeperTask;

// One thing to do, and later its outcome. Belongs to whoever holds it.
typedef struct KeeperJob {
  KeeperTask task;
  uint64_t ino;    // REMOVE
  GPtrArray *ids;  // SETTLE, SHOW: of strings, owned
  // ARCHIVE: all that is here of what follows `after`, by ino; until so much is found that is not.
  // What lies at or before `asked` is not told as missing.
  uint64_t after, asked;
  uint64_t most_bytes;
  GHashTable *held;  // ino -> a descriptor + 1 of its body, open until the answer; NULL: none
  void (*done)(struct KeeperJob *job, gpointer data);
  gpointer done_data;
  GDestroyNotify free_done_data;  // of what nobody took; NULL: nothing is to be freed

  // The outcome.
  GError *error;    // REMOVE: ENOENT, ENOTSUP as in ledger_id_of
  char *id;         // REMOVE
  GArray *missing;  // ARCHIVE: of IndexStep, without their size_exact
  unsigned n_kept;  // ARCHIVE: how many it took
  // ARCHIVE: of uint64_t: of messages that were found to be others that the archive has, and that
  // are gone.
  GArray *recognised;
  uint64_t reached;  // ARCHIVE: the last that was looked at
  bool is_end;       // ARCHIVE: nothing follows
} KeeperJob;

KeeperJob *keeper_job_new(KeeperTask task);
void keeper_job_free(KeeperJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeeperJob, keeper_job_free)

typedef struct {
  const char *directory;   // the account's state directory
  const char *owner;       // whose mail it is: user@host
  bool keeps_forever;      // what is here stays until it is archived
  const char *index_path;  // of an index that exists, and that nobody else uses yet
  const char *reserved;    // a name that no folder may have; NULL: none
  BodyStore *bodies;       // stays the caller's
  GMainContext *context;   // where answers are given
  gpointer data;           // for `done`
} KeeperOptions;

// Opens what lies in the state directory or makes it, brings the index in line with it, and starts
// the thread. What cannot be read is left as it is: EIO. Also where the archive has bodies and the
// ledger is lost, or where either is of another owner's mail. What the ledger knows and the archive
// has not, and the other way round, is told in the log. Where the disk is too full to make a
// ledger, it is made as soon as something is to be kept and there is room: ENOSPC until then.
Keeper *keeper_new(const KeeperOptions *options, GError **error);
// Does what was asked for, ends the thread, frees answers nobody has taken.
void keeper_free(Keeper *keeper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Keeper, keeper_free)
// The ids of removals that are not settled, as of keeper_new: strings, the caller's.
GPtrArray *keeper_take_removals(Keeper *keeper);
// Takes the job.
void keeper_push(Keeper *keeper, KeeperJob *job);
// For reading: archive_open.
Archive *keeper_archive(Keeper *keeper);
