// A FakeServer stands for a submission server: it says for each letter what its script tells it to,
// and keeps what it was given. Its FakeSenders are opened on the courier's thread; a mutex guards
// what the test looks at.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "net/sender.h"

typedef enum {
  FAKE_ACCEPT,
  FAKE_REFUSE,         // 550 for all
  FAKE_REFUSE_SECOND,  // 550 for the second recipient
  FAKE_LATER,          // 451 for all
  FAKE_LATER_SECOND,   // 451 for the second recipient
  FAKE_HANG_UP,        // the connection breaks before the final dot
  FAKE_TAKE_HANG_UP,   // ... after it, with the letter taken
  FAKE_OFFLINE,        // no connection is had
  FAKE_UNREACHABLE,    // ... which is known only after fake_server_go_on
  FAKE_DENIED,         // the login is refused
  FAKE_STALL,          // nothing is said until the waker cancels, or fake_server_go_on
  FAKE_LEAVE,          // 421 for all, and the connection is over; nothing behind it was taken
  FAKE_ONE_ONLY,       // 452 for all but the first recipient
  FAKE_TURN_AWAY,      // ... before anything was said of the letter
  FAKE_DROP,           // the connection breaks there
  FAKE_CONFUSE,        // ... after the end: it answers what nobody asked
  FAKE_TAKE_LEAVE,     // the letter is taken, and the connection over
  FAKE_TAKE_STALL,     // the letter is taken, and as FAKE_STALL before that is said
} FakeStep;

// There is one at a time: sender_open's like has no place for a pointer.
void fake_server_begin(void);
void fake_server_end(void);
// What happens with the next letters, in order; afterwards all are accepted, or meet what was set.
void fake_server_expect(FakeStep step);
void fake_server_set(FakeStep step);
unsigned fake_server_left(void);         // steps that are still to come
unsigned fake_server_count(void);        // letters taken
unsigned fake_server_connections(void);  // connections made
unsigned fake_server_tries(void);        // to make one
// Letters of that sender are turned away, always; lent.
void fake_server_hate(const char *from);
// What the server says from now on of the largest letter it takes.
void fake_server_limit(uint64_t max_size);
// Waits until a letter has met FAKE_STALL.
void fake_server_wait_stalled(void);
// What has stalled is accepted, and so is what stalls later.
void fake_server_go_on(void);
// Only what stalls now is accepted.
void fake_server_go_on_once(void);
// No more connections than that are had at once; 0: any number.
void fake_server_allow(unsigned connections);
unsigned fake_server_most(void);  // connections there were at once
// What is begun of the next letter while this one's answer is awaited; nothing at first.
typedef enum { FAKE_AHEAD_NONE, FAKE_AHEAD_ENVELOPE, FAKE_AHEAD_WHOLE } FakeAhead;
void fake_server_pipeline(FakeAhead ahead);
unsigned fake_server_begun(void);  // letters begun ahead
// "from -> to to\n" and the letter's bytes; newly allocated.
char *fake_server_letter(unsigned i);

// Called on the courier's thread whenever a letter has come that far, with what
// fake_server_letter would tell (FAKE_CONNECTING: NULL).
typedef enum {
  FAKE_CONNECTING,
  FAKE_BEFORE_END,  // its final dot is the next to go
  FAKE_AFTER_END,   // the outbox knows that it goes
  FAKE_TAKEN,       // the server has it, and has not answered yet
} FakeMoment;
typedef void (*FakeWatch)(FakeMoment moment, const char *letter, gpointer data);
void fake_server_watch(FakeWatch watch, gpointer data);

Sender *fake_sender_open(const Account *account, Waker *waker, const char *name, GError **error);
