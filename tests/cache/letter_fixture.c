#include "tests/cache/letter_fixture.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const LetterDefaults letter_defaults = {
    .from = "me@example.org", .message_id = "id@example.org", .date = 1700000000};

int letter_file(const char *bytes, size_t size) {
  int fd = memfd_create("letter", MFD_CLOEXEC);
  g_assert_cmpint(fd, >=, 0);
  g_assert_cmpint(write(fd, bytes, size), ==, (ssize_t)size);
  return fd;
}

Letter *letter_of(int fd, const LetterDefaults *defaults) {
  g_autoptr(GError) error = NULL;
  Letter *letter = letter_read(fd, defaults, &error);
  g_assert_no_error(error);
  g_assert_nonnull(letter);
  return letter;
}

GString *letter_drain(LetterStream *stream, size_t step) {
  g_autofree char *buffer = g_malloc(step);
  GString *all = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  ssize_t got;
  while ((got = letter_stream_read(stream, buffer, step, &error)) > 0)
    g_string_append_len(all, buffer, got);
  g_assert_no_error(error);
  letter_stream_free(stream);
  return all;
}

GString *letter_sent(const char *bytes, size_t size) {
  int fd = letter_file(bytes, size);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  GString *sent = letter_drain(letter_stream_new(letter, fd), 4099);
  g_assert_cmpuint(sent->len, ==, letter_size(letter));
  close(fd);
  return sent;
}

void letter_assert_refused(const char *bytes, size_t size, const LetterDefaults *defaults,
                           const char *words) {
  int fd = letter_file(bytes, size);
  g_autoptr(GError) error = NULL;
  g_assert_null(letter_read(fd, defaults, &error));
  g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
  if (strstr(error->message, words) == NULL)
    g_error("\"%s\" does not say \"%s\"", error->message, words);
  close(fd);
}

void letter_test_refused(gconstpointer data) {
  const Refused *row = data;
  letter_assert_refused(row->letter, strlen(row->letter), &letter_defaults, row->words);
}
