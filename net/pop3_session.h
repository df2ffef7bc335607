// A Pop3Session is the conversation on one logged-in POP3 wire: it sends commands, reads their
// replies and what follows these, and takes back what reading does. What the messages mean is not
// its business. Owned by one thread, as its wire is.
//
// Replies have no names: the first belongs to the first command. Where the server knows PIPELINING
// (RFC 2449 6.6) several commands are on their way, else one. How many is bounded, and how many
// bytes are expected of them: a server whose answers wait for us to read them may not read what we
// send meanwhile, so all of it must fit into the buffers on the way.
//
// Some servers mark what was RETRieved as read, at QUIT and when the connection drops (Dovecot),
// unless a RSET came in between. So one follows after each window of RETRs, and the caller asks for
// one behind its last. Their replies say nothing and are read by the way.
//
// UTF8 (RFC 6856) is not used: it belongs before the login, which is libcurl's; headers are bytes
// to us in any case, and what a server does not give without it is refused message by message.
//
// A call that talks blocks until the answer came or the wire failed (OFFLINE, TIMEOUT, CANCELLED;
// PROTOCOL when what comes is no answer, or an answer without end). After that only
// pop3_session_free is left.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "net/pop3_lines.h"
#include "net/pop3_reply.h"
#include "net/wire.h"

typedef struct Pop3Session Pop3Session;

typedef enum {
  POP3_CAPA,
  POP3_STAT,
  POP3_UIDL,
  POP3_LIST,
  POP3_TOP,   // of a message, with no line of its body
  POP3_RETR,  // of a message
  POP3_DELE,  // of a message
  POP3_RSET,
  POP3_QUIT,
} Pop3Verb;

typedef struct {
  Pop3Verb verb;
  uint32_t number;  // of the message; 0: of none
  uint64_t bytes;   // how many are expected in answer, about; bounds what is on its way
} Pop3Command;

// Is told bytes of what follows a reply. After it returned false the rest is read without it.
typedef bool (*Pop3BytesFunc)(const char *bytes, size_t size, gpointer data, GError **error);

// How many RETRs, or expected bytes of them, a server may see before a RSET. Where RSETs are on
// their way with the rest, windows of 4 and of 32 messages are read in the same time.
#define POP3_WINDOW_MESSAGES 8
#define POP3_WINDOW_BYTES (UINT64_C(1) << 20)
// How many commands, and expected bytes, may be on their way; once it is as many, the next ones
// wait until it is half of that, and go out in one piece. 50 ms away that makes 20,000 messages or
// 80 MB a second; 2,048 commands are some 26 KB, which a connection that stands still still takes.
#define POP3_COMMANDS_MAX 2048
#define POP3_EXPECTED_MAX (UINT64_C(8) << 20)
// How much may follow a reply: the lines of a listing, or a message.
#define POP3_LINES_MAX_BYTES (UINT64_C(512) << 20)
#define POP3_MESSAGE_MAX_BYTES (UINT64_C(2) << 30)

// Takes over the wire, also when it fails; asks what the server can do (CAPA): what was said before
// is not to be had. `name` begins log lines. Errors: those that end the connection.
Pop3Session *pop3_session_new(Wire *wire, const char *name, GError **error);
// Says RSET, if RETRs went out since the last, and QUIT, unless the connection broke; reads what
// stands before their answers for as long as bytes come (1 s without any, 3 s in all: so long a
// server on a slow line needs to come to our RSET); closes. NULL is fine.
void pop3_session_free(Pop3Session *session);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Session, pop3_session_free)

// What CAPA said; without an answer to it a server may know any command.
bool pop3_session_has_uidl(const Pop3Session *session);
bool pop3_session_may_have_top(const Pop3Session *session);
bool pop3_session_has_told_abilities(const Pop3Session *session);  // CAPA was answered
unsigned pop3_session_login_delay_s(const Pop3Session *session);   // see net/mailbox.h
// True once nothing more can be said.
bool pop3_session_is_over(const Pop3Session *session);

// True while another command may be sent before an answer is read: one of which no bytes to speak
// of are expected (0) as soon as there is place for it.
bool pop3_session_has_room(Pop3Session *session, uint64_t bytes);
// Sends a command, while there is room; the bytes may go out with the next ones, or when an answer
// is awaited. A RSET may go out before; without PIPELINING its reply is read here.
bool pop3_session_send(Pop3Session *session, const Pop3Command *command, GError **error);
// Sends RSET, while there is room, if a RETR was sent since the last.
bool pop3_session_send_reset(Pop3Session *session, GError **error);
// Lets go out what was sent.
bool pop3_session_flush(Pop3Session *session, GError **error);
// True while a command other than RSET was sent and not received.
bool pop3_session_is_awaiting(const Pop3Session *session);
// Reads the replies to RSETs that stand before any other command's.
bool pop3_session_settle(Pop3Session *session, GError **error);
// Reads the reply to the oldest command that is no RSET, which `command` (may be NULL) then is.
// What follows a +OK to CAPA, UIDL, LIST, TOP and RETR is to be received next; the reply to QUIT
// ends it all.
Pop3Reply *pop3_session_receive(Pop3Session *session, Pop3Command *command, GError **error);
// Waits until the wire is woken or time is over (-1: never), while no answer is awaited; false: the
// server closed, or said something.
bool pop3_session_wait(Pop3Session *session, int timeout_ms, GError **error);
// Reads to the lone dot; `func` NULL: nobody is told. An error of `func` that ends the connection
// ends it at once.
bool pop3_session_receive_bytes(Pop3Session *session, Pop3BytesFunc func, gpointer data,
                                GError **error);
bool pop3_session_receive_lines(Pop3Session *session, Pop3LineFunc func, gpointer data,
                                GError **error);
