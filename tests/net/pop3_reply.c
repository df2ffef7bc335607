#include "net/pop3_reply.h"

#include <string.h>

#include "net/error.h"

static const struct {
  const char *bytes;
  Pop3Status status;
  const char *code, *text;
  bool is_temporary;
} rows[] = {
    {"+OK\r\n", POP3_OK, NULL, "", false},
    {"+OK 2 320\r\n", POP3_OK, NULL, "2 320", false},
    {"+OK bare\n", POP3_OK, NULL, "bare", false},
    {"+ok lower\r\n", POP3_OK, NULL, "lower", false},
    {"+OK  2  320 \r\n", POP3_OK, NULL, "2  320 ", false},
    {"+OK\t2\r\n", POP3_OK, NULL, "2", false},
    {"+OK2 messages\r\n", POP3_OK, NULL, "2 messages", false},
    {"-ERR\r\n", POP3_ERR, NULL, "", false},
    {"-ERR no\r\r\n", POP3_ERR, NULL, "no", false},
    {"-ERR [IN-USE] locked\r\n", POP3_ERR, "IN-USE", "locked", true},
    {"-err [in-use]\r\n", POP3_ERR, "IN-USE", "", true},
    {"-ERR [LOGIN-DELAY] wait\r\n", POP3_ERR, "LOGIN-DELAY", "wait", true},
    {"-ERR [SYS/TEMP] later\r\n", POP3_ERR, "SYS/TEMP", "later", true},
    {"-ERR [SYS/PERM] never\r\n", POP3_ERR, "SYS/PERM", "never", false},
    {"-ERR [AUTH] wrong\r\n", POP3_ERR, "AUTH", "wrong", false},
    {"-ERR not [IN-USE]\r\n", POP3_ERR, NULL, "not [IN-USE]", false},
    {"-ERR [not closed\r\n", POP3_ERR, NULL, "[not closed", false},
    {"-ERR [] nothing\r\n", POP3_ERR, NULL, "[] nothing", false},
    {"-ERR [a b] two\r\n", POP3_ERR, NULL, "[a b] two", false},
    {"-ERR [[IN-USE]]\r\n", POP3_ERR, NULL, "[[IN-USE]]", false},
    {"+OK [IN-USE] no\r\n", POP3_OK, "IN-USE", "no", false},
    {"+ \r\n", POP3_GO_ON, NULL, "", false},
    {"+\r\n", POP3_GO_ON, NULL, "", false},
    {"+ go\r\n", POP3_GO_ON, NULL, "go", false},
    {"-ERR a\tb\033[31m\r\n", POP3_ERR, NULL, "a b?[31m", false},
    {"-ERR \377\303\244\342\200\256\r\n", POP3_ERR, NULL, "?\303\244?", false},
};

static Pop3Reply *feed_whole(Pop3ReplyParser *parser, const char *bytes, size_t size) {
  Pop3Reply *reply = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(pop3_reply_parser_feed(parser, bytes, size, &reply, &error), ==, (ssize_t)size);
  g_assert_no_error(error);
  return reply;
}

// A reply is read the same at every cut.
static void test_good(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  const char *bytes = rows[row].bytes;
  size_t size = strlen(bytes);
  for (size_t cut = 0; cut < size; cut++) {
    g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
    g_assert_null(feed_whole(parser, bytes, cut));
    g_autoptr(Pop3Reply) reply = feed_whole(parser, bytes + cut, size - cut);
    g_assert_nonnull(reply);
    g_assert_cmpint(reply->status, ==, rows[row].status);
    g_assert_cmpstr(reply->code, ==, rows[row].code);
    g_assert_cmpstr(reply->text, ==, rows[row].text);
    g_assert_true(pop3_reply_is_temporary(reply) == rows[row].is_temporary);
  }
}

// What a refusal means: BUSY if it will pass, and its words are kept.
static void test_errors(void) {
  g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
  const char *busy = "-ERR [IN-USE] locked\r\n", *refused = "-ERR no\r\n";
  g_autoptr(Pop3Reply) first = feed_whole(parser, busy, strlen(busy));
  g_autoptr(Pop3Reply) second = feed_whole(parser, refused, strlen(refused));
  g_autoptr(GError) error = NULL, other = NULL;
  pop3_reply_set_error(first, &error);
  g_assert_error(error, NET_ERROR, NET_ERROR_BUSY);
  g_assert_cmpstr(error->message, ==, "the server says -ERR [IN-USE] locked");
  pop3_reply_set_error(second, &other);
  g_assert_error(other, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_cmpstr(other->message, ==, "the server says -ERR no");
}

// What stands behind a reply is left.
static void test_rest(void) {
  const char *bytes = "+OK one\r\n.\r\n";
  g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
  g_autoptr(Pop3Reply) reply = NULL;
  g_assert_cmpint(pop3_reply_parser_feed(parser, bytes, strlen(bytes), &reply, NULL), ==, 9);
  g_assert_cmpstr(reply->text, ==, "one");
}

static const char *const bad[] = {"\r\n",    "hello\r\n",  "OK\r\n",  " +OK\r\n",
                                  ".\r\n",   "-OK\r\n",    "+O\r\n",  "* OK\r\n",
                                  "-ER\r\n", "220 hi\r\n", "++OK\r\n"};

// What is no reply is PROTOCOL, not a guess.
static void test_bad(gconstpointer data) {
  const char *bytes = bad[GPOINTER_TO_SIZE(data)];
  g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
  Pop3Reply *reply = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(pop3_reply_parser_feed(parser, bytes, strlen(bytes), &reply, &error), ==, -1);
  g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  g_assert_null(reply);
}

// A NUL is a byte like others that cannot be shown.
static void test_nul(void) {
  static const char bytes[] = "-ERR a\0b\r\n";
  g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
  g_autoptr(Pop3Reply) reply = feed_whole(parser, bytes, sizeof bytes - 1);
  g_assert_cmpstr(reply->text, ==, "a?b");
}

// A line has a limit: at it it is taken, beyond it there is no reply.
static void test_limit(void) {
  g_autoptr(GString) line = g_string_new("+OK ");
  while (line->len < POP3_REPLY_MAX_LINE)
    g_string_append_c(line, 'a');
  for (int over = 0; over < 2; over++) {
    g_autoptr(Pop3ReplyParser) parser = pop3_reply_parser_new();
    Pop3Reply *reply = NULL;
    ssize_t used = pop3_reply_parser_feed(parser, line->str, line->len, &reply, NULL);
    g_assert_cmpint(used, ==, over ? -1 : (ssize_t)line->len);
    g_string_append_c(line, 'a');
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/pop3-reply/good/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_good);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autofree char *path = g_strdup_printf("/pop3-reply/bad/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
  }
  g_test_add_func("/pop3-reply/errors", test_errors);
  g_test_add_func("/pop3-reply/rest", test_rest);
  g_test_add_func("/pop3-reply/nul", test_nul);
  g_test_add_func("/pop3-reply/limit", test_limit);
  return g_test_run();
}
