// What the files of a session share. For cache/session*.c only; all of it is the session's
// thread's.
#pragma once

#include <stdatomic.h>

#include "cache/index.h"
#include "cache/report.h"
#include "cache/session.h"

struct Session {
  SessionContext *context;
  unsigned number;
  char *name;
  Waker *waker;
  GThread *thread;
  atomic_bool renewed;    // the connection is to be dropped
  atomic_bool is_ending;  // so is the session
  // The thread's own:
  Index *index;
  GError *index_error;    // why there is none
  Mailbox *mailbox;       // NULL: not connected
  int64_t connected_us;   // when it was, monotonic
  int64_t login_from_us;  // it may be made again then: the server wants a pause between logins
  GError *shut;           // why the server let nobody in at the last try; NULL: it was not so
  int64_t shut_until_us;
  bool tells_uid_first;  // the server does, of bodies, as far as it is known on this connection
  char *open_folder;     // NULL: none
  char *sent_folder;     // the server's name of it; NULL: not found on this connection
  int64_t no_sent_us;    // when there was none, monotonic; 0: not looked for
  bool is_synced;        // the index is as new as the open folder
  // How fast the only connection is (session_pace.c).
  int64_t pace_since_us;
  uint64_t pace_bytes, ahead_bytes;
  // As last reported:
  MailboxWatch watch;
  char *watched_folder;  // the one that is open while it watches; NULL: none
};

// session_link.c
// A session that was told to renew its connection was interrupted for that alone: drops it.
void session_renew_now(Session *session);
// For how long the server lets nobody in after our last login; 0: it does.
unsigned session_login_pause_ms(const Session *session);
// False with error, told in the job too: the server cannot be reached, or does not let us in.
bool session_connect(Session *session, Job *job, GError **error);
void session_disconnect(Session *session);
// After an error that ended the connection: whether the job may be tried on a new one. That an old
// connection died while nobody looked is no failure of the job's; having waited for a silent server
// once is enough.
bool session_may_retry(Session *session, Job *job, bool was_connected, const GError *error);
// A server that others are connected to, but has no room for one more (it says so, or hangs up), is
// not out of reach: the others do the job (taken), and this session rests for a while. The first
// session takes only its word for that.
bool session_leave_to_others(Session *session, Job *job, const GError *error);

// session.c
// Another folder is open from now on; NULL: none is known to be.
void session_set_folder(Session *session, const char *folder, bool is_synced);
// Brings a folder up to date and adds to the job's changes; it is open afterwards. BUSY: another
// session is at it.
bool session_sync(Session *session, Job *job, uint64_t folder, GError **error);
void session_report(Session *session, Report *report);
// What is watched from now on, unless that is known.
void session_report_watch(Session *session, MailboxWatch watch, const char *folder);
// The job is done: posts it. Takes it.
void session_finish(Session *session, Job *job);

// session_bodies.c: does `first`, and what else is wanted of its folder meanwhile. Takes it.
void session_do_bodies(Session *session, Job *first);
// session_record.c: what came of a job about bodies goes into the index.
void session_record(Session *session, Job *job);
// The bytes that came are not, or not certainly, those that were here before. To be asked before
// they are recorded.
bool session_is_other(Session *session, const JobBody *body);
// session_room.c: evicts bodies when they are too many; within a transaction.
bool session_make_room(Session *session, GError **error);
// After an error of the index, which is cleared if it is worth another try: the disk was full, and
// now it is less so. Ends a transaction.
bool session_free_room(Session *session, GError **error);
// The body of the same mail in another folder serves for this one too.
bool session_link_twin(Session *session, JobBody *body);
// Puts a large body in its place.
bool session_seal(Session *session, Job *job, GError **error);
// session_sweep.c: for a session with nothing to do: goes a little further through the bodies on
// disk, for those that nobody knows of.
bool session_may_sweep(const Session *session);
void session_sweep(Session *session);
// session_copy.c: puts a letter that was sent into its folder.
bool session_copy(Session *session, Job *job, GError **error);
// session_expunge.c: removes messages for good: those that the server lists just then.
void session_expunge(Session *session, Job *job);
// session_watch.c: waits for work, watching for news where the connection can. False: at once.
bool session_watch(Session *session);

// session_pace.c: how much may be asked for ahead of readers on the only connection: they have to
// wait for it if they want something else. What comes in a moment, at the speed that it came with.
uint64_t session_ahead_bytes(const Session *session);
// Answers are awaited from now on, after none was.
void session_begin_pace(Session *session);
// So much more came, and more is awaited.
void session_keep_pace(Session *session, uint64_t bytes);
