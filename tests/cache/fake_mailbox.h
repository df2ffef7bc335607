// A mail server in memory, behind the Mailbox contract: the test fills its folders, takes messages
// away, makes calls fail, and holds them back. One server at a time; all functions may be called
// from any thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/mailbox.h"

// Forgets everything: no folder, no failure.
void fake_reset(void);
void fake_add_folder(const char *name, char delimiter, unsigned attributes, uint32_t uidvalidity);
void fake_remove_folder(const char *name);
// Gives the folder another UIDVALIDITY.
void fake_renumber(const char *folder, uint32_t uidvalidity);
// Adds a message with the folder's next UID, which is returned. size_told: RFC822.SIZE as the
// server claims it, -1: the truth.
uint32_t fake_add_message(const char *folder, const char *subject, const char *body,
                          int64_t size_told);
unsigned fake_messages(const char *folder);  // how many it has
bool fake_has_message(const char *folder, uint32_t uid);
bool fake_has_uidl(const char *folder, const char *uidl);
void fake_remove_message(const char *folder, uint32_t uid);
void fake_set_flags(const char *folder, uint32_t uid, const char *flags);
// The message has other bytes from now on, which no honest server's has.
void fake_change_body(const char *folder, uint32_t uid, const char *body);
// The message is listed, but a fetch gives nothing.
void fake_withhold(const char *folder, uint32_t uid);
// POP3: the server refuses the message's header, or does no more.
void fake_refuse_header(const char *folder, uint32_t uid, bool refuses);

// The next so many answers leave the message out, as if it were not there.
void fake_leave_out(const char *folder, uint32_t uid, unsigned times);
// Ways in which this server answers, until the reset.
typedef enum {
  FAKE_UID_LAST = 1 << 0,    // says whose bytes they were behind them
  FAKE_SWAPS = 1 << 1,       // answers the second request before the first
  FAKE_NO_PARTS = 1 << 2,    // sends the whole message for each part
  FAKE_SENDS_MORE = 1 << 3,  // sends all from the start of the first part, of the last one a byte
  FAKE_BREAKS_OFF = 1 << 4,  // POP3: the next update fails behind all messages
  FAKE_NO_TOP = 1 << 5,      // POP3: tells new messages whole
  FAKE_LOSES_NAME = 1 << 6,  // POP3: does not tell of the first message, nor all that is present
} FakeQuirk;
void fake_be(unsigned quirks);

// The server has a name for this mail that is the same in all folders (EMAILID).
void fake_set_email_id(const char *folder, uint32_t uid, const char *email_id);

// A POP3 server calls the message so, in the way of MailboxMessage.id; several may have one.
void fake_set_uidl(const char *folder, uint32_t uid, const char *uidl);

// The next `times` calls of this kind fail with the code. FAKE_FETCH is the reading of a request's
// answer; FAKE_WATCH the beginning of a watch.
typedef enum {
  FAKE_OPEN,
  FAKE_LIST,
  FAKE_UPDATE,
  FAKE_FETCH,
  FAKE_WATCH,
  FAKE_APPEND,
  FAKE_FIND,
  FAKE_EXPUNGE,
  FAKE_N_CALLS
} FakeCall;
void fake_fail(FakeCall call, int code, unsigned times);
// Calls of this kind wait in the server until released.
void fake_hold(FakeCall call);
void fake_release(FakeCall call);
// Blocks until a call of this kind is held.
void fake_await_held(FakeCall call);
unsigned fake_calls(FakeCall call);  // since the reset
uint64_t fake_bytes(void);           // of bodies that were sent, since the reset
// What connections to it can watch from now on (NOTHING after a reset); with a list of the folders'
// states (LIST-STATUS) if told.
void fake_allow_watch(MailboxWatch watch, bool lists_status);
// Blocks until a connection watches.
void fake_await_watch(void);
// Breaks all connections that watch.
void fake_break_watches(void);

// The server keeps what is sent by itself; an APPEND or a removal that fails has been done all the
// same, and the connection does not tell. Both off after a reset.
void fake_keep_sent(bool keeps);
void fake_lose_answers(bool loses);
// All that was appended to the folder, each "flags date bytes;" in order; newly allocated.
char *fake_appended(const char *folder);

// A POP3 server that says that it wants this pause between logins; what it does with those that
// come sooner is the test's business. 0 after a reset.
void fake_delay_logins(unsigned seconds);

// Of POP3 connections: how many requests were under way at once on the newest; and since the reset,
// how many ended, and how many of them with no goodbye, since their waker was cancelled.
unsigned fake_most_requests(void);
unsigned fake_logouts(void);
unsigned fake_cut_goodbyes(void);

Mailbox *fake_mailbox_open(const Account *account, Waker *waker, const char *name, GError **error);
// The same mail as a POP3 server has it: INBOX alone, by one connection at a time (BUSY), which
// sees what was there when it came and knows its messages by UIDs only once they were listed on it.
// It tells ids and headers; the header is the message up to its empty line. Of a message that was
// removed while it was connected it tells nothing.
Mailbox *fake_pop3_open(const Account *account, Waker *waker, const char *name, GError **error);
