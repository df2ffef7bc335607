#include "cache/letter.h"

#include <errno.h>
#include <gmime/gmime.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "cache/letter_envelope.h"
#include "cache/letter_header.h"
#include "cache/letter_private.h"
#include "cache/mime.h"

#define HEADER_MAX (1u << 20)
#define HEADER_FIRST_READ (16u << 10)
// RFC 5322 section 2.1.1, without the line end.
#define LINE_MAX_BYTES 998

G_DEFINE_QUARK(mailfs - letter - error - quark, letter_error)

// What only concerns the way a letter came here, or must not be seen by those who get it.
static const char *const cut_fields[] = {"Bcc", "Resent-Bcc", "Return-Path", "Content-Length"};

// Appends up to `want` bytes from where `bytes` ends; *at_end if the file ends there.
static bool read_more(int fd, GByteArray *bytes, size_t want, bool *at_end, GError **error) {
  size_t have = bytes->len;
  g_byte_array_set_size(bytes, (unsigned)(have + want));
  ssize_t got;
  do {
    got = pread(fd, bytes->data + have, want, (off_t)have);
  } while (got < 0 && errno == EINTR);
  g_byte_array_set_size(bytes, (unsigned)(have + (size_t)MAX(got, 0)));
  *at_end = got == 0;
  if (got >= 0) return true;
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_IO, "cannot read the letter: %s",
              g_strerror(errno));
  return false;
}

// At least the whole header, if there is one of at most HEADER_MAX bytes.
static GByteArray *read_header(int fd, GError **error) {
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  bool at_end = false;
  while (!at_end && !letter_header_is_whole((const char *)bytes->data, bytes->len)) {
    if (bytes->len >= HEADER_MAX) {
      g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its header is longer than %u bytes",
                  HEADER_MAX);
      return NULL;
    }
    size_t want = CLAMP(3 * (size_t)bytes->len, HEADER_FIRST_READ, HEADER_MAX - bytes->len);
    if (!read_more(fd, bytes, MAX(want, 1), &at_end, error)) return NULL;
  }
  return g_steal_pointer(&bytes);
}

static uint64_t count_lines(const char *bytes, size_t size) {
  uint64_t lines = 0;
  for (size_t i = 0; i < size; i++)
    if (bytes[i] == '\n') lines++;
  return lines;
}

// Beyond the cuts there are already.
static void add_cut(Letter *letter, const char *bytes, size_t start, size_t end) {
  LetterCut last = {.line = 1};
  unsigned n_cuts = letter->cuts->len;
  if (end == start) return;
  if (n_cuts > 0) last = g_array_index(letter->cuts, LetterCut, n_cuts - 1);
  uint64_t between = count_lines(bytes + last.end, start - last.end);
  LetterCut cut = {start, end, last.line + last.lines + between,
                   count_lines(bytes + start, end - start)};
  g_array_append_val(letter->cuts, cut);
}

static void find_cuts(Letter *letter, const LetterHeader *header, const char *bytes) {
  add_cut(letter, bytes, 0, header->start);
  for (unsigned i = 0; i < header->fields->len; i++) {
    const LetterField *field = &g_array_index(header->fields, LetterField, i);
    for (unsigned name = 0; name < G_N_ELEMENTS(cut_fields); name++)
      if (letter_field_is(bytes, field, cut_fields[name]))
        add_cut(letter, bytes, field->start, field->end);
  }
}

static bool find_envelope(Letter *letter, const LetterHeader *header, const char *bytes,
                          const LetterDefaults *defaults, GError **error) {
  letter->from = letter_envelope_from(header, bytes, defaults->from, error);
  if (letter->from == NULL) return false;
  letter->recipients = letter_envelope_recipients(header, bytes, error);
  if (letter->recipients == NULL) return false;
  letter->needs_utf8 = !g_str_is_ascii(letter->from);
  for (unsigned i = 0; i < letter->recipients->len; i++)
    letter->needs_utf8 |= !g_str_is_ascii(g_ptr_array_index(letter->recipients, i));
  g_ptr_array_add(letter->recipients, NULL);
  return true;
}

static char *format_date(int64_t seconds) {
  g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(seconds);
  return g_mime_utils_header_format_date(date);
}

static void make_prefix(Letter *letter, const LetterHeader *header, const char *bytes,
                        const LetterDefaults *defaults) {
  GString *prefix = g_string_new(NULL);
  if (letter_header_find(header, bytes, "Date") == NULL) {
    g_autofree char *date = format_date(defaults->date);
    g_string_append_printf(prefix, "Date: %s\r\n", date);
  }
  if (letter_header_find(header, bytes, "From") == NULL)
    g_string_append_printf(prefix, "From: %s\r\n", defaults->from);
  if (letter_header_find(header, bytes, "Message-ID") == NULL)
    g_string_append_printf(prefix, "Message-ID: <%s>\r\n", defaults->message_id);
  letter->prefix = g_string_free(prefix, false);
}

// What is checked of the bytes as they will be sent.
typedef struct {
  uint64_t line;         // how many went before
  uint64_t line_length;  // so far
  bool after_cr;
} Check;

// What would be sent after `line` lines, by its number in the file.
static uint64_t line_in_file(const Letter *letter, uint64_t line) {
  line = line + 1 - count_lines(letter->prefix, strlen(letter->prefix));
  for (unsigned i = 0; i < letter->cuts->len; i++) {
    const LetterCut *cut = &g_array_index(letter->cuts, LetterCut, i);
    if (cut->line <= line) line += cut->lines;
  }
  return line;
}

static bool check_byte(Letter *letter, Check *check, unsigned char byte, GError **error) {
  const char *wrong = NULL;
  if (check->after_cr && byte != '\n')
    wrong = "has a carriage return that ends no line";
  else if (byte == '\0')
    wrong = "contains a NUL byte";
  check->after_cr = byte == '\r';
  if (byte == '\n') {
    check->line++;
    check->line_length = 0;
  } else if (byte != '\r' && ++check->line_length > LINE_MAX_BYTES) {
    wrong = "is longer than 998 bytes";
  }
  if (byte >= 0x80) letter->has_8bit = true;
  if (wrong == NULL) return true;
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "line %" PRIu64 " %s",
              line_in_file(letter, check->line), wrong);
  return false;
}

static bool measure(Letter *letter, int fd, GError **error) {
  g_autoptr(LetterStream) stream = letter_stream_new(letter, fd);
  unsigned char buffer[16384];
  Check check = {0};
  ssize_t got;
  while ((got = letter_stream_read(stream, buffer, sizeof buffer, error)) > 0) {
    for (ssize_t i = 0; i < got; i++)
      if (!check_byte(letter, &check, buffer[i], error)) return false;
    letter->size += (uint64_t)got;
  }
  return got == 0;
}

Letter *letter_read(int fd, const LetterDefaults *defaults, GError **error) {
  mime_init();
  g_autoptr(GByteArray) header_bytes = read_header(fd, error);
  if (header_bytes == NULL) return NULL;
  const char *bytes = (const char *)header_bytes->data;
  g_autoptr(LetterHeader) header = letter_header_scan(bytes, header_bytes->len, error);
  if (header == NULL) return NULL;
  g_autoptr(Letter) letter = g_new0(Letter, 1);
  letter->cuts = g_array_new(false, false, sizeof(LetterCut));
  if (!find_envelope(letter, header, bytes, defaults, error)) return NULL;
  find_cuts(letter, header, bytes);
  make_prefix(letter, header, bytes, defaults);
  if (!measure(letter, fd, error)) return NULL;
  return g_steal_pointer(&letter);
}

void letter_free(Letter *letter) {
  if (letter == NULL) return;
  g_free(letter->from);
  if (letter->recipients != NULL) g_ptr_array_unref(letter->recipients);
  g_free(letter->prefix);
  g_array_unref(letter->cuts);
  g_free(letter);
}

char *letter_make_message_id(const char *from) {
  const char *at = strrchr(from, '@');
  bool usable = at != NULL && at[1] != '\0' && g_str_is_ascii(at);
  g_autofree char *unique = g_uuid_string_random();
  return g_strdup_printf("%s@%s", unique, usable ? at + 1 : "localhost");
}

const char *letter_from(const Letter *letter) {
  return letter->from;
}

const char *const *letter_recipients(const Letter *letter) {
  return (const char *const *)letter->recipients->pdata;
}

uint64_t letter_size(const Letter *letter) {
  return letter->size;
}

bool letter_has_8bit(const Letter *letter) {
  return letter->has_8bit;
}

bool letter_needs_utf8(const Letter *letter) {
  return letter->needs_utf8;
}
