// A ControlSession is one client of the control socket: its bytes. Lines come in, one at a time;
// lines go out as fast as the client takes them. Nothing here waits: a client that is slow, silent,
// talks too much or never listens costs a bounded buffer, and after half a minute its connection.
// Main loop's thread.
//
//   request ──> line() ──say, say ...──> end ──> the next request
//                 └── out of words: drained() ──say ...
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct ControlSession ControlSession;

typedef struct {
  // A request, without its line end, valid UTF-8. No other comes before control_session_end.
  void (*line)(ControlSession *session, const char *text, gpointer data);
  // All that was said is out, and the request has not ended.
  void (*drained)(ControlSession *session, gpointer data);
  // The client is gone, or was sent away; the session is freed when this returns.
  void (*closed)(gpointer data);
} ControlSessionEvents;

// Takes the connected, non-blocking descriptor.
ControlSession *control_session_new(int fd, GMainContext *context,
                                    const ControlSessionEvents *events, gpointer data);
// Closes without telling.
void control_session_free(ControlSession *session);
// Says a line (without its end). To be called again once `is_full` is false, or in drained().
void control_session_say(ControlSession *session, const char *line);
bool control_session_is_full(const ControlSession *session);
// True if all that was said is out.
bool control_session_is_drained(const ControlSession *session);
// The request is answered.
void control_session_end(ControlSession *session);
