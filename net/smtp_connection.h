// An SmtpConnection sends commands over a wire and reads their replies; it knows what the server's
// EHLO offered, and nothing of letters. Owned by one SMTP sender, on its thread.
//
// Replies have no names: the first belongs to the first command. So before each send there must be
// nothing left to read: a server that says more than it was asked would have its words taken for
// the answer to the next command.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "net/smtp_reply.h"
#include "net/wire.h"

typedef enum {
  SMTP_SIZE = 1 << 0,        // RFC 1870
  SMTP_8BITMIME = 1 << 1,    // RFC 6152
  SMTP_UTF8 = 1 << 2,        // RFC 6531
  SMTP_PIPELINING = 1 << 3,  // RFC 2920
  SMTP_CHUNKING = 1 << 4,    // RFC 3030
  SMTP_DSN = 1 << 5,         // RFC 3461
} SmtpExtensions;

// How long a reply is awaited, from the first byte to the last, where the account's time-out is not
// longer (RFC 5321 4.5.3.2).
#define SMTP_COMMAND_MS (5 * 60 * 1000)  // EHLO, MAIL, RCPT
#define SMTP_DATA_MS (2 * 60 * 1000)     // DATA
#define SMTP_BLOCK_MS (3 * 60 * 1000)  // bytes of a letter to go out, a chunk that is not the last
#define SMTP_END_MS (10 * 60 * 1000)   // the final dot, the last chunk

typedef struct {
  Wire *wire;
  SmtpReplyParser *parser;
  char in[4096];  // received, not yet parsed
  size_t in_at, in_end;
  bool is_over;         // a 421 came, or the wire broke
  bool has_left;        // the server ended it: by a 421, or by closing behind a refusal
  bool was_refusal;     // the last reply was 4xx or 5xx, and nothing was sent since but behind it
  bool is_mute;         // nothing can be sent; what was said before may still be answered
  bool is_in_step;      // a flight of several commands was answered as it should be
  bool is_slow;         // the last small letter took more than three seconds
  bool takes_reset;     // RSET is said behind each last chunk
  unsigned unseen;      // letters begun since it was last seen that nothing is left to read
  unsigned timeout_ms;  // the account's
  unsigned extensions;  // SmtpExtensions
  uint64_t max_size;    // 0: none told
} SmtpConnection;

// Takes over the wire, also when it fails; says EHLO and reads the extensions. NULL with BUSY
// (4xx), REFUSED (5xx) or an error of the connection.
SmtpConnection *smtp_connection_new(Wire *wire, unsigned timeout_ms, GError **error);
// QUIT, its reply awaited for at most 1 s, and close; NULL is fine.
void smtp_connection_free(SmtpConnection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpConnection, smtp_connection_free)

// True while the server has said nothing that was not read. Else the connection is over: OFFLINE if
// it closed or said 421, PROTOCOL for any other word out of turn.
bool smtp_connection_is_quiet(SmtpConnection *connection, GError **error);
// Sends bytes as they are. Nothing goes out behind what went out by half (is_mute): that would be
// taken for the rest of it.
bool smtp_connection_send(SmtpConnection *connection, const void *bytes, size_t size,
                          GError **error);
// The same, behind what is not answered yet. Where it fails, the answers that are due can still be
// read, and then the connection is over (is_mute).
bool smtp_connection_send_behind(SmtpConnection *connection, const void *bytes, size_t size,
                                 GError **error);
// Reads one reply. NULL: the connection is over; TIMEOUT if the reply was not whole within
// `patience_ms` and the account's time-out.
SmtpReply *smtp_connection_reply(SmtpConnection *connection, unsigned patience_ms, GError **error);
// Sends a command, CRLF added, and reads its reply. The command holds no CR or LF.
SmtpReply *smtp_connection_command(SmtpConnection *connection, const char *command,
                                   unsigned patience_ms, GError **error);
