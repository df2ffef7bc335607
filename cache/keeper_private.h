// What the files of the keeper share. For cache/keeper*.c only.
//
//   keeper.c           its life, and whose turn it is
//   keeper_removal.c   what users removed
//   keeper_round.c     what goes into the archive
#pragma once

#include "cache/keeper.h"
#include "cache/queue.h"

struct Keeper {
  char *ledger_path, *index_path, *owner;
  bool keeps_forever;
  Ledger *ledger;  // the thread's, once it runs; NULL: the disk was too full to make one
  Archive *archive;
  BodyStore *bodies;
  GHashTable *lamented;  // inos of bodies that cannot be read, nor fetched again: told
  GPtrArray *removals;
  Queue *jobs;
  Post *answers;
  GThread *thread;
  gpointer data;
};

// Each fills in the outcome. keeper_remove: of all of them in one commit.
void keeper_remove(Keeper *keeper, KeeperJob *const *jobs, unsigned count);
void keeper_settle(Keeper *keeper, KeeperJob *job);
void keeper_show(Keeper *keeper, KeeperJob *job);
void keeper_archive_round(Keeper *keeper, KeeperJob *job);
