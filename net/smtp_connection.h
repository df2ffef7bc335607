// An SmtpConnection sends commands over a wire and reads their replies; it knows what the server's
// EHLO offered, and nothing of letters. Owned by one SMTP sender, on its thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "net/smtp_reply.h"
#include "net/wire.h"

typedef enum {
  SMTP_SIZE = 1 << 0,      // RFC 1870
  SMTP_8BITMIME = 1 << 1,  // RFC 6152
  SMTP_UTF8 = 1 << 2,      // RFC 6531
} SmtpExtensions;

typedef struct {
  Wire *wire;
  SmtpReplyParser *parser;
  char in[4096];  // received, not yet parsed
  size_t in_at, in_end;
  bool is_over;         // a 421 came, or the wire broke
  unsigned extensions;  // SmtpExtensions
  uint64_t max_size;    // 0: none told
} SmtpConnection;

// Takes over the wire, also when it fails; says EHLO and reads the extensions. NULL with BUSY
// (4xx), REFUSED (5xx) or an error of the connection.
SmtpConnection *smtp_connection_new(Wire *wire, GError **error);
// QUIT, its reply awaited for at most 1 s, and close; NULL is fine.
void smtp_connection_free(SmtpConnection *connection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpConnection, smtp_connection_free)

// Sends bytes as they are.
bool smtp_connection_send(SmtpConnection *connection, const void *bytes, size_t size,
                          GError **error);
// Reads one reply, within the wire's time-out. NULL: the connection is over.
SmtpReply *smtp_connection_reply(SmtpConnection *connection, GError **error);
// The same with ten minutes for the first byte (RFC 5321 4.5.3.2.6).
SmtpReply *smtp_connection_late_reply(SmtpConnection *connection, GError **error);
// Sends a command, CRLF added, and reads its reply. The command holds no CR or LF.
SmtpReply *smtp_connection_command(SmtpConnection *connection, const char *command, GError **error);
