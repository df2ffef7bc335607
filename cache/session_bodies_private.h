// What the files of a session's work on bodies share. For cache/session_bodies.c,
// session_delivery.c and session_opening.c only; all of it is the session's thread's.
//
//   session_bodies.c     jobs are asked for, their answers read, and how each of them ends
//   session_delivery.c   the bytes that pass: whose they are, and where they go
//   session_opening.c    what the first bytes of a large message and its end tell of its size
#pragma once

#include "cache/session_private.h"

#define FLIGHTS_MAX MAILBOX_PIPELINE_MAX

// A job whose request was sent and whose answer was not read to its end.
typedef struct {
  Job *job;
  bool anew;         // its folder was looked at again, for the message alone
  bool found_again;  // the messages' numbers were looked up after a listing on this connection
  // What came of a JOB_LARGE or JOB_PART:
  bool told;      // something did
  bool withheld;  // the server names the message, but gives nothing
  bool has_first;
  bool has_tail;
  uint64_t first_bytes;
  GByteArray *tail;  // NULL: none
} Flight;

typedef struct {
  Session *session;
  Flight flights[FLIGHTS_MAX];
  unsigned n_flights;
  // The bytes that pass by now:
  Flight *flight;      // NULL: nobody's
  BodyWriter *writer;  // of a whole body; NULL: parts, or no room
  uint64_t offset;     // of a part, and of its next byte
  uint64_t next;
  uint64_t reported;  // up to where readers were told
  bool is_certain;    // whose the part is
  bool overflowed;    // more came than was asked for
  GError *no_room;
} Delivery;

// Whole messages are asked for, not parts of one.
bool flight_is_whole(const Flight *flight);
// Forgets what came of parts.
void flight_clear(Flight *flight);

// session_delivery.c: reads the answer to the oldest request. The flights stay as they are.
bool delivery_receive(Delivery *delivery, GError **error);
// What came as the first part of a large message is all of it.
void delivery_take_whole(Delivery *delivery, Flight *flight);

// session_opening.c
// The server sent the whole message for its first part: longer than that, and just as announced.
bool opening_is_whole(const Flight *flight);
// The size of a large message from what came of its start and end. False: it has to come whole.
bool opening_tell_size(const Flight *flight);
// Turns the opening of a large message into a job for the whole of it.
void opening_make_whole(const Flight *flight);
// Makes a body of the size that was told of what came, to which its parts can be added. No more
// than `most` is taken of the disk at once (see body_writer_set_size).
void opening_keep(const Flight *flight, uint64_t most);
