// A Session is one thread with one connection to the account's server: it takes jobs off the board,
// does them in straight blocking code, and posts them back with their results. It connects when a
// job needs it, and once more when a connection turns out to have died meanwhile; it says goodbye
// after some idle minutes and at the end.
//
//   waiting ──job──> (connect) ──> (examine) ──> working ──result──> waiting
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/body.h"
#include "cache/job.h"
#include "cache/queue.h"
#include "cache/sync.h"
#include "net/mailbox.h"

typedef struct Session Session;

// What all sessions of an account share; it outlives them.
typedef struct {
  const Account *account;
  MailboxOpen open_mailbox;
  const char *index_path;
  bool uid_names;
  SyncOptions sync;
  BodyStore *bodies;
  JobBoard *board;
  Post *results;  // takes Jobs
} SessionContext;

// Starts the thread. `number` is its seat on the board.
Session *session_new(const SessionContext *context, unsigned number);
// Interrupts what it is doing. Call job_board_close next, and it ends. Any thread.
void session_cancel(Session *session);
// Waits for the thread's end (about 1 s at most after a cancel).
void session_free(Session *session);
