// An ImapSession is the conversation on one logged-in IMAP wire: it numbers commands, sends them,
// hands the server's responses to whoever asked until the tagged reply, and knows what the server
// can do and which folder is open. What the commands mean is not its business.
//
//   CONNECTED ──> AUTHENTICATED <──> EXAMINED
//       └───────────────┴───────────────┴──> CLOSED    by any error of the connection
//
// Owned by one thread, as its wire is. A call that talks blocks until the tagged reply came or the
// wire failed (OFFLINE, TIMEOUT, CANCELLED; OFFLINE for BYE and the end of the stream; PROTOCOL
// when what comes cannot be read).
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "net/imap_command.h"
#include "net/imap_response.h"
#include "net/wire.h"

typedef struct ImapSession ImapSession;

typedef enum {
  IMAP_CONNECTED,      // logged in, capabilities unknown
  IMAP_AUTHENTICATED,  // no folder is open
  IMAP_EXAMINED,       // a folder is open read-only
  IMAP_CLOSED,
} ImapState;

// Is told each event before the tagged reply, asked for or not, and a tagged OK too. After it
// returned false the rest is read without it, and its error is the command's.
typedef bool (*ImapHandler)(const ImapEvent *event, gpointer data, GError **error);
// Is told each untagged event, before whoever asked.
typedef void (*ImapOverhear)(const ImapEvent *event, gpointer data);

// Takes over the wire. `name` begins log lines.
ImapSession *imap_session_new(Wire *wire, const char *name);
// Says LOGOUT unless the session is closed, waits at most 1 s for the answer, closes the wire.
void imap_session_free(ImapSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapSession, imap_session_free)

void imap_session_set_overhear(ImapSession *session, ImapOverhear overhear, gpointer data);

ImapState imap_session_state(const ImapSession *session);
// Moves to a state that the sketch allows; `folder` is the one that is now open, else NULL.
void imap_session_move(ImapSession *session, ImapState state, const char *folder);

// True if the server's last CAPABILITY response named it ("QUOTA"; upper case).
bool imap_session_has(const ImapSession *session, const char *capability);

// Asks for compression (RFC 4978) if this connection has shown to be slow, once, and no command is
// under way. Slow: at least 1 MiB came in streams, at less than 4 MiB/s while they flowed. On a
// faster link deflate would be what is waited for. A server that has none, or refuses, is as good.
bool imap_session_compress_if_slow(ImapSession *session, GError **error);
// True if it will ask as soon as no command is under way.
bool imap_session_would_compress(const ImapSession *session);
// The rule itself.
bool imap_session_is_slow(uint64_t bytes, uint64_t waited_us);

// A command with the next tag, to be completed, sent or run, and freed by the caller.
ImapCommand *imap_session_command(ImapSession *session, const char *words);
// Sends a command that was ended, and waits for no reply; several may be on their way. Waits only
// for the server's agreement to a literal, and for that no other may be on its way.
bool imap_session_send(ImapSession *session, const ImapCommand *command, GError **error);
// A literal that is sent as it is read: `read` as in MailboxAppend.
typedef struct {
  ssize_t (*read)(void *buffer, size_t size, gpointer data, GError **error);
  gpointer data;
  uint64_t size;
  bool is_sent;  // set when all of it may have gone out
} ImapStream;
// The same for a command with a stream (imap_command_add_stream), while no other is on its way.
// What `read` fails with, or another number of bytes than was told, ends the connection.
bool imap_session_send_stream(ImapSession *session, const ImapCommand *command, ImapStream *stream,
                              GError **error);
// Reads the reply to the oldest command that was sent and not received. `handler` may be NULL. NO
// and BAD: see imap_error_set.
bool imap_session_receive(ImapSession *session, ImapHandler handler, gpointer data, GError **error);
// The response code of the reply that was received last ("EXPUNGEISSUED", in upper case), be it OK
// or a refusal; NULL: none. Until the next receive.
const char *imap_session_code(const ImapSession *session);
unsigned imap_session_n_sent(const ImapSession *session);
// Both in one.
bool imap_session_run(ImapSession *session, const ImapCommand *command, ImapHandler handler,
                      gpointer data, GError **error);
// The same for a command of our own words only.
bool imap_session_run_words(ImapSession *session, const char *words, ImapHandler handler,
                            gpointer data, GError **error);

// Waiting for news (RFC 2177). idle_begin sends IDLE and returns when the server agreed; NO and BAD
// are its refusal. From then on listen reads what comes (it goes to `overhear`): at most one event,
// or until the wire is woken or time is over. The IDLE stays on until the next command, which ends
// it on its way, or until the server ends it. No command may be under way.
bool imap_session_idle_begin(ImapSession *session, GError **error);
WireWait imap_session_listen(ImapSession *session, int timeout_ms, GError **error);
// True while the server waits for news.
bool imap_session_is_idle(const ImapSession *session);
// True from the command that ended an IDLE to the IDLE's reply: what comes is of before.
bool imap_session_is_leaving_idle(const ImapSession *session);
