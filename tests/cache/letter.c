// Claim: what is sent is the letter's own bytes, without Bcc and what else must not be seen, with
// the lines it lacks, every line ending in CRLF; it goes to those its header names, each once; and
// a letter that cannot be sent so is refused in words.
#include "cache/letter.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const LetterDefaults defaults = {"me@example.org", "id@example.org", 1700000000};

#define DATE "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
#define FROM "From: me@example.org\r\n"
#define MESSAGE_ID "Message-ID: <id@example.org>\r\n"
#define NOTHING_MISSING "Date: x\nFrom: alice@example.org\nMessage-ID: <1@example.org>\n"
#define SENT_WHOLE "Date: x\r\nFrom: alice@example.org\r\nMessage-ID: <1@example.org>\r\n"

static int file_of(const char *bytes, size_t size) {
  int fd = memfd_create("letter", MFD_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(write(fd, bytes, size), ==, (ssize_t)size);
  return fd;
}

// All that a stream gives when it is read in steps of `step` bytes.
static GString *stream_by(const Letter *letter, int fd, size_t step) {
  g_autoptr(LetterStream) stream = letter_stream_new(letter, fd);
  g_autofree char *buffer = g_malloc(step);
  GString *all = g_string_new(NULL);
  ssize_t got;
  g_autoptr(GError) error = NULL;
  while ((got = letter_stream_read(stream, buffer, step, &error)) > 0)
    g_string_append_len(all, buffer, got);
  g_assert_no_error(error);
  return all;
}

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
    {"Resent-Bcc", NOTHING_MISSING "Resent-To: bob@example.org\nResent-Bcc: carol@example.org\n\n",
     SENT_WHOLE "Resent-To: bob@example.org\r\n\r\n"},
    {"Return-Path and Content-Length",
     "Return-Path: <x@example.org>\n" NOTHING_MISSING "Content-Length: 7\nTo: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
    {"mbox line", "From alice Mon Nov 23 03:43:00 2026\n" NOTHING_MISSING "To: bob@example.org\n\n",
     SENT_WHOLE "To: bob@example.org\r\n\r\n"},
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
  int fd = file_of(row->letter, strlen(row->letter));
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  for (size_t step = 1; step <= strlen(row->sent) + 1; step++) {
    g_autoptr(GString) got = stream_by(letter, fd, step);
    g_assert_cmpstr(got->str, ==, row->sent);
    g_assert_cmpuint(got->len, ==, letter_size(letter));
  }
  close(fd);
}

typedef struct {
  const char *name, *header, *from, *recipients;  // separated by spaces
  bool needs_utf8;
} Envelope;

static const Envelope envelopes[] = {
    {"To, Cc and Bcc", "From: alice@example.org\nTo: a@x.org\nCc: b@x.org\nBcc: c@x.org\n",
     "alice@example.org", "a@x.org b@x.org c@x.org"},
    {"From missing", "To: a@x.org\n", "me@example.org", "a@x.org"},
    {"Sender before From", "From: a@x.org, b@x.org\nSender: s@x.org\nTo: t@x.org\n", "s@x.org",
     "t@x.org"},
    {"first of several in From", "From: a@x.org, b@x.org\nTo: t@x.org\n", "a@x.org", "t@x.org"},
    {"each once", "From: f@x.org\nTo: a@x.org, a@X.ORG\nCc: a@x.org, A@x.org\n", "f@x.org",
     "a@x.org A@x.org"},
    {"display names",
     "From: \"Doe, Alice\" <alice@x.org>\nTo: Bob <bob@x.org>, \"C, D\" <c@x.org> (x, y)\n",
     "alice@x.org", "bob@x.org c@x.org"},
    {"a display name that is an address", "From: f@x.org\nTo: a@x.org <b@x.org>\n", "f@x.org",
     "b@x.org"},
    {"RFC 2047 names",
     "From: =?utf-8?q?Ann=C3=A9?= <a@x.org>\nTo: =?iso-8859-1?B?SvZyZywgQg==?= <j@x.org>\n",
     "a@x.org", "j@x.org"},
    {"groups", "From: f@x.org\nTo: Friends: a@x.org, Bob <b@x.org>;, c@x.org\n", "f@x.org",
     "a@x.org b@x.org c@x.org"},
    {"an empty group", "From: f@x.org\nTo: undisclosed-recipients:;\nBcc: a@x.org\n", "f@x.org",
     "a@x.org"},
    {"folded", "From: f@x.org\nTo: a@x.org,\n b@x.org,\r\n\tc@x.org\n", "f@x.org",
     "a@x.org b@x.org c@x.org"},
    {"empty places in a list", "From: f@x.org\nTo: , a@x.org,, b@x.org,\n", "f@x.org",
     "a@x.org b@x.org"},
    {"quoted local part", "From: f@x.org\nTo: \"a@b\"@x.org\n", "f@x.org", "\"a@b\"@x.org"},
    {"domain literal", "From: f@x.org\nTo: a@[192.0.2.1]\n", "f@x.org", "a@[192.0.2.1]"},
    {"UTF-8 address", "From: f@x.org\nTo: <j\xc3\xb6rg@x.org>\n", "f@x.org", "j\xc3\xb6rg@x.org",
     true},
    {"UTF-8 domain of the sender", "From: f@m\xc3\xbcller.example\nTo: a@x.org\n",
     "f@m\xc3\xbcller.example", "a@x.org", true},
    {"UTF-8 subject", "From: f@x.org\nTo: a@x.org\nSubject: \xc3\xa9\n", "f@x.org", "a@x.org"},
    {"Resent",
     "Resent-From: r@x.org\nResent-To: a@x.org\nResent-Cc: b@x.org\nResent-Bcc: c@x.org\n"
     "From: f@x.org\nTo: t@x.org\nBcc: u@x.org\n",
     "r@x.org", "a@x.org b@x.org c@x.org"},
    {"the first Resent block, two divided by a trace",
     "Resent-To: a@x.org\nReceived: x\nResent-To: b@x.org\nFrom: f@x.org\nTo: t@x.org\n", "f@x.org",
     "a@x.org"},
    {"the first Resent block, two side by side",
     "Resent-Date: x\nResent-To: a@x.org\nResent-Date: y\nResent-To: b@x.org\nFrom: f@x.org\n",
     "f@x.org", "a@x.org"},
    {"two Resent-Bcc in one block",
     "Resent-From: r@x.org\nResent-Bcc: a@x.org\nResent-Bcc: b@x.org\nTo: t@x.org\n", "r@x.org",
     "a@x.org b@x.org"},
};

static void test_envelope(gconstpointer data) {
  const Envelope *row = data;
  int fd = file_of(row->header, strlen(row->header));
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  g_autofree char *recipients = g_strjoinv(" ", (char **)letter_recipients(letter));
  g_assert_cmpstr(letter_from(letter), ==, row->from);
  g_assert_cmpstr(recipients, ==, row->recipients);
  g_assert_cmpint(letter_needs_utf8(letter), ==, row->needs_utf8);
  close(fd);
}

typedef struct {
  const char *name, *letter, *words;
} Refused;

#define LINE_100                                                                                   \
  "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
  "567890"
#define LINE_900 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100 LINE_100
#define LINE_98                                                                                    \
  "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234" \
  "5678"

static const Refused refused[] = {
    {"nothing", "", "no header"},
    {"an empty line first", "\nTo: a@x.org\n", "no header"},
    {"text only", "Hello Bob,\nhow are you?\n", "line 1 is no header field"},
    {"a continuation first", " x: y\nTo: a@x.org\n\n", "line 1 is no header field"},
    {"text in the header", "To: a@x.org\nhello\n\n", "line 2 is no header field"},
    {"an mbox line only", "From alice\n", "no header"},
    {"no recipient", "From: a@x.org\nSubject: s\n\n", "no recipient"},
    {"an empty To", "To:\n\n", "no recipient"},
    {"an empty group", "To: undisclosed-recipients:;\n\n", "no recipient"},
    {"a Resent block without one", "Resent-From: r@x.org\nTo: a@x.org\n\n", "no recipient"},
    {"no domain", "To: alice\n\n", "To field is broken: \"alice\""},
    {"an unquoted comma in a name", "To: Doe, John <john@x.org>\n\n", "\"Doe\" is no address"},
    {"no local part", "To: @x.org\n\n", "To field is broken"},
    {"an empty domain", "To: a@\n\n", "To field is broken"},
    {"two @", "To: a@b@c\n\n", "To field is broken"},
    {"no comma between", "To: a@x.org b@x.org\n\n", "To field is broken"},
    {"semicolons", "To: a@x.org; b@x.org\n\n", "To field is broken"},
    {"text after the brackets", "To: <a@x.org> b@x.org\n\n", "To field is broken"},
    {"brackets twice", "To: <a@x.org> <b@x.org>\n\n", "To field is broken"},
    {"an open bracket", "Cc: <a@x.org\nTo: a@x.org\n\n", "Cc field is broken"},
    {"an open quote", "To: \"a <a@x.org>\n\n", "To field is broken"},
    {"an open comment", "To: a@x.org (b\n\n", "To field is broken"},
    {"an open group", "To: Friends: a@x.org\n\n", "To field is broken"},
    {"empty brackets", "Bcc: <>\n\n", "Bcc field is broken"},
    {"a bracket in brackets", "To: <a@x.org<b@x.org>\n\n", "To field is broken"},
    {"a source route", "To: <@a.org:b@x.org>\n\n", "To field is broken"},
    {"a broken From", "From: alice\nTo: a@x.org\n\n", "From field is broken"},
    {"an empty From", "From:\nTo: a@x.org\n\n", "From field holds no address"},
    {"bytes that are no UTF-8", "To: \xff@x.org\n\n", "To field is broken"},
    {"a control character", "To: <a\x01@x.org>\n\n", "To field is broken"},
    {"blanks in quotes", "To: \"a b\"@x.org\n\n", "To field is broken"},
    {"brackets in quotes", "To: \"a<b>\"@x.org\n\n", "To field is broken"},
    {"a blank in a domain literal", "To: a@[192.0.2.1 x]\n\n", "To field is broken"},
    {"a lone CR in the body", "To: a@x.org\n\na\rb\n", "line 3 has a carriage return"},
    {"a line's number in the file",
     "From x\nA: b\nBcc: c@x.org,\n d@x.org\nTo: a@x.org\nBcc: e@x.org\n\n\ra\n",
     "line 8 has a carriage return that ends no line"},
    {"a line's number before what is cut", "To: a@x.org\nX: \ra\nBcc: e@x.org\n\n",
     "line 2 has a carriage return that ends no line"},
    {"a lone CR at the end", "To: a@x.org\n\na\r", "ends no line"},
    {"a lone CR in the header", "To: a@x.org\nX: a\rBcc: b@x.org\n\n", "ends no line"},
    {"CR CR LF", "To: a@x.org\n\na\r\r\n", "ends no line"},
    {"a line of 999 bytes", "To: a@x.org\n\n" LINE_900 LINE_98 "x\n", "longer than 998"},
    {"a header line of 999 bytes", "To: a@x.org\nX: " LINE_900 LINE_98 "\n\n", "longer than 998"},
};

static void assert_refused(const char *bytes, size_t size, const char *words) {
  int fd = file_of(bytes, size);
  g_autoptr(GError) error = NULL;
  g_assert_null(letter_read(fd, &defaults, &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
  if (strstr(error->message, words) == NULL)
    g_error("\"%s\" does not say \"%s\"", error->message, words);
  close(fd);
}

static void test_refused(gconstpointer data) {
  const Refused *row = data;
  assert_refused(row->letter, strlen(row->letter), row->words);
}

// A NUL byte is refused wherever it stands, also in what is cut out.
static void test_nul(void) {
  static const char body[] = "To: a@x.org\n\na\0b\n";
  static const char header[] = "To: a@x.org\nX: \0\n\n";
  static const char bcc[] = "To: a@x.org\nBcc: b@x.org\0, c@x.org\n\n";
  assert_refused(body, sizeof body - 1, "contains a NUL byte");
  assert_refused(header, sizeof header - 1, "contains a NUL byte");
  assert_refused(bcc, sizeof bcc - 1, "contains a NUL byte");
}

// A line of 998 bytes is the longest; what is cut out may be longer.
static void test_longest_line(void) {
  static const char text[] = "To: a@x.org\n\n" LINE_900 LINE_98 "\n";
  int fd = file_of(text, sizeof text - 1);
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  g_assert_nonnull(letter);
  close(fd);

  static const char bcc[] = "Bcc: b@x.org (" LINE_900 LINE_900 ")\nTo: a@x.org\n\n";
  fd = file_of(bcc, sizeof bcc - 1);
  g_autoptr(Letter) cut = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  g_assert_nonnull(cut);
  close(fd);
}

// What is no address is refused in a time that grows with its length only: with the square of it,
// the test would not end in time.
static void test_long_address(void) {
  g_autoptr(GString) text = g_string_new("To: a@[\"");
  for (unsigned i = 0; i < 400000; i++)
    g_string_append(text, "\\\"");
  g_string_append(text, "]\n\n");
  assert_refused(text->str, text->len, "To field is broken");
}

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
  int fd = file_of(most->str, most->len);
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(letter_recipients(letter)[1], ==, "b@x.org");
  g_autoptr(GString) got = stream_by(letter, fd, 4099);
  g_assert_null(strstr(got->str, "Bcc"));
  g_assert_cmpuint(got->len, ==, letter_size(letter));
  close(fd);

  g_autoptr(GString) longer = header_of((1u << 20) + 1);
  assert_refused(longer->str, longer->len, "longer than 1048576 bytes");
}

// A letter of many buffers comes through whole, whatever stands at their borders.
static void test_long_body(void) {
  g_autoptr(GString) text = g_string_new("To: a@x.org\r\n\r\n");
  g_autoptr(GString) expected = g_string_new(DATE FROM MESSAGE_ID "To: a@x.org\r\n\r\n");
  for (unsigned i = 0; i < 40000; i++) {
    g_string_append_printf(text, "%0*u%s", (int)(i % 7), i, i % 3 == 0 ? "\n" : "\r\n");
    g_string_append_printf(expected, "%0*u\r\n", (int)(i % 7), i);
  }
  int fd = file_of(text->str, text->len);
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_no_error(error);
  for (size_t step = 16381; step < 16388; step++) {
    g_autoptr(GString) got = stream_by(letter, fd, step);
    g_assert_true(g_string_equal(got, expected));
  }
  close(fd);
}

static void test_message_id(void) {
  g_autofree char *first = letter_make_message_id("alice@example.org");
  g_autofree char *second = letter_make_message_id("alice@example.org");
  g_autofree char *bare = letter_make_message_id("alice");
  g_assert_true(g_str_has_suffix(first, "@example.org"));
  g_assert_true(g_str_has_suffix(bare, "@localhost"));
  g_assert_cmpstr(first, !=, second);
}

static void test_8bit(void) {
  static const char plain[] = "To: a@x.org\n\nabc\n", eight[] = "To: a@x.org\n\n\xe9\n";
  int fd = file_of(plain, sizeof plain - 1);
  g_autoptr(Letter) seven_bits = letter_read(fd, &defaults, NULL);
  g_assert_false(letter_has_8bit(seven_bits));
  close(fd);
  fd = file_of(eight, sizeof eight - 1);
  g_autoptr(Letter) eight_bits = letter_read(fd, &defaults, NULL);
  g_assert_true(letter_has_8bit(eight_bits));
  close(fd);
}

// A file that cannot be read is no fault of the letter's.
static void test_unreadable(void) {
  g_autoptr(GError) error = NULL;
  g_assert_null(letter_read(-1, &defaults, &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_IO);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(sent); i++) {
    g_autofree char *path = g_strconcat("/letter/sent/", sent[i].name, NULL);
    g_test_add_data_func(path, &sent[i], test_sent);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(envelopes); i++) {
    g_autofree char *path = g_strconcat("/letter/envelope/", envelopes[i].name, NULL);
    g_test_add_data_func(path, &envelopes[i], test_envelope);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
    g_autofree char *path = g_strconcat("/letter/refused/", refused[i].name, NULL);
    g_test_add_data_func(path, &refused[i], test_refused);
  }
  g_test_add_func("/letter/nul", test_nul);
  g_test_add_func("/letter/longest line", test_longest_line);
  g_test_add_func("/letter/long header", test_long_header);
  g_test_add_func("/letter/long body", test_long_body);
  g_test_add_func("/letter/message id", test_message_id);
  g_test_add_func("/letter/long address", test_long_address);
  g_test_add_func("/letter/8-bit", test_8bit);
  g_test_add_func("/letter/unreadable", test_unreadable);
  return g_test_run();
}
