// Claim: a text with a line over 998 bytes is sent quoted-printable and nothing else of the letter
// changes; what is encoded, signed or no text is refused with the place, in whatever shape it
// comes.
#include <gmime/gmime.h>
#include <string.h>
#include <unistd.h>

#include "tests/cache/letter_fixture.h"

#define LONG_SIZE 1200

// In a row, "LONG" stands for a line of 1200 bytes, and in what is sent for the same encoded.
static GString *expand(const char *row, bool encoded) {
  GString *text = g_string_new(NULL);
  for (const char *at = row; *at != '\0';) {
    if (!g_str_has_prefix(at, "LONG")) {
      g_string_append_c(text, *at++);
      continue;
    }
    for (size_t i = 0; i < LONG_SIZE; i++) {
      if (encoded && i > 0 && i % 75 == 0) g_string_append(text, "=\r\n");
      g_string_append_c(text, 'x');
    }
    at += 4;
  }
  return text;
}

typedef struct {
  const char *name, *letter, *sent;
} Encoded;

#define TO NOTHING_MISSING "To: b@x.org\n"
#define SENT_TO SENT_WHOLE "To: b@x.org\r\n"
#define MIME "MIME-Version: 1.0\n"
#define SENT_MIME "MIME-Version: 1.0\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define PLAIN "Content-Type: text/plain\n"
#define SENT_PLAIN "Content-Type: text/plain\r\n"
#define MIXED MIME "Content-Type: multipart/mixed; boundary=b\n"
#define SENT_MIXED SENT_MIME "Content-Type: multipart/mixed; boundary=b\r\n"

static const Encoded encoded[] = {
    {"no MIME yet, ASCII", TO "\nA\nLONG\nB\n",
     SENT_TO SENT_MIME "Content-Type: text/plain; charset=us-ascii\r\n" QP
                       "\r\nA\r\nLONG\r\nB\r\n"},
    {"no MIME yet, UTF-8", TO "\n\xc3\xa9\nLONG\n",
     SENT_TO SENT_MIME "Content-Type: text/plain; charset=utf-8\r\n" QP "\r\n=C3=A9\r\nLONG\r\n"},
    {"no MIME yet, other bytes", TO "\n\xe9\nLONG\n",
     SENT_TO SENT_MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP
                       "\r\n=E9\r\nLONG\r\n"},
    {"no MIME yet, a character cut off", TO "\nLONG\n\xe2\x82",
     SENT_TO SENT_MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QP
                       "\r\nLONG\r\n=E2=82\r\n"},
    {"a type without MIME-Version", TO "Content-Type: text/html; charset=utf-8\n\nLONG\n",
     SENT_TO "Content-Type: text/html; charset=utf-8\r\n" SENT_MIME QP "\r\nLONG\r\n"},
    {"MIME-Version without a type", TO MIME "\nLONG\n",
     SENT_TO SENT_MIME "Content-Type: text/plain; charset=us-ascii\r\n" QP "\r\nLONG\r\n"},
    {"8bit becomes quoted-printable in its place",
     TO MIME "Content-Transfer-Encoding: 8bit\n" PLAIN "\nLONG\n\xe9\n",
     SENT_TO SENT_MIME QP SENT_PLAIN "\r\nLONG\r\n=E9\r\n"},
    {"7bit", TO MIME PLAIN "content-transfer-encoding :\n 7BIT\n\nLONG\n",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nLONG\r\n"},
    {"binary with a comment", TO MIME PLAIN "Content-Transfer-Encoding: binary (x)\n\nLONG\n",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nLONG\r\n"},
    {"CRLF and no newline at the end", TO MIME PLAIN "\r\nA=\r\nLONG\r\nB \r\nLONG",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nA=3D\r\nLONG\r\nB=20\r\nLONG\r\n"},
    {"a blank at the very end", TO MIME PLAIN "\nLONG\nA ",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nLONG\r\nA=20\r\n"},
    {"Bcc falls away as ever", TO "Bcc: c@x.org\n" MIME PLAIN "\nLONG\n",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nLONG\r\n"},
    {"Bcc is the last field", TO MIME PLAIN "Bcc: c@x.org\n\nLONG\n",
     SENT_TO SENT_MIME SENT_PLAIN QP "\r\nLONG\r\n"},
    {"one part of two", TO MIXED "\n--b\n" PLAIN "\nA=\n--b\n" PLAIN "\nLONG\n\n--b--\n",
     SENT_TO SENT_MIXED "\r\n--b\r\n" SENT_PLAIN "\r\nA=\r\n--b\r\n" SENT_PLAIN QP
                        "\r\nLONG\r\n\r\n--b--\r\n"},
    {"both parts", TO MIXED "\n--b\n" PLAIN "\nLONG\n--b \n\nLONG\n=\n--b-- \nend\n",
     SENT_TO SENT_MIXED "\r\n--b\r\n" SENT_PLAIN QP "\r\nLONG\r\n--b \r\n" QP
                        "\r\nLONG\r\n=3D\r\n--b-- \r\nend\r\n"},
    {"a part that is never closed", TO MIXED "\n--b\n" PLAIN "\nLONG\n",
     SENT_TO SENT_MIXED "\r\n--b\r\n" SENT_PLAIN QP "\r\nLONG\r\n"},
    {"what only looks like a boundary", TO MIXED "\n--b\n\n--bb\n--c\nLONG\n--b--\n",
     SENT_TO SENT_MIXED "\r\n--b\r\n" QP "\r\n=2D-bb\r\n=2D-c\r\nLONG\r\n--b--\r\n"},
    {"a part in a part",
     TO MIXED "\n--b\nContent-Type: multipart/alternative;\n boundary=\"c d\"\n\n"
              "--c d\n\nLONG\n--c d--\n--b--\n",
     SENT_TO SENT_MIXED
     "\r\n--b\r\nContent-Type: multipart/alternative;\r\n boundary=\"c d\"\r\n\r\n"
     "--c d\r\n" QP "\r\nLONG\r\n--c d--\r\n--b--\r\n"},
    {"an inner part that ends with the outer",
     TO MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nA\n--b\n\nLONG\n--c\n",
     SENT_TO SENT_MIXED
     "\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nA\r\n"
     "--b\r\n" QP "\r\nLONG\r\n=2D-c\r\n"},
    {"a text beside what is signed",
     TO MIXED
     "\n--b\nContent-Type: multipart/signed; boundary=s\n\n--s\n\nA \n--s--\n--b\n\nLONG\n",
     SENT_TO SENT_MIXED "\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n"
                        "--s\r\n\r\nA \r\n--s--\r\n--b\r\n" QP "\r\nLONG\r\n"},
    {"a message in a part",
     TO MIXED "\n--b\nContent-Type: message/rfc822\n\nBcc: x\nSubject: s\n\nLONG\n--b--\n",
     SENT_TO SENT_MIXED
     "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nBcc: x\r\nSubject: s\r\n" SENT_MIME QP
     "\r\nLONG\r\n--b--\r\n"},
    {"a message in a digest",
     TO MIME "Content-Type: multipart/digest; boundary=b\n\n--b\n\n" PLAIN "\nLONG\n--b--\n",
     SENT_TO SENT_MIME
     "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" SENT_PLAIN SENT_MIME QP
     "\r\nLONG\r\n--b--\r\n"},
    {"a message in a digest that does not say what it is",
     TO MIME "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nLONG\n--b--\n",
     SENT_TO SENT_MIME
     "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n" SENT_MIME QP
     "\r\nLONG\r\n--b--\r\n"},
    {"a message that is the letter", TO MIME "Content-Type: message/rfc822\n\nSubject: s\n\nLONG\n",
     SENT_TO SENT_MIME "Content-Type: message/rfc822\r\n\r\nSubject: s\r\n" SENT_MIME QP
                       "\r\nLONG\r\n"},
    {"sent on",
     "Resent-Date: y\nResent-From: r@x.org\nResent-Message-ID: <2@x.org>\nResent-To: "
     "a@x.org\n" PLAIN "\nLONG\n",
     "Resent-Date: y\r\nResent-From: r@x.org\r\nResent-Message-ID: <2@x.org>\r\nResent-To: "
     "a@x.org\r\n" SENT_PLAIN SENT_MIME QP "\r\nLONG\r\n"},
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeParser, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeMessage, g_object_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeStream, g_object_unref)

static void add_decoded(GMimeObject *parent, GMimeObject *part, gpointer data) {
  GString *all = data;
  if (GMIME_IS_MESSAGE_PART(part))
    g_mime_message_foreach(g_mime_message_part_get_message(GMIME_MESSAGE_PART(part)), add_decoded,
                           data);
  if (!GMIME_IS_PART(part)) return;
  GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(part));
  g_autoptr(GMimeStream) stream = g_mime_stream_mem_new();
  if (content != NULL) g_mime_data_wrapper_write_to_stream(content, stream);
  GByteArray *bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
  g_string_append_printf(all, "[part]");
  for (unsigned i = 0; i < bytes->len; i++)
    if (bytes->data[i] != '\r') g_string_append_c(all, (char)bytes->data[i]);
}

// What a mail reader sees of all parts, line ends and the last of them aside.
static GString *decode(const char *bytes, size_t size) {
  g_autoptr(GMimeStream) stream = g_mime_stream_mem_new_with_buffer(bytes, size);
  g_autoptr(GMimeParser) parser = g_mime_parser_new_with_stream(stream);
  g_autoptr(GMimeMessage) message = g_mime_parser_construct_message(parser, NULL);
  GString *all = g_string_new(NULL);
  g_mime_message_foreach(message, add_decoded, all);
  if (g_str_has_suffix(all->str, "\n")) g_string_truncate(all, all->len - 1);
  return all;
}

// The same bytes however they are read, as many as announced, and the copy is encoded alike; to a
// mail reader it is the same text.
static void test_encoded(gconstpointer data) {
  const Encoded *row = data;
  g_autoptr(GString) text = expand(row->letter, false);
  g_autoptr(GString) expected = expand(row->sent, true);
  int fd = letter_file(text->str, text->len);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  for (size_t step = 1; step < 200; step++) {
    g_autoptr(GString) got = letter_drain(letter_stream_new(letter, fd), step);
    g_assert_cmpstr(got->str, ==, expected->str);
    g_assert_cmpuint(got->len, ==, letter_size(letter));
  }
  g_autoptr(GString) copied = letter_drain(letter_stream_new_copy(letter, fd), 4099);
  g_autoptr(GString) before = decode(text->str, text->len);
  g_autoptr(GString) after = decode(copied->str, copied->len);
  g_assert_cmpstr(after->str, ==, before->str);
  g_assert_nonnull(strstr(copied->str, QP));
  g_assert_cmpuint(copied->len, ==, letter_copy_size(letter));
  g_assert_false(letter_has_8bit(letter));
  close(fd);
}

// What is encoded has no 8-bit bytes left, but what stands beside it may have.
static void test_8bit_beside(void) {
  g_autoptr(GString) text = expand(TO MIXED "\n--b\n\n\xe9\nLONG\n--b\n\n\xe9\n--b--\n", false);
  int fd = letter_file(text->str, text->len);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_assert_true(letter_has_8bit(letter));
  close(fd);
}

// A text of many buffers is UTF-8 or not as a whole, wherever the characters are cut between them.
static void test_long_charset(void) {
  for (unsigned shift = 0; shift < 4; shift++) {
    g_autoptr(GString) text = g_string_new(TO "\n");
    for (unsigned i = 0; i < shift; i++)
      g_string_append_c(text, 'x');
    for (unsigned i = 0; i < 20000; i++)
      g_string_append(text, i % 2 == 0 ? "\xf0\x9f\x93\xac" : "\xe2\x82\xac");
    g_autoptr(GString) sent = letter_sent(text->str, text->len);
    g_assert_nonnull(strstr(sent->str, "charset=utf-8\r\n"));
    g_string_append_c(text, '\xff');
    g_autoptr(GString) other = letter_sent(text->str, text->len);
    g_assert_nonnull(strstr(other->str, "charset=unknown-8bit\r\n"));
  }
}

static const Refused refused[] = {
    {"what is encoded already", TO MIME PLAIN "Content-Transfer-Encoding: base64\n\nLONG\n",
     "line 9 is longer than 998 bytes, in a part that is encoded already"},
    {"quoted-printable", TO MIME PLAIN "Content-Transfer-Encoding: Quoted-Printable\n\nLONG\n",
     "encoded already"},
    {"a multipart with an encoding",
     TO MIXED "Content-Transfer-Encoding: base64\n\n--b\n\nLONG\n--b--\n", "encoded already"},
    {"an unknown encoding", TO MIME PLAIN "Content-Transfer-Encoding: x-y\n\nLONG\n",
     "encoded already"},
    {"no text", TO MIME "Content-Type: application/json\n\nLONG\n", "in a part that is no text"},
    {"a type that is none", TO MIME "Content-Type: text\n\nLONG\n", "in a part"},
    {"two types", TO MIME PLAIN "Content-Type: text/html\n\nLONG\n", "says twice what it is"},
    {"two encodings",
     TO MIME "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n\nLONG\n",
     "says twice what it is"},
    {"signed",
     TO MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n" PLAIN "\nA\nLONG\n--b--\n",
     "line 12 is longer than 998 bytes, in what is signed or encrypted"},
    {"a part in what is signed",
     TO MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n"
             "Content-Type: multipart/mixed; boundary=c\n\n--c\n\nLONG\n--b--\n",
     "in what is signed or encrypted"},
    {"a message in what is signed",
     TO MIME "Content-Type: multipart/signed; boundary=b\n\n--b\n"
             "Content-Type: message/rfc822\n\nSubject: s\n\nLONG\n--b--\n",
     "in what is signed or encrypted"},
    {"encrypted",
     TO MIME "Content-Type: multipart/encrypted; boundary=b\n\n--b\n" PLAIN "\nLONG\n--b--\n",
     "in what is signed or encrypted"},
    {"before the first boundary", TO MIXED "\nLONG\n--b\n\nA\n--b--\n", "outside of all parts"},
    {"after the last boundary", TO MIXED "\n--b\n\nA\n--b--\nLONG\n", "outside of all parts"},
    {"a boundary after the last one is none", TO MIXED "\n--b\n\nA\n--b--\n--b\n\nLONG\n",
     "outside of all parts"},
    {"after an inner multipart",
     TO MIXED "\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n--c--\nLONG\n--b--\n",
     "outside of all parts"},
    {"no boundary", TO MIME "Content-Type: multipart/mixed\n\n--b\n\nLONG\n", "sound boundary"},
    {"an empty boundary", TO MIME "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nLONG\n",
     "sound boundary"},
    {"a part with a broken header", TO MIXED "\n--b\nno field\n\nLONG\n--b--\n", "broken header"},
    {"a long line in a part's header", TO MIXED "\n--b\nX: LONG\n\nA\n--b--\n",
     "line 9 is longer than 998 bytes, in a header"},
    {"a message encoded as a whole",
     TO MIXED
     "\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nLONG\n--b--\n",
     "encoded already"},
    {"a part of a message elsewhere",
     TO MIXED "\n--b\nContent-Type: message/partial\n\nLONG\n--b--\n", "no text"},
};

static void test_refused(gconstpointer data) {
  const Refused *row = data;
  g_autoptr(GString) text = expand(row->letter, false);
  letter_assert_refused(text->str, text->len, &letter_defaults, row->words);
}

// 998 bytes are not too long, with LF and with CRLF: nothing is encoded.
static void test_longest(void) {
  static const char *const ends[] = {"\n", "\r\n", ""};
  g_autofree char *line = g_strnfill(998, 'x');
  for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
    g_autofree char *text = g_strconcat(TO "\n", line, ends[i], NULL);
    g_autofree char *expected = g_strconcat(SENT_TO "\r\n", line, "\r\n", NULL);
    g_autoptr(GString) sent = letter_sent(text, strlen(text));
    g_assert_cmpstr(sent->str, ==, expected);
    g_autofree char *more = g_strconcat(TO "\nx", line, ends[i], NULL);
    g_autoptr(GString) encoded_text = letter_sent(more, strlen(more));
    g_assert_nonnull(strstr(encoded_text->str, QP));
  }
}

static GString *nested(unsigned depth) {
  GString *text = g_string_new(TO MIME "Content-Type: multipart/mixed; boundary=b0\n\n");
  for (unsigned i = 1; i < depth; i++)
    g_string_append_printf(text, "--b%u\nContent-Type: multipart/mixed; boundary=b%u\n\n", i - 1,
                           i);
  g_string_append_printf(text, "--b%u\n\n", depth - 1);
  return text;
}

// Parts in parts: what is too deep is left alone, and only a long line there is refused.
static void test_deep(void) {
  g_autofree char *line = g_strnfill(LONG_SIZE, 'x');
  g_autoptr(GString) hundred = nested(100);
  g_string_append(hundred, line);
  g_autoptr(GString) sent = letter_sent(hundred->str, hundred->len);
  g_assert_nonnull(strstr(sent->str, QP));
  g_autoptr(GString) thousand = nested(1000);
  g_autoptr(GString) whole = letter_sent(thousand->str, thousand->len);
  g_assert_null(strstr(whole->str, QP));
  g_string_append(thousand, line);
  letter_assert_refused(thousand->str, thousand->len, &letter_defaults, "nested too deep");

  g_autoptr(GString) messages = g_string_new(TO);
  for (unsigned i = 0; i < 100000; i++)
    g_string_append(messages, "Content-Type: message/rfc822\n\n");
  g_string_append_printf(messages, "\n%s\n", line);
  g_autoptr(GString) inner = letter_sent(messages->str, messages->len);
  g_assert_nonnull(strstr(inner->str, QP));
}

// A thousand texts are encoded, more are not.
static void test_many(void) {
  g_autofree char *line = g_strnfill(LONG_SIZE, 'x');
  g_autoptr(GString) text = g_string_new(TO MIXED "\n");
  for (unsigned i = 0; i < 1000; i++)
    g_string_append_printf(text, "--b\n\n%s\n", line);
  g_autoptr(GString) sent = letter_sent(text->str, text->len);
  g_assert_nonnull(strstr(sent->str, QP));
  g_string_append_printf(text, "--b\n\n%s\n", line);
  letter_assert_refused(text->str, text->len, &letter_defaults, "too many parts");
}

// A part's header that does not end costs no memory, and nothing in that part is changed.
static void test_long_part_header(void) {
  g_autofree char *line = g_strnfill(LONG_SIZE, 'x');
  g_autoptr(GString) text = g_string_new(TO MIXED "\n--b\n");
  for (unsigned i = 0; i < 10000; i++)
    g_string_append_printf(text, "X-%u: y\n", i);
  g_string_append(text, "\nA\n");
  g_autoptr(GString) sent = letter_sent(text->str, text->len);
  g_assert_null(strstr(sent->str, QP));
  g_string_append(text, line);
  letter_assert_refused(text->str, text->len, &letter_defaults, "broken header");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  ADD_ROWS("/letter_text/encoded", encoded, test_encoded)
  ADD_ROWS("/letter_text/refused", refused, test_refused)
  g_test_add_func("/letter_text/8-bit beside", test_8bit_beside);
  g_test_add_func("/letter_text/long charset", test_long_charset);
  g_test_add_func("/letter_text/longest", test_longest);
  g_test_add_func("/letter_text/deep", test_deep);
  g_test_add_func("/letter_text/many", test_many);
  g_test_add_func("/letter_text/long part header", test_long_part_header);
  return g_test_run();
}
