// The inside of an ImapSession, for the files that each hold a part of it. For net/imap_session.c,
// net/imap_idle.c and net/imap_compress.c only.
#pragma once

#include "net/imap_session.h"

// A command on its way. A server that works on several at once may end a later one first.
typedef struct {
  char *tag;
  bool is_idle;  // an IDLE, whose reply nobody asks for
  bool ended;
  char *code;  // of the reply; NULL: none
  GError *refusal;
} ImapSent;

struct ImapSession {
  Wire *wire;
  char *name;
  ImapParser *parser;
  char *buffer;
  unsigned last_tag;
  GHashTable *capabilities;  // in upper case
  ImapState state;
  // How fast bytes flow: not counting the first of each reply, which waits for the server.
  bool is_flowing;
  uint64_t flowed_bytes, flowed_us;
  bool was_compressed;    // or refused
  bool is_cancelled;      // while an answer was awaited: the server can still be told the end
  GQueue sent;            // of ImapSent, oldest first
  char *code;             // of the reply that was received last
  ImapSent *idle;         // the IDLE that is on and not ended by a command yet; NULL: none
  ImapOverhear overhear;  // NULL: nobody
  gpointer overhear_data;
};

// Whoever is told what comes.
typedef struct {
  ImapHandler handler;  // NULL from the moment it failed
  gpointer data;
  GError *error;
} ImapListener;

typedef enum {
  IMAP_TOOK_UNTAGGED,
  IMAP_TOOK_GO_AHEAD,  // `+`
  IMAP_TOOK_END,       // of a command that was sent
  IMAP_TOOK_NOTHING,   // error is set, and the connection is over
} ImapTook;

// Hands an event over to `listener` (NULL: nobody). A tagged OK is handed over only as the oldest
// command's.
ImapTook imap_session_take(ImapSession *session, const ImapEvent *event, ImapListener *listener,
                           GError **error);
// The same for the next event, which is waited for.
ImapTook imap_session_take_next(ImapSession *session, ImapListener *listener, GError **error);
// Receives what there is, at least a byte, and feeds it to the parser.
bool imap_session_receive_more(ImapSession *session, GError **error);
// False, with the error of a connection that is no more.
bool imap_session_check_open(const ImapSession *session, GError **error);
void imap_session_close(ImapSession *session);
void imap_sent_free(ImapSent *sent);
