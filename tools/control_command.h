// What can be asked for over the control socket: a JSON object a line, answered by JSON objects, a
// line each. The last one has "done" or "error".
//
//   {"command": "outbox"}      {"letter": {...}} for each, {"done": true}
//   {"command": "flush"}       {"progress": {...}} now and then, {"done": true, "total": N,
//                              "sent": N, "failed": N, "delayed": N, "why": TEXT, "untaken": TEXT}
//   {"command": "retry", "name": NAME}, {"command": "cancel", "name": NAME}     {"done": true}
//   {"command": "take"}        {"done": true}: drops will be taken
//   what cannot be done        {"error": TEXT, "code": sysexits}
//
// "untaken": why letters that were handed over are not in the outbox. A NAME is %XX-escaped, since
// a file's name need not be text.
//
//   letter: name, escaped (the NAME), directory ("outbox", "failed"), state, queued, why, next_try,
//   file, from, date, message_id, origin, envelope_from, envelope_to, answered: [{address, verdict,
//   reply}]
//
// A ControlCall is one session with what it asks for now. The main loop's.
#pragma once

#include "cache/outbox.h"
#include "tools/control_session.h"

typedef struct ControlCall ControlCall;

// Takes the descriptor. `outbox` NULL: the account cannot send. `gone` is called once, when the
// client is gone and nothing is owed to it any more; the call is then to be freed.
ControlCall *control_call_new(int fd, GMainContext *context, Outbox *outbox,
                              void (*gone)(ControlCall *call, gpointer data), gpointer data);
void control_call_free(ControlCall *call);
