#include "net/pop3_reply.h"

#include <string.h>

#include "net/error.h"
#include "net/wire_line.h"

// The longest that is known, SYS/PERM, has 8.
#define CODE_MAX_BYTES 40

struct Pop3ReplyParser {
  GString *line;  // as far as it has come
};

void pop3_reply_free(Pop3Reply *reply) {
  if (reply == NULL) return;
  g_free(reply->code);
  g_free(reply->text);
  g_free(reply);
}

bool pop3_reply_is_temporary(const Pop3Reply *reply) {
  static const char *const codes[] = {"IN-USE", "LOGIN-DELAY", "SYS/TEMP"};
  if (reply->status != POP3_ERR || reply->code == NULL) return false;
  for (size_t i = 0; i < G_N_ELEMENTS(codes); i++)
    if (strcmp(reply->code, codes[i]) == 0) return true;
  return false;
}

char *pop3_reply_words(const Pop3Reply *reply) {
  static const char *const marks[] = {[POP3_OK] = "+OK", [POP3_ERR] = "-ERR", [POP3_GO_ON] = "+"};
  GString *words = g_string_new(marks[reply->status]);
  if (reply->code != NULL) g_string_append_printf(words, " [%s]", reply->code);
  if (*reply->text != '\0') g_string_append_printf(words, " %s", reply->text);
  return g_string_free(words, FALSE);
}

void pop3_reply_set_error(const Pop3Reply *reply, GError **error) {
  g_autofree char *words = pop3_reply_words(reply);
  g_assert(reply->status == POP3_ERR);
  g_set_error(error, NET_ERROR, pop3_reply_is_temporary(reply) ? NET_ERROR_BUSY : NET_ERROR_REFUSED,
              "the server says %s", words);
}

Pop3ReplyParser *pop3_reply_parser_new(void) {
  Pop3ReplyParser *parser = g_new0(Pop3ReplyParser, 1);
  parser->line = g_string_new(NULL);
  return parser;
}

void pop3_reply_parser_free(Pop3ReplyParser *parser) {
  if (parser == NULL) return;
  g_string_free(parser->line, TRUE);
  g_free(parser);
}

static bool fail(GError **error, const char *reason, const GString *line) {
  g_autofree char *shown = wire_line_printable(line->str, MIN(line->len, 100));
  g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "not a POP3 reply (%s): %s", reason, shown);
  return false;
}

// How many bytes of the line are its mark, 0 if it has none. What follows directly is taken for
// text, as all clients do.
static size_t mark_length(const GString *line, Pop3Status *status) {
  static const struct {
    const char *mark;
    Pop3Status status;
  } marks[] = {{"+OK", POP3_OK}, {"-ERR", POP3_ERR}, {"+ ", POP3_GO_ON}};
  for (size_t i = 0; i < G_N_ELEMENTS(marks); i++) {
    size_t length = strlen(marks[i].mark);
    if (line->len < length || g_ascii_strncasecmp(line->str, marks[i].mark, length) != 0) continue;
    *status = marks[i].status;
    return length;
  }
  *status = POP3_GO_ON;
  return strcmp(line->str, "+") == 0 ? 1 : 0;
}

static const char *skip_blanks(const char *text) {
  return text + strspn(text, " ");
}

// `[IN-USE] words`: a word in brackets at the beginning (RFC 2449 8).
static char *take_code(const char **text) {
  if (**text != '[') return NULL;
  size_t length = strcspn(*text + 1, " []");
  if (length == 0 || length > CODE_MAX_BYTES || (*text)[1 + length] != ']') return NULL;
  char *code = g_ascii_strup(*text + 1, (gssize)length);
  *text += length + 2;
  return code;
}

static Pop3Reply *take_line(const GString *line, GError **error) {
  Pop3Status status;
  size_t mark = mark_length(line, &status);
  if (mark == 0) {
    fail(error, "neither +OK nor -ERR", line);
    return NULL;
  }
  Pop3Reply *reply = g_new0(Pop3Reply, 1);
  reply->status = status;
  g_autofree char *shown = wire_line_printable(line->str + mark, line->len - mark);
  const char *text = skip_blanks(shown);
  reply->code = take_code(&text);
  reply->text = g_strdup(skip_blanks(text));
  return reply;
}

static void drop_line_end(GString *line) {
  while (line->len > 0 && strchr("\r\n", line->str[line->len - 1]) != NULL)
    g_string_truncate(line, line->len - 1);
}

ssize_t pop3_reply_parser_feed(Pop3ReplyParser *parser, const char *bytes, size_t size,
                               Pop3Reply **reply, GError **error) {
  *reply = NULL;
  const char *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
  size_t used = end != NULL ? (size_t)(end - bytes) + 1 : size;
  if (parser->line->len + used > POP3_REPLY_MAX_LINE) {
    g_string_append_len(parser->line, bytes, (gssize)MIN(used, 100));
    fail(error, "too long", parser->line);
    return -1;
  }
  g_string_append_len(parser->line, bytes, (gssize)used);
  if (end == NULL) return (ssize_t)used;
  drop_line_end(parser->line);
  *reply = take_line(parser->line, error);
  g_string_truncate(parser->line, 0);
  return *reply != NULL ? (ssize_t)used : -1;
}
