// Whatever somebody drops into the outbox: what would be sent has only CRLF line ends and no line
// too long, no Bcc in its header, as many bytes as was announced, and recipients that can stand in
// an SMTP command, and would be sent unchanged the next time; else it is refused in words.
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/letter.h"
#include "cache/letter_header.h"
#include "tests/fuzz/fuzz.h"

static GString *read_stream(LetterStream *stream) {
  GString *sent = g_string_new(NULL);
  char buffer[61];
  ssize_t got;
  while ((got = letter_stream_read(stream, buffer, sizeof buffer, NULL)) > 0)
    g_string_append_len(sent, buffer, got);
  g_assert_cmpint(got, ==, 0);
  letter_stream_free(stream);
  return sent;
}

static void check_lines(const GString *sent) {
  size_t length = 0;
  for (size_t i = 0; i < sent->len; i++) {
    char byte = sent->str[i];
    g_assert_true(byte != '\0');
    g_assert_true((byte == '\n') == (i > 0 && sent->str[i - 1] == '\r'));
    length = byte == '\n' ? 0 : length + 1;
    g_assert_cmpuint(length, <=, 999);
  }
  g_assert_true(g_str_has_suffix(sent->str, "\r\n"));
}

// By lines, not by the code under test: blanks before the colon, any case.
static void assert_no_line_named(const GString *sent, const char *name) {
  const char *end = strstr(sent->str, "\r\n\r\n");
  size_t length = strlen(name);
  const char *line = sent->str;
  while (line != NULL && (end == NULL || line < end)) {
    if (g_ascii_strncasecmp(line, name, length) == 0)
      g_assert_true(line[length + strspn(line + length, " \t\v\f")] != ':');
    line = strstr(line, "\r\n");
    if (line != NULL) line += 2;
  }
}

static void check_header(const GString *sent) {
  g_autoptr(LetterHeader) header = letter_header_scan(sent->str, sent->len, NULL);
  g_assert_nonnull(header);
  g_assert_cmpuint(header->start, ==, 0);
  static const char *const hidden[] = {"Bcc", "Resent-Bcc", "Return-Path", "Content-Length"};
  static const char *const needed[] = {"Resent-Date", "Resent-From", "Resent-Message-ID"};
  for (size_t i = 0; i < G_N_ELEMENTS(hidden); i++)
    assert_no_line_named(sent, hidden[i]);
  bool is_resent = letter_header_find(header, sent->str, needed[0]) != NULL;
  for (size_t i = 0; i < G_N_ELEMENTS(needed); i++)
    g_assert_nonnull(
        letter_header_find(header, sent->str, needed[i] + (is_resent ? 0 : strlen("Resent-"))));
}

static void check_address(const char *address) {
  g_assert_nonnull(strchr(address, '@'));
  g_assert_null(strpbrk(address, " <>"));
  g_assert_true(g_utf8_validate(address, -1, NULL));
  for (const char *c = address; *c != '\0'; c++)
    g_assert_false(g_ascii_iscntrl(*c));
}

static int file_of(const void *bytes, size_t size) {
  int fd = memfd_create("letter", MFD_CLOEXEC);
  g_assert_cmpint(write(fd, bytes, size), ==, (ssize_t)size);
  return fd;
}

static const LetterDefaults defaults = {
    .from = "me@example.org", .message_id = "id@example.org", .date = 1700000000};

// What is sent is a letter that needs nothing any more: sent again, it is the same bytes.
static void check_again(const Letter *letter, const GString *sent) {
  LetterDefaults given = defaults;
  given.envelope_from = letter_from(letter);
  given.recipients = letter_recipients(letter);
  int fd = file_of(sent->str, sent->len);
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) again = letter_read(fd, &given, &error);
  g_assert_no_error(error);
  g_autoptr(GString) bytes = read_stream(letter_stream_new(again, fd));
  g_assert_true(g_string_equal(bytes, sent));
  g_assert_cmpint(letter_has_8bit(again), ==, letter_has_8bit(letter));
  g_assert_cmpint(letter_needs_utf8(again), ==, letter_needs_utf8(letter));
  close(fd);
}

static void check_letter(const Letter *letter, int fd) {
  g_autoptr(GString) sent = read_stream(letter_stream_new(letter, fd));
  g_autoptr(GString) copy = read_stream(letter_stream_new_copy(letter, fd));
  g_assert_cmpuint(sent->len, ==, letter_size(letter));
  g_assert_cmpuint(copy->len, ==, letter_copy_size(letter));
  check_lines(sent);
  check_header(sent);
  check_address(letter_from(letter));
  g_assert_nonnull(letter_recipients(letter)[0]);
  for (size_t i = 0; letter_recipients(letter)[i] != NULL; i++)
    check_address(letter_recipients(letter)[i]);
  check_again(letter, sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int fd = file_of(data, size);
  g_autoptr(GError) error = NULL;
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &error);
  g_assert_true((letter == NULL) == (error != NULL));
  if (letter != NULL) check_letter(letter, fd);
  close(fd);
  return 0;
}
