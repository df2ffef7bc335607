#include "net/smtp_reply.h"

#include <string.h>

#include "net/error.h"

static const struct {
  const char *bytes, *text;
  SenderVerdict verdict;
} rows[] = {
    {"250 Ok\r\n", "250 Ok", SENDER_ACCEPTED},
    {"250\r\n", "250", SENDER_ACCEPTED},
    {"250-one\r\n250-two\r\n250 three\r\n", "250 one two three", SENDER_ACCEPTED},
    {"550-\r\n550 \r\n", "550", SENDER_PERMANENT},
    {"250 bare\n", "250 bare", SENDER_ACCEPTED},
    {"421 4.3.2 later\r\n", "421 4.3.2 later", SENDER_TEMPORARY},
    {"450 busy\r\n", "450 busy", SENDER_TEMPORARY},
    {"452 4.5.3 too many\r\n", "452 4.5.3 too many", SENDER_TEMPORARY},
    {"550 5.4.5 daily limit\r\n", "550 5.4.5 daily limit", SENDER_TEMPORARY},
    {"552 5.5.3 too many recipients\r\n", "552 5.5.3 too many recipients", SENDER_TEMPORARY},
    {"530 5.7.0 log in first\r\n", "530 5.7.0 log in first", SENDER_TEMPORARY},
    {"550 5.4.50 other\r\n", "550 5.4.50 other", SENDER_PERMANENT},
    {"550 4.4.5 of another class\r\n", "550 4.4.5 of another class", SENDER_PERMANENT},
    {"550 5.4.5x\r\n", "550 5.4.5x", SENDER_PERMANENT},
    {"554 5.7.1 spam\r\n", "554 5.7.1 spam", SENDER_PERMANENT},
    {"554 a\tb\033[31m\r\n", "554 a b?[31m", SENDER_PERMANENT},
    {"554 \377\303\244\342\200\256\r\n", "554 ?\303\244?", SENDER_PERMANENT},
};

static SmtpReply *feed_whole(SmtpReplyParser *parser, const char *bytes, size_t size) {
  SmtpReply *reply = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(smtp_reply_parser_feed(parser, bytes, size, &reply, &error), ==, (ssize_t)size);
  g_assert_no_error(error);
  return reply;
}

// A reply is read the same at every cut, and tells what it means for a recipient.
static void test_good(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  const char *bytes = rows[row].bytes;
  size_t size = strlen(bytes);
  for (size_t cut = 0; cut < size; cut++) {
    g_autoptr(SmtpReplyParser) parser = smtp_reply_parser_new();
    g_assert_null(feed_whole(parser, bytes, cut));
    g_autoptr(SmtpReply) reply = feed_whole(parser, bytes + cut, size - cut);
    g_assert_nonnull(reply);
    g_autofree char *text = smtp_reply_text(reply);
    g_assert_cmpstr(text, ==, rows[row].text);
    g_assert_cmpint(smtp_reply_verdict(reply), ==, rows[row].verdict);
  }
}

// Of two replies in one piece each is taken by its own call.
static void test_two(void) {
  const char *bytes = "250 one\r\n550 5.1.1 two\r\n";
  g_autoptr(SmtpReplyParser) parser = smtp_reply_parser_new();
  g_autoptr(SmtpReply) first = NULL;
  ssize_t used = smtp_reply_parser_feed(parser, bytes, strlen(bytes), &first, NULL);
  g_assert_cmpint(used, ==, 9);
  g_assert_cmpuint(first->code, ==, 250);
  g_autoptr(SmtpReply) second = feed_whole(parser, bytes + used, strlen(bytes + used));
  g_assert_cmpuint(second->code, ==, 550);
  g_assert_cmpuint(second->enhanced[2], ==, 1);
}

static const char *const bad[] = {
    "\r\n",       "hello\r\n", "25\r\n",    "2x0 a\r\n",  "100 a\r\n",
    "650 a\r\n",  "000\r\n",   "250_a\r\n", "2500 a\r\n", "250-a\r\n550 b\r\n",
    " 250 a\r\n", "-50 a\r\n", "* OK\r\n",
};

// What is no reply is PROTOCOL, not a guess.
static void test_bad(gconstpointer data) {
  const char *bytes = bad[GPOINTER_TO_SIZE(data)];
  g_autoptr(SmtpReplyParser) parser = smtp_reply_parser_new();
  SmtpReply *reply = NULL;
  g_autoptr(GError) error = NULL;
  g_assert_cmpint(smtp_reply_parser_feed(parser, bytes, strlen(bytes), &reply, &error), ==, -1);
  g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  g_assert_null(reply);
}

static bool takes_all(const GString *bytes) {
  g_autoptr(SmtpReplyParser) parser = smtp_reply_parser_new();
  g_autoptr(SmtpReply) reply = NULL;
  return smtp_reply_parser_feed(parser, bytes->str, bytes->len, &reply, NULL) >= 0;
}

// A line and a reply have limits: at them it is taken, beyond it ends.
static void test_limits(void) {
  g_autoptr(GString) line = g_string_new("250 ");
  while (line->len < SMTP_REPLY_MAX_LINE)
    g_string_append_c(line, 'a');
  g_assert_true(takes_all(line));
  g_string_append_c(line, 'a');
  g_assert_false(takes_all(line));
  g_autoptr(GString) lines = g_string_new(NULL);
  for (int i = 0; i < SMTP_REPLY_MAX_LINES; i++)
    g_string_append(lines, "250-a\r\n");
  g_assert_true(takes_all(lines));
  g_string_append(lines, "250-a\r\n");
  g_assert_false(takes_all(lines));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/smtp-reply/good/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_good);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autofree char *path = g_strdup_printf("/smtp-reply/bad/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
  }
  g_test_add_func("/smtp-reply/two", test_two);
  g_test_add_func("/smtp-reply/limits", test_limits);
  return g_test_run();
}
