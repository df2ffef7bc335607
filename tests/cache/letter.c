// Claim: what is sent is the letter's own bytes, without Bcc and what else must not be seen, with
// the lines it lacks, every line ending in CRLF; the copy for the Sent folder keeps Bcc.
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "tests/cache/letter_fixture.h"

#define RESENT "Resent-Date: y\nResent-From: r@x.org\nResent-Message-ID: <2@x.org>\n"
#define SENT_RESENT "Resent-Date: y\r\nResent-From: r@x.org\r\nResent-Message-ID: <2@x.org>\r\n"
#define RESENT_DATE "Resent-" DATE
#define RESENT_FROM "Resent-" FROM
#define RESENT_ID "Resent-" MESSAGE_ID

typedef struct {
  const char *name, *letter, *sent;
} Sent;

static const Sent sent[] = {
    {"nothing missing", NOTHING_MISSING "To: bob@example.org\n\nHello\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\nHello\r\n"},
    {"all missing", "To: bob@example.org\n\nHello\n",
     DATE FROM MESSAGE_ID "To: bob@example.org\r\n\r\nHello\r\n"},
    {"CRLF stays", "To: bob@example.org\r\n\r\nHello\r\n",
     DATE FROM MESSAGE_ID "To: bob@example.org\r\n\r\nHello\r\n"},
    {"mixed line ends", "To: bob@example.org\r\n\nA\r\nB\nC\r\n",
     DATE FROM MESSAGE_ID "To: bob@example.org\r\n\r\nA\r\nB\r\nC\r\n"},
    {"no final newline", NOTHING_MISSING "To: bob@example.org\n\nHello",
     SENT_WHOLE "To: bob@example.org\r\n\r\nHello\r\n"},
    {"header only", NOTHING_MISSING "To: bob@example.org\n", SENT_WHOLE "To: bob@example.org\r\n"},
    {"header only, no newline", NOTHING_MISSING "To: bob@example.org",
     SENT_WHOLE "To: bob@example.org\r\n"},
    {"empty body", NOTHING_MISSING "To: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"dots are data", NOTHING_MISSING "To: bob@example.org\n\n.\n..\n.x\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n.\r\n..\r\n.x\r\n"},
    {"Bcc", NOTHING_MISSING "Bcc: carol@example.org\nTo: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"Bcc in any case", NOTHING_MISSING "bCC: carol@example.org\nTo: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"Bcc with a space before the colon",
     NOTHING_MISSING "Bcc : carol@example.org\nTo: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"Bcc folded",
     NOTHING_MISSING "Bcc: carol@example.org,\n dave@example.org,\n\terin@example.org\n"
                     "To: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"Bcc folded with CRLF",
     "Bcc:\r\n carol@example.org\r\nTo: bob@example.org\r\n" NOTHING_MISSING "\n",
     "To: bob@example.org\r\n" SENT_WHOLE "\r\n"},
    {"Bcc twice", NOTHING_MISSING "Bcc: a@example.org\nSubject: s\nBcc: b@example.org\n\n",
     SENT_WHOLE "Subject: s\r\n\r\n"},
    {"Bcc last, no newline", NOTHING_MISSING "To: bob@example.org\nBcc: carol@example.org",
     SENT_WHOLE "To: bob@example.org\r\n"},
    {"Bcc empty", NOTHING_MISSING "To: bob@example.org\nBcc:\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"Bcc in the body stays", NOTHING_MISSING "To: bob@example.org\n\nBcc: text\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\nBcc: text\r\n"},
    {"a field that begins like Bcc stays", NOTHING_MISSING "Bcc-Note: x\nTo: b@example.org\n\n",
     SENT_WHOLE "Bcc-Note: x\r\nTo: b@example.org\r\n\r\n"},
    {"Resent-Bcc",
     RESENT
     "Resent-To: bob@example.org\nResent-Bcc: carol@example.org,\n dan@x.org\n" NOTHING_MISSING
     "\n",
     SENT_RESENT "Resent-To: bob@example.org\r\n" SENT_WHOLE "\r\n"},
    {"Resent-Bcc of an older block",
     RESENT "Resent-To: bob@example.org\nReceived: x\nResent-To: a@x.org\nRESENT-BCC : "
            "c@x.org\n" NOTHING_MISSING "\n",
     SENT_RESENT "Resent-To: bob@example.org\r\nReceived: x\r\nResent-To: a@x.org\r\n" SENT_WHOLE
                 "\r\n"},
    {"Resent lines missing", "Resent-To: bob@example.org\n" NOTHING_MISSING "\n",
     RESENT_DATE RESENT_FROM RESENT_ID "Resent-To: bob@example.org\r\n" SENT_WHOLE "\r\n"},
    {"Resent lines missing go into their block",
     "Return-Path: <x@x.org>\nReceived: x\nResent-Bcc: b@x.org\nResent-From: "
     "r@x.org\n" NOTHING_MISSING "\n",
     "Received: x\r\n" RESENT_DATE RESENT_ID "Resent-From: r@x.org\r\n" SENT_WHOLE "\r\n"},
    {"Resent lines of an older block do not count",
     "Resent-To: b@x.org\nReceived: x\n" RESENT NOTHING_MISSING "\n",
     RESENT_DATE RESENT_FROM RESENT_ID
     "Resent-To: b@x.org\r\nReceived: x\r\n" SENT_RESENT SENT_WHOLE "\r\n"},
    {"nothing is added to what is sent on", RESENT "Resent-To: b@x.org\nSubject: s\n\n",
     SENT_RESENT "Resent-To: b@x.org\r\nSubject: s\r\n\r\n"},
    {"Return-Path and Content-Length",
     "Return-Path: <x@example.org>\n" NOTHING_MISSING "Content-Length: 7\nTo: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"mbox line", "From alice Mon Nov 23 03:43:00 2026\n" NOTHING_MISSING "To: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"mbox line, quoted",
     ">From alice Mon Nov 23 03:43:00 2026\n" NOTHING_MISSING "To: b@x.org\n\n",
     SENT_WHOLE "To: b@x.org\r\n\r\n"},
    {"mbox lines, two",
     "From alice Mon Nov 23 03:43:00 2026\r\n>From bob Mon Nov 23 03:43:00 2026\r\n" NOTHING_MISSING
     "To: b@x.org\n\n",
     SENT_WHOLE "To: b@x.org\r\n\r\n"},
    {"a From with a space before the colon is no mbox line",
     "From : alice@x.org\nDate: x\nMessage-ID: <1@x.org>\nTo: b@x.org\n\n",
     "From : alice@x.org\r\nDate: x\r\nMessage-ID: <1@x.org>\r\nTo: b@x.org\r\n\r\n"},
    {"a From line in the body stays", NOTHING_MISSING "To: b@x.org\n\nFrom alice\n",
     SENT_WHOLE "To: b@x.org\r\n\r\nFrom alice\r\n"},
    {"an mbox's other lines",
     "Return-Path:\n <x@example.org>\nCONTENT-LENGTH : 7\n" NOTHING_MISSING
     "Status: RO\nX-Status: A\nTo: b@x.org\n\n",
     SENT_WHOLE "Status: RO\r\nX-Status: A\r\nTo: b@x.org\r\n\r\n"},
    {"8-bit bytes stay", NOTHING_MISSING "To: bob@example.org\nSubject: \xc3\xa9\n\n\xff\xfe\n",
     SENT_WHOLE "To: bob@example.org\r\nSubject: \xc3\xa9\r\n\r\n\xff\xfe\r\n"},
    {"white space and folds stay", NOTHING_MISSING "Subject:  a \n  b\t\nTo:bob@example.org\n\n",
     SENT_WHOLE "Subject:  a \r\n  b\t\r\nTo:bob@example.org\r\n\r\n"},
    {"a Message-ID folded", "Message-ID:\n <1@x.org>\nDate: x\nFrom: a@x.org\nTo: b@x.org\n\n",
     "Message-ID:\r\n <1@x.org>\r\nDate: x\r\nFrom: a@x.org\r\nTo: b@x.org\r\n\r\n"},
    {"a Message-ID without an id stays",
     "Message-ID: x\nDate: x\nFrom: a@example.org\nTo: bob@example.org\n\n",
     "Message-ID: x\r\nDate: x\r\nFrom: a@example.org\r\nTo: bob@example.org\r\n\r\n"},
};

// Every way of cutting the reads gives the same bytes, as many as letter_size says.
static void test_sent(gconstpointer data) {
  const Sent *row = data;
  int fd = letter_file(row->letter, strlen(row->letter));
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  for (size_t step = 1; step <= strlen(row->sent) + 1; step++) {
    g_autoptr(GString) got = letter_drain(letter_stream_new(letter, fd), step);
    g_assert_cmpstr(got->str, ==, row->sent);
    g_assert_cmpuint(got->len, ==, letter_size(letter));
  }
  close(fd);
}

static const Sent copies[] = {
    {"Bcc stays", NOTHING_MISSING "Bcc: carol@example.org,\n dave@example.org\nTo: b@x.org\n\nA\n",
     SENT_WHOLE "Bcc: carol@example.org,\r\n dave@example.org\r\nTo: b@x.org\r\n\r\nA\r\n"},
    {"Bcc stays, with CRLF", "BCC : carol@example.org\r\n" NOTHING_MISSING "\n",
     "BCC : carol@example.org\r\n" SENT_WHOLE "\r\n"},
    {"Bcc last, no newline", NOTHING_MISSING "Bcc: c@x.org", SENT_WHOLE "Bcc: c@x.org\r\n"},
    {"Resent-Bcc stays", "Resent-Bcc: c@x.org\n" RESENT NOTHING_MISSING "\n",
     "Resent-Bcc: c@x.org\r\n" SENT_RESENT SENT_WHOLE "\r\n"},
    {"completed", "Bcc: c@x.org\n\nHello", DATE FROM MESSAGE_ID "Bcc: c@x.org\r\n\r\nHello\r\n"},
    {"what came with the file falls away",
     "From alice\nReturn-Path: <x@x.org>\nContent-Length: 3\n" NOTHING_MISSING "Bcc: c@x.org\n\n",
     SENT_WHOLE "Bcc: c@x.org\r\n\r\n"},
};

static void test_copy(gconstpointer data) {
  const Sent *row = data;
  int fd = letter_file(row->letter, strlen(row->letter));
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  for (size_t step = 1; step <= strlen(row->sent) + 1; step++) {
    g_autoptr(GString) got = letter_drain(letter_stream_new_copy(letter, fd), step);
    g_assert_cmpstr(got->str, ==, row->sent);
    g_assert_cmpuint(got->len, ==, letter_copy_size(letter));
  }
  close(fd);
}

static const Refused refused[] = {
    {"nothing", "", "no header"},
    {"an empty line first", "\nTo: a@x.org\n", "no header"},
    {"text only", "Hello Bob,\nhow are you?\n", "line 1 is no header field"},
    {"a continuation first", " x: y\nTo: a@x.org\n\n", "line 1 is no header field"},
    {"text in the header", "To: a@x.org\nhello\n\n", "line 2 is no header field"},
    {"an mbox line only", "From alice\n", "no header"},
};

static GString *header_of(size_t size) {
  GString *text = g_string_new("To: a@x.org\n");
  while (text->len + 64 < size)
    g_string_append_printf(text, "X-%zu: %040d\n", text->len, 0);
  g_string_append(text, "X: ");
  while (text->len + 1 < size)
    g_string_append_c(text, 'x');
  g_string_append(text, "\n");
  return text;
}

// A header of 1 MiB is read to its end (its Bcc too), a longer one refused.
static void test_long_header(void) {
  g_autoptr(GString) most = header_of((1u << 20) - 17);
  g_string_append(most, "Bcc: b@x.org\n\n");
  g_string_append(most, "body\n");
  int fd = letter_file(most->str, most->len);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_assert_cmpstr(letter_recipients(letter)[1], ==, "b@x.org");
  g_autoptr(GString) got = letter_drain(letter_stream_new(letter, fd), 4099);
  g_assert_null(strstr(got->str, "Bcc"));
  g_assert_cmpuint(got->len, ==, letter_size(letter));
  close(fd);

  g_autoptr(GString) longer = header_of((1u << 20) + 1);
  letter_assert_refused(longer->str, longer->len, &letter_defaults, "longer than 1048576 bytes");
}

// A letter of many buffers comes through whole, whatever stands at their borders.
static void test_long_body(void) {
  g_autoptr(GString) text = g_string_new("To: a@x.org\r\n\r\n");
  g_autoptr(GString) expected = g_string_new(DATE FROM MESSAGE_ID "To: a@x.org\r\n\r\n");
  for (unsigned i = 0; i < 40000; i++) {
    g_string_append_printf(text, "%0*u%s", (int)(i % 7), i, i % 3 == 0 ? "\n" : "\r\n");
    g_string_append_printf(expected, "%0*u\r\n", (int)(i % 7), i);
  }
  int fd = letter_file(text->str, text->len);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  for (size_t step = 16381; step < 16388; step++) {
    g_autoptr(GString) got = letter_drain(letter_stream_new(letter, fd), step);
    g_assert_true(g_string_equal(got, expected));
  }
  close(fd);
}

// An id is made for the sender's domain, or for none that could break its line.
static void test_message_id(void) {
  static const char *const rows[][2] = {{"alice@example.org", "@example.org"},
                                        {"alice@[192.0.2.1]", "@[192.0.2.1]"},
                                        {"alice", "@localhost"},
                                        {"alice@", "@localhost"},
                                        {"alice@\xc3\xa9.org", "@localhost"},
                                        {"alice@x.org>\r\nBcc: b@x.org ", "@localhost"},
                                        {"alice@x.org\r\nBcc: b", "@localhost"}};
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *id = letter_make_message_id(rows[i][0]);
    g_assert_true(g_str_has_suffix(id, rows[i][1]));
    g_assert_null(strpbrk(id, "\r\n <>"));
  }
  g_autofree char *first = letter_make_message_id("alice@example.org");
  g_autofree char *second = letter_make_message_id("alice@example.org");
  g_assert_cmpstr(first, !=, second);
}

static void test_8bit(void) {
  static const char plain[] = "To: a@x.org\n\nabc\n", eight[] = "To: a@x.org\n\n\xe9\n";
  int fd = letter_file(plain, sizeof plain - 1);
  g_autoptr(Letter) seven_bits = letter_of(fd, &letter_defaults);
  g_assert_false(letter_has_8bit(seven_bits));
  close(fd);
  fd = letter_file(eight, sizeof eight - 1);
  g_autoptr(Letter) eight_bits = letter_of(fd, &letter_defaults);
  g_assert_true(letter_has_8bit(eight_bits));
  close(fd);
}

// A file that cannot be read is no fault of the letter's.
static void test_unreadable(void) {
  g_autoptr(GError) error = NULL;
  g_assert_null(letter_read(-1, &letter_defaults, &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_IO);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  ADD_ROWS("/letter/sent", sent, test_sent)
  ADD_ROWS("/letter/copy", copies, test_copy)
  ADD_ROWS("/letter/refused", refused, letter_test_refused)
  g_test_add_func("/letter/long header", test_long_header);
  g_test_add_func("/letter/long body", test_long_body);
  g_test_add_func("/letter/message id", test_message_id);
  g_test_add_func("/letter/8-bit", test_8bit);
  g_test_add_func("/letter/unreadable", test_unreadable);
  return g_test_run();
}
