// A Pop3Reply is the line with which a POP3 server answers a command (RFC 1939 3): yes or no, a
// response code (RFC 2449 8), and words. What may follow a yes, the lines up to a lone dot, is no
// part of it: see dot_unstuff. The parser is a pure machine: bytes in, at any cut, replies out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <glib.h>

// RFC 2449 4 allows 512 bytes; what is far beyond is no reply.
#define POP3_REPLY_MAX_LINE 4096

typedef enum {
  POP3_OK,     // +OK
  POP3_ERR,    // -ERR
  POP3_GO_ON,  // `+ `: the server waits for more of a login; after one it is out of place
} Pop3Status;

typedef struct {
  Pop3Status status;
  char *code;  // "IN-USE", in upper case; NULL: none
  char *text;  // what follows, printable; "" for nothing
} Pop3Reply;

void pop3_reply_free(Pop3Reply *reply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Reply, pop3_reply_free)

// True for a -ERR that will pass: IN-USE, LOGIN-DELAY (RFC 2449 8.1), SYS/TEMP (RFC 3206).
bool pop3_reply_is_temporary(const Pop3Reply *reply);
// "-ERR [IN-USE] locked", for messages; g_free.
char *pop3_reply_words(const Pop3Reply *reply);
// Sets the error that a -ERR is, with its words: BUSY for what will pass, else REFUSED.
void pop3_reply_set_error(const Pop3Reply *reply, GError **error);

typedef struct Pop3ReplyParser Pop3ReplyParser;

Pop3ReplyParser *pop3_reply_parser_new(void);
void pop3_reply_parser_free(Pop3ReplyParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3ReplyParser, pop3_reply_parser_free)

// Takes bytes up to the end of one reply and returns how many; the rest belongs to whoever reads
// on. `*reply` is then the finished reply, for the caller, or NULL if more bytes are needed. -1
// with PROTOCOL for what is no reply: the parser is of no more use.
ssize_t pop3_reply_parser_feed(Pop3ReplyParser *parser, const char *bytes, size_t size,
                               Pop3Reply **reply, GError **error);
