#include "net/smtp_reply.h"

#include <stdio.h>
#include <string.h>

#include "net/error.h"
#include "net/wire_line.h"

struct SmtpReplyParser {
  GString *line;  // of the reply, as far as it has come
  SmtpReply *reply;
};

static SmtpReply *smtp_reply_new(void) {
  SmtpReply *reply = g_new0(SmtpReply, 1);
  reply->lines = g_ptr_array_new_with_free_func(g_free);
  return reply;
}

void smtp_reply_free(SmtpReply *reply) {
  if (reply == NULL) return;
  g_ptr_array_unref(reply->lines);
  g_free(reply);
}

unsigned smtp_reply_class(const SmtpReply *reply) {
  return reply->code / 100;
}

char *smtp_reply_text(const SmtpReply *reply) {
  g_autoptr(GString) text = g_string_new(NULL);
  g_string_printf(text, "%u", reply->code);
  for (unsigned i = 0; i < reply->lines->len; i++) {
    const char *line = g_ptr_array_index(reply->lines, i);
    if (*line != '\0') g_string_append_printf(text, " %s", line);
  }
  return wire_line_printable(text->str, text->len);
}

SenderVerdict smtp_reply_verdict(const SmtpReply *reply) {
  unsigned subject = reply->enhanced[1], detail = reply->enhanced[2];
  bool is_rate_limit = (subject == 4 && detail == 5) || (subject == 5 && detail == 3);
  bool is_login = reply->code >= 530 && reply->code <= 538;
  if (smtp_reply_class(reply) == 2) return SENDER_ACCEPTED;
  return smtp_reply_class(reply) == 5 && !is_rate_limit && !is_login ? SENDER_PERMANENT
                                                                     : SENDER_TEMPORARY;
}

SmtpReplyParser *smtp_reply_parser_new(void) {
  SmtpReplyParser *parser = g_new0(SmtpReplyParser, 1);
  parser->line = g_string_new(NULL);
  parser->reply = smtp_reply_new();
  return parser;
}

void smtp_reply_parser_free(SmtpReplyParser *parser) {
  if (parser == NULL) return;
  g_string_free(parser->line, TRUE);
  smtp_reply_free(parser->reply);
  g_free(parser);
}

static bool fail(GError **error, const char *reason, const GString *line) {
  g_autofree char *shown = wire_line_printable(line->str, MIN(line->len, 100));
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "not an SMTP reply (%s): %s", reason, shown);
  return false;
}

static unsigned code_of(const GString *line) {
  if (line->len < 3) return 0;
  for (int i = 0; i < 3; i++) {
    if (!g_ascii_isdigit(line->str[i])) return 0;
  }
  unsigned code = (unsigned)((line->str[0] - '0') * 100 + (line->str[1] - '0') * 10) +
                  (unsigned)(line->str[2] - '0');
  return code >= 200 && code <= 599 ? code : 0;
}

// `5.1.1 ` at the beginning of the text (RFC 2034); each part has at most three digits.
static void read_enhanced(SmtpReply *reply, const char *text) {
  unsigned class = 0, subject = 0, detail = 0;
  int end = 0;
  memset(reply->enhanced, 0, sizeof reply->enhanced);
  bool is_code = g_ascii_isdigit(*text) &&
                 sscanf(text, "%1u.%3u.%3u%n", &class, &subject, &detail, &end) == 3 &&
                 (text[end] == ' ' || text[end] == '\0');
  if (!is_code || class != smtp_reply_class(reply)) return;
  reply->enhanced[0] = class;
  reply->enhanced[1] = subject;
  reply->enhanced[2] = detail;
}

// Takes one whole line without its end. *is_last tells the line that has no hyphen after its code.
static bool take_line(SmtpReplyParser *parser, bool *is_last, GError **error) {
  const GString *line = parser->line;
  SmtpReply *reply = parser->reply;
  unsigned code = code_of(line);
  if (code == 0) return fail(error, "no code", line);
  if (reply->lines->len > 0 && reply->code != code) return fail(error, "two codes in one", line);
  if (reply->lines->len == SMTP_REPLY_MAX_LINES) return fail(error, "too many lines", line);
  char mark = line->len > 3 ? line->str[3] : ' ';
  if (mark != ' ' && mark != '-') return fail(error, "no blank after the code", line);
  reply->code = code;
  size_t start = MIN(line->len, 4);
  char *text = wire_line_printable(line->str + start, line->len - start);
  g_ptr_array_add(reply->lines, text);
  read_enhanced(reply, text);
  *is_last = mark == ' ';
  return true;
}

ssize_t smtp_reply_parser_feed(SmtpReplyParser *parser, const char *bytes, size_t size,
                               SmtpReply **reply, GError **error) {
  size_t used = 0;
  *reply = NULL;
  while (used < size) {
    const char *end = memchr(bytes + used, '\n', size - used);
    size_t step = end != NULL ? (size_t)(end - bytes) + 1 - used : size - used;
    if (parser->line->len + step > SMTP_REPLY_MAX_LINE) {
      fail(error, "too long", parser->line);
      return -1;
    }
    g_string_append_len(parser->line, bytes + used, (gssize)step);
    used += step;
    if (end == NULL) break;
    bool is_last = false;
    while (parser->line->len > 0 && strchr("\r\n", parser->line->str[parser->line->len - 1]))
      g_string_truncate(parser->line, parser->line->len - 1);
    if (!take_line(parser, &is_last, error)) return -1;
    g_string_truncate(parser->line, 0);
    if (!is_last) continue;
    *reply = parser->reply;
    parser->reply = smtp_reply_new();
    break;
  }
  return (ssize_t)used;
}
