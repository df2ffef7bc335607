// A Session is one thread with one connection to the account's server: it takes jobs off the board,
// does them in straight blocking code, and posts back what came of them. It connects when a job
// needs it, and once more when a connection turns out to have died meanwhile. With nothing to do it
// watches the server for news, where that can be had; a connection that watches nothing says
// goodbye after having been idle for as long as its kind of store allows, all at the end.
//
// Where the server has no UIDs, numbers hold for a connection only, and it shows the mail of its
// login: bodies are asked for on one that has listed the folder, and a listing that is to be newer
// than the login is had by another login. Where the server wants a pause between logins (RFC 2449
// LOGIN-DELAY), the connection is kept until that is over, and its listing with it: nobody else
// could log in meanwhile. Without it, no login is tried before.
//
//   waiting ──job──> (connect) ──> working ──reports──> waiting
//   watching ──woken or news──> watching
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/body.h"
#include "cache/job_board.h"
#include "cache/queue.h"
#include "cache/sync.h"
#include "net/mailbox.h"

typedef struct Session Session;

// What all sessions of an account share; it outlives them.
typedef struct {
  const Account *account;
  MailboxOpen open_mailbox;
  const MailboxTraits *traits;
  const char *index_path;
  bool uid_names;
  SyncOptions sync;
  uint64_t cache_bytes;  // for all bodies; 0: no limit
  BodyStore *bodies;
  JobBoard *board;
  Post *reports;     // takes Reports
  gint n_connected;  // atomic: sessions that have a connection
  gint n_full;       // atomic: how often the disk was full
  gint progress_s;   // atomic: when bytes of a message came last, monotonic; 0: never
  // Atomic: the directory of bodies that is to be swept next, and how many are.
  gint next_swept, n_swept;
} SessionContext;

// Starts the thread. `number` is its seat on the board.
Session *session_new(SessionContext *context, unsigned number);
// Its connection is not to be trusted any more (the machine slept): it is dropped, and what was
// under way is done again on a new one. Any thread.
void session_renew(Session *session);
// Interrupts what it is doing. Call job_board_close next, and it ends. Any thread.
void session_cancel(Session *session);
// Waits for the thread's end (about 1 s after a cancel, 3 s while the server still sends).
void session_free(Session *session);
