// A JobBoard is where the main loop pins up jobs and session threads take them.
//
// Which session may take what is said by its JobShare. A session is chosen that has the job's
// folder open, else the first idle one, so that connections are not opened without need; who was
// woken for a job gets it, if he comes at once. A session goes on with the folder that it has open,
// but not for long while jobs of others wait.
//
// A session that the server has no connection for is barred for a while; the others take its part.
// Any thread may call what does not name a session; the rest is for that session's thread.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/job.h"
#include "net/waker.h"

typedef struct JobBoard JobBoard;

JobBoard *job_board_new(unsigned n_sessions);
// No session may be left; frees the jobs that nobody took.
void job_board_free(JobBoard *board);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JobBoard, job_board_free)

// Takes the job.
void job_board_push(JobBoard *board, Job *job);
// Takes the job back if no session has it yet.
bool job_board_withdraw(JobBoard *board, Job *job);
// Somebody waits now for a part of the message (JOB_PART) in this range: what was to be fetched
// ahead of a reader is urgent.
void job_board_hasten(JobBoard *board, uint64_t ino, MailboxRange range);
// Takes any job back, the oldest first; NULL: none is left.
Job *job_board_withdraw_any(JobBoard *board);
// Ends all waits; nothing is handed out any more.
void job_board_close(JobBoard *board);
bool job_board_is_closed(JobBoard *board);
// Each connection watches one folder (see JobShare).
void job_board_spread_listings(JobBoard *board);

// Waits for a job, preferring one of `open_folder` (may be NULL; it is read until this returns).
// NULL when the board is closed or timeout_ms (-1: never) is over.
Job *job_board_take(JobBoard *board, unsigned session, const char *open_folder, int timeout_ms);
// A further job about bodies of that folder, without waiting; NULL: none, or somebody waits for
// another folder, or it would be fetched ahead and has more bytes than `ahead_room`.
Job *job_board_take_more(JobBoard *board, unsigned session, const char *folder,
                         uint64_t ahead_room);
// For a session that waits elsewhere: `waker` is woken when there is a job for it. False: there is
// one now. Until job_board_come_back.
bool job_board_go_away(JobBoard *board, unsigned session, const char *open_folder, Waker *waker);
void job_board_come_back(JobBoard *board, unsigned session);
// The session gets no jobs for so long; false: it is the last one that does.
bool job_board_bar(JobBoard *board, unsigned session, unsigned seconds);
// Whether the session is the first of those that are not barred.
bool job_board_is_first(JobBoard *board, unsigned session);
// There may be connections for all again.
void job_board_unbar(JobBoard *board);

// One synchronisation of a folder at a time: false while another session has it.
bool job_board_claim(JobBoard *board, uint64_t folder);
void job_board_unclaim(JobBoard *board, uint64_t folder);
