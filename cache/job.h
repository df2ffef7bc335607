// A Job is one thing to ask the server; a JobBoard is where the main loop pins jobs up and session
// threads take them. A job belongs to whoever holds it: the main loop, the board, then the session,
// which sends it back with its result.
//
// Which session may take what: the first one keeps the tree and the listings; with more than one,
// the second only fetches, so that no listing, however long, holds up a reader; the rest do both.
// A session is chosen that has the job's folder open, else the first idle one, so that connections
// are not opened without need.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/changes.h"

typedef enum {
  JOB_TREE,   // the folder tree
  JOB_SYNC,   // a folder's listing
  JOB_FETCH,  // a message's body
} JobKind;

typedef struct {
  JobKind kind;
  uint64_t ino;  // of the folder or message
  // JOB_FETCH: where it is.
  char *folder;  // JOB_SYNC too: the server's name
  uint32_t uidvalidity, uid;
  // The result.
  GError *error;           // NULL: done
  bool connected;          // the server was reached and let us in
  bool could_not_connect;  // error is of connecting
  Changes *changes;        // JOB_TREE, JOB_SYNC
  int fd;                  // JOB_FETCH: the body (see body.h); -1 with error
  uint64_t size;
  bool recorded;  // the index knows the size
} Job;

Job *job_new(JobKind kind, uint64_t ino);
// Does not close fd, which is the body store's.
void job_free(Job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)

typedef struct JobBoard JobBoard;

JobBoard *job_board_new(unsigned n_sessions);
// No session may be left; frees the jobs that nobody took.
void job_board_free(JobBoard *board);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JobBoard, job_board_free)

// Takes the job; any thread, as are the next three.
void job_board_push(JobBoard *board, Job *job);
// Takes the job back if no session has it yet.
bool job_board_withdraw(JobBoard *board, Job *job);
// Takes any job back, the oldest first; NULL: none is left.
Job *job_board_withdraw_any(JobBoard *board);
// Ends all waits; nothing is handed out any more.
void job_board_close(JobBoard *board);

// The session's thread: waits for a job, preferring one of `open_folder` (may be NULL; it is read
// until this returns). NULL when the board is closed or timeout_ms (-1: never) is over.
Job *job_board_take(JobBoard *board, unsigned session, const char *open_folder, int timeout_ms);
bool job_board_is_closed(JobBoard *board);
