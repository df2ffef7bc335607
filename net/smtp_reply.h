// An SmtpReply is one reply of an SMTP server (RFC 5321 4.2): a code and its lines. The parser that
// makes them is a pure machine: bytes in, at any cut, replies out; it does no I/O.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>

#include "net/sender.h"

// Beyond 512 bytes a line and a few lines a reply (RFC 5321 4.5.3.1.5) servers differ; beyond these
// it is no reply.
#define SMTP_REPLY_MAX_LINE 4096
#define SMTP_REPLY_MAX_LINES 100

typedef struct {
  unsigned code;         // 200 to 599
  unsigned enhanced[3];  // class, subject, detail of the last line (RFC 3463); all 0: none
  GPtrArray *lines;      // of char *: what follows the code, printable; at least one
} SmtpReply;

void smtp_reply_free(SmtpReply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpReply, smtp_reply_free)

// The class of the code: 2 to 5.
unsigned smtp_reply_class(const SmtpReply *reply);
// "550 5.1.1 no such user": all lines in one.
char *smtp_reply_text(const SmtpReply *reply);
// What it means for a recipient. Temporary beside 4xx: rate limits (550 5.4.5, 5.5.3 too many
// recipients) and 530 to 538, which are about our login (RFC 4954), not about the letter.
SenderVerdict smtp_reply_verdict(const SmtpReply *reply);

typedef struct SmtpReplyParser SmtpReplyParser;

SmtpReplyParser *smtp_reply_parser_new(void);
void smtp_reply_parser_free(SmtpReplyParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SmtpReplyParser, smtp_reply_parser_free)

// Takes bytes up to the end of one reply and returns how many; the rest belongs to the next call.
// `*reply` is then the finished reply, for the caller, or NULL if more bytes are needed. -1 with
// PROTOCOL for what is no reply: the parser is of no more use.
ssize_t smtp_reply_parser_feed(SmtpReplyParser *parser, const char *bytes, size_t size,
                               SmtpReply **reply, GError **error);
