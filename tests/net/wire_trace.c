#include "net/wire_trace.h"

#include <string.h>

#include "net/wire_deflate.h"
#include "net/wire_dialogue.h"
#include "net/wire_line.h"
#include "tests/net/wire_script.h"

// GLib takes one writer for the whole program.
static GString *current_log;

static GLogWriterOutput collect(GLogLevelFlags level, const GLogField *fields, gsize count,
                                gpointer data) {
  if (current_log == NULL) return G_LOG_WRITER_UNHANDLED;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(fields[i].key, "MESSAGE") == 0)
      g_string_append_printf(current_log, "%s\n", (const char *)fields[i].value);
  }
  return G_LOG_WRITER_HANDLED;
}

static void receive(Wire *wire, size_t size) {
  char byte;
  g_autoptr(GError) error = NULL;
  while (size-- > 0) {
    g_assert_cmpint(wire_recv(wire, &byte, 1, &error), ==, 1);
    g_assert_no_error(error);
  }
}

static void say(Wire *wire, const char *text) {
  g_autoptr(GError) error = NULL;
  g_assert_true(wire_send(wire, text, strlen(text), &error));
  g_assert_no_error(error);
}

// Lines are shown whole, however they were cut; logins, literals and messages are not.
static void test_trace(GString **log, gconstpointer unused) {
  Wire *wire = wire_trace_new(
      wire_script_new("C: a LOGIN alice secret\nC: b AUTHENTICATE PLAIN\nS: + go\nC: AHNlY3JldA==\n"
                      "S: b OK\nC: c APPEND INBOX {6}\nC= secret\nC:\nS: * 1 FETCH (BODY[] {6}\n"
                      "S= secret\nS: )\nC: DATA\nS: 354 go\nC: secret\nC: ..\nC: .\nS: 250 Ok\n"
                      "C: BDAT 8\nC= secret\nC:\nC: BDAT 0 LAST\nC: QUIT\nS! close\n",
                      WIRE_SCRIPT_WHOLE, 0),
      "test1");
  say(wire, "a LOGIN ali");
  say(wire, "ce secret\r\nb AUTHENTICATE PLAIN\r\n");
  receive(wire, strlen("+ go\r\n"));
  say(wire, "AHNlY3JldA==\r\n");
  receive(wire, strlen("b OK\r\n"));
  say(wire, "c APPEND INBOX {6}\r\nsec");
  say(wire, "ret\r\n");
  receive(wire, strlen("* 1 FETCH (BODY[] {6}\r\nsecret)\r\n"));
  say(wire, "DATA\r\n");
  receive(wire, strlen("354 go\r\n"));
  say(wire, "secret\r\n..\r\n.");
  say(wire, "\r\n");
  receive(wire, strlen("250 Ok\r\n"));
  say(wire, "BDAT 8\r\nsecret\r");
  say(wire, "\nBDAT 0 LAST\r\nQUIT\r\n");
  char byte;
  g_assert_cmpint(wire_recv(wire, &byte, 1, NULL), ==, 0);
  wire_free(wire);
  g_assert_cmpstr((*log)->str, ==,
                  "test1: > a LOGIN ***\n"
                  "test1: > b AUTHENTICATE ***\n"
                  "test1: < + go\n"
                  "test1: > ***\n"
                  "test1: < b OK\n"
                  "test1: > c APPEND INBOX {6}\n"
                  "test1: > (literal, 6 bytes)\n"
                  "test1: > \n"
                  "test1: < * 1 FETCH (BODY[] {6}\n"
                  "test1: < (literal, 6 bytes)\n"
                  "test1: < )\n"
                  "test1: > DATA\n"
                  "test1: < 354 go\n"
                  "test1: > (message, 15 bytes)\n"
                  "test1: < 250 Ok\n"
                  "test1: > BDAT 8\n"
                  "test1: > (literal, 8 bytes)\n"
                  "test1: > BDAT 0 LAST\n"
                  "test1: > QUIT\n"
                  "test1: < (end)\n"
                  "test1: closed\n");
}

// What is compressed is shown unfolded, also if its first bytes came with the line before and were
// taken for lines, and a literal: however many came. (Blocks that are stored: five bytes, then the
// text.)
static void test_early(GString **log, gconstpointer unused) {
  char early[5 + 29 + 5 + 9];
  for (size_t size = 0; size <= sizeof early; size++) {
    Wire *wire = wire_trace_new(
        wire_script_new(
            "C: a COMPRESS DEFLATE\nS: a OK\n"
            "S= \\x00\\x1d\\x00\\xe2\\xff* OK\\x0d\\x0a* 1 FETCH (BODY[] {6}\\x0d\\x0a\n"
            "S= \\x00\\x09\\x00\\xf6\\xffsecret)\\x0d\\x0a\n",
            WIRE_SCRIPT_WHOLE, 0),
        "test1");
    say(wire, "a COMPRESS DEFLATE\r\n");
    receive(wire, strlen("a OK\r\n"));
    for (size_t i = 0; i < size; i++)
      g_assert_cmpint(wire_recv(wire, early + i, 1, NULL), ==, 1);
    g_string_truncate(*log, 0);
    g_assert_true(wire_wrap(wire, wire_deflate_new, early, size) == wire);
    receive(wire, strlen("* OK\r\n* 1 FETCH (BODY[] {6}\r\nsecret)\r\n"));
    wire_free(wire);
    g_assert_cmpstr((*log)->str, ==,
                    "test1: < * OK\n"
                    "test1: < * 1 FETCH (BODY[] {6}\n"
                    "test1: < (literal, 6 bytes)\n"
                    "test1: < )\n"
                    "test1: closed\n");
  }
}

// The lines of a login go to the log without what is secret in them, also where the server repeats
// it.
static void test_dialogue(GString **log, gconstpointer unused) {
  g_autoptr(WireDialogue) dialogue = wire_dialogue_new(ACCOUNT_POP3, "test1", "secret");
  static const char *const sent[] = {"CAPA\r\n", "USER alice\r\n", "PASS secret\r\n",
                                     "c2VjcmV0\r\n"};
  g_assert_false(wire_dialogue_has_login(dialogue));
  for (size_t i = 0; i < G_N_ELEMENTS(sent); i++)
    wire_dialogue_sent(dialogue, sent[i], strlen(sent[i]));
  g_assert_true(wire_dialogue_has_login(dialogue));
  wire_dialogue_received(dialogue, "-ERR not secret\r\n", 17);
  g_assert_cmpstr(wire_dialogue_refusal(dialogue), ==, "-ERR not ***");
  g_assert_cmpstr((*log)->str, ==,
                  "test1: > CAPA\ntest1: > USER alice\ntest1: > PASS ***\ntest1: > ***\n"
                  "test1: < -ERR not ***\n");
}

static const struct {
  const char *sent, *shown;
} requests[] = {
    {"CONNECT mail.example.org:993 HTTP/1.1\r\nHost: mail.example.org:993\r\n"
     "Proxy-Authorization: Basic cHJveHk6c2VjcmV0\r\nUser-Agent: x\r\n\r\n",
     "CONNECT mail.example.org:993 HTTP/1.1 ***"},
    {"connect mail.example.org:993 HTTP/1.1\r\nX: cHJveHk6c2VjcmV0\r\n\r\n",
     "connect mail.example.org:993 HTTP/1.1 ***"},
    {"CONNECT mail.example.org:993 HTTP/1.1\r\n", "CONNECT mail.example.org:993 HTTP/1.1"},
    {"CONNECT mail.example.org:993", "CONNECT mail.example.org:993"},
    {"Host: mail\r\nproxy-authorization:Basic cHJveHk6c2VjcmV0\r\n\r\n",
     "Host: mail  proxy-authorization: ***"},
    {"Authorization: Bearer c2VjcmV0\r\n", "Authorization: ***"},
    {"a LIST \"\" connect\r\n", "a LIST \"\" connect"},
};

// What a proxy is told in order to let us through is shown without what comes behind its first
// line, and nothing is shown behind the name of a header field that holds a secret.
static void test_proxy(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
    g_autofree char *shown = wire_line_redacted(requests[i].sent, strlen(requests[i].sent), false);
    g_assert_cmpstr(shown, ==, requests[i].shown);
  }
}

static const struct {
  const char *line, *printable;
} lines[] = {
    {"plain\r\n", "plain"},
    {"a\tb", "a b"},
    {"a\033[31mb\a", "a?[31mb?"},
    {"a\nb\r\n\r\n", "a b"},
    {"gr\303\274n \377\303", "gr\303\274n ??"},
    {"\342\200\256evil\342\200\250x", "?evil x"},
};

// A line from a server cannot move a terminal, turn text around or end the line; it has a limit.
static void test_printable(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
    g_autofree char *shown = wire_line_printable(lines[i].line, strlen(lines[i].line));
    g_assert_cmpstr(shown, ==, lines[i].printable);
  }
  g_autofree char *nul = wire_line_printable("a\0b", 3);
  g_assert_cmpstr(nul, ==, "a?b");
  g_autofree char *many = g_strnfill(5000, 'a');
  g_autofree char *cut = wire_line_printable(many, 5000);
  g_assert_cmpuint(strlen(cut), ==, 1000);
}

static void log_open(GString **log, gconstpointer unused) {
  *log = g_string_new(NULL);
  current_log = *log;
}

static void log_close(GString **log, gconstpointer unused) {
  current_log = NULL;
  g_string_free(*log, TRUE);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_log_set_debug_enabled(TRUE);
  g_log_set_writer_func(collect, NULL, NULL);
  g_test_add("/wire-trace/trace", GString *, NULL, log_open, test_trace, log_close);
  g_test_add("/wire-trace/early", GString *, NULL, log_open, test_early, log_close);
  g_test_add("/wire-trace/dialogue", GString *, NULL, log_open, test_dialogue, log_close);
  g_test_add_func("/wire-trace/proxy", test_proxy);
  g_test_add_func("/wire-trace/printable", test_printable);
  return g_test_run();
}
