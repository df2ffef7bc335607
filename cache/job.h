// A Job is one thing to ask the server. A job belongs to whoever holds it: the main loop, the board
// (cache/job_board.h), then the session that does it, which sends it back with its result.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "cache/body_writer.h"
#include "cache/changes.h"
#include "cache/copy.h"
#include "net/mailbox.h"

typedef enum {
  JOB_TREE,     // the folder tree
  JOB_SYNC,     // a folder's listing
  JOB_BODIES,   // messages of one folder, whole
  JOB_LARGE,    // a large message: its first part, its end and so its size
  JOB_PART,     // a range of it
  JOB_SEAL,     // all of it is here: put it in its place (asks no server)
  JOB_CONNECT,  // have a connection ready, for what may be wanted soon
  JOB_COPY,     // put a letter that was sent into its folder
  JOB_EXPUNGE,  // remove messages for good
} JobKind;

// In the order in which they are done.
typedef enum {
  JOB_URGENT,   // somebody waits in a call that holds nothing else
  JOB_LISTING,  // trees and listings
  JOB_AHEAD,    // may be wanted next
} JobPriority;

// Of a large message its first bytes come with the opening, and as many as this of its end.
#define JOB_FIRST_BYTES (256 << 10)
#define JOB_TAIL_BYTES (64 << 10)

// One message of a JOB_BODIES.
typedef struct {
  uint64_t ino;
  uint32_t uid;       // 0: it is not in the folder any more, and not to be asked for
  bool has_email_id;  // another folder may have its body already
  bool was_exact;     // its bytes were here once: those that come should be the same
  // The result: `came`, or it could not be had: not there, named without bytes, or no room for it.
  bool came, withheld, no_room;
  bool is_linked;  // it is another message's file too
  uint64_t size;
  uint8_t sha256[BODY_SHA256_BYTES];
  bool on_disk;
} JobBody;

typedef struct {
  JobKind kind;
  JobPriority priority;
  uint64_t ino;         // of the folder, or of the large message; JOB_CONNECT: which session
  char *folder;         // the server's name; NULL: JOB_TREE
  uint64_t folder_ino;  // of messages
  uint32_t uidvalidity;
  GArray *bodies;      // JOB_BODIES: of JobBody
  uint64_t bytes;      // JOB_BODIES fetched ahead: about how many they are
  bool archives;       // JOB_BODIES: they are for the archive
  GPtrArray *ids;      // JOB_EXPUNGE: of messages, strings
  uint32_t uid;        // of the large message
  uint64_t announced;  // JOB_LARGE
  bool was_exact;      // JOB_LARGE: as JobBody's
  MailboxRange range;  // JOB_PART
  Copy *copy;          // JOB_COPY: owned, with its result
  BodyWriter *writer;  // JOB_PART, JOB_SEAL: the main loop's; JOB_LARGE: the result, the job's
  // The result.
  GError *error;           // NULL: done, as far as bodies came
  bool connected;          // the server was reached and let us in
  bool could_not_connect;  // error is of connecting
  unsigned pause_ms;       // the server wants to be left alone for so long; 0: it does not say
  // Error (BUSY): nothing newer can be had on this connection, and no other may be made yet.
  bool is_too_soon;
  Changes *changes;  // of what was synchronised, NULL: nothing
  // JOB_EXPUNGE, also with an error: the ids of those that the server does not have any more, and
  // of those that it may not be asked to remove, since they cannot be told from others.
  GPtrArray *settled, *doubtful;
  uint64_t size;      // JOB_LARGE: exact
  MailboxRange tail;  // JOB_LARGE: the last bytes, which came with the first
  bool is_whole;      // JOB_LARGE: comes whole, by `bodies`, and is told as a body (cache/report.h)
  int fd;             // JOB_SEAL: of the body, the body store's; -1 with error
  bool recorded;      // the index knows of what came
  bool retried;       // the session's own: once more on a new connection
  int64_t pinned_us;  // the board's own: since when it waits there, monotonic
} Job;

Job *job_new(JobKind kind, JobPriority priority, uint64_t ino);
void job_free(Job *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Job, job_free)

bool job_is_about_bodies(const Job *job);
// The message with that UID that has not come yet; NULL: none.
JobBody *job_find_body(const Job *job, uint32_t uid);
