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

// Takes over the wire. `name` begins log lines.
ImapSession *imap_session_new(Wire *wire, const char *name);
// Says LOGOUT unless the session is closed, waits at most 1 s for the answer, closes the wire.
void imap_session_free(ImapSession *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapSession, imap_session_free)

ImapState imap_session_state(const ImapSession *session);
// Moves to a state that the sketch allows; `folder` is the one that is now open, else NULL.
void imap_session_move(ImapSession *session, ImapState state, const char *folder);

// True if the server's last CAPABILITY response named it ("QUOTA"; upper case).
bool imap_session_has(const ImapSession *session, const char *capability);

// A command with the next tag, to be completed, run and freed by the caller.
ImapCommand *imap_session_command(ImapSession *session, const char *words);
// Runs a command that was ended. `handler` may be NULL. NO and BAD: see imap_error_set.
bool imap_session_run(ImapSession *session, const ImapCommand *command, ImapHandler handler,
                      gpointer data, GError **error);
// The same for a command of our own words only.
bool imap_session_run_words(ImapSession *session, const char *words, ImapHandler handler,
                            gpointer data, GError **error);
