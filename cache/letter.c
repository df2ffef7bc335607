#include "cache/letter.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/letter_lines.h"
#include "cache/letter_private.h"
#include "cache/mime.h"

#define HEADER_MAX (1u << 20)
#define HEADER_FIRST_READ (16u << 10)

G_DEFINE_QUARK(mailfs - letter - error - quark, letter_error)

ssize_t letter_pread(int fd, void *buffer, size_t size, uint64_t offset, GError **error) {
  ssize_t got;
  do {
    got = pread(fd, buffer, size, (off_t)offset);
  } while (got < 0 && errno == EINTR);
  if (got < 0)
    g_set_error(error, LETTER_ERROR, LETTER_ERROR_IO, "cannot read the letter: %s",
                g_strerror(errno));
  return got;
}

// Appends up to `want` bytes from where `bytes` ends; *at_end if the file ends there.
static bool read_more(int fd, GByteArray *bytes, size_t want, bool *at_end, GError **error) {
  size_t have = bytes->len;
  g_byte_array_set_size(bytes, (unsigned)(have + want));
  ssize_t got = letter_pread(fd, bytes->data + have, want, have, error);
  g_byte_array_set_size(bytes, (unsigned)(have + (size_t)MAX(got, 0)));
  *at_end = got == 0;
  return got >= 0;
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

static bool find_envelope(Letter *letter, const LetterHeader *header, const char *bytes,
                          LetterBlock resent, const LetterDefaults *defaults, GError **error) {
  letter->from = letter_envelope_from(header, bytes, resent, defaults, error);
  if (letter->from == NULL) return false;
  letter->recipients = letter_envelope_recipients(header, bytes, resent, defaults, error);
  if (letter->recipients == NULL) return false;
  letter->needs_utf8 = !g_str_is_ascii(letter->from);
  for (unsigned i = 0; i < letter->recipients->len; i++)
    letter->needs_utf8 |= !g_str_is_ascii(g_ptr_array_index(letter->recipients, i));
  g_ptr_array_add(letter->recipients, NULL);
  return true;
}

static void clear_edit(void *data) {
  LetterEdit *edit = data;
  g_free(edit->text);
}

void letter_add_edit(Letter *letter, LetterEdit edit) {
  g_array_append_val(letter->edits, edit);
}

static int compare_edits(const void *a, const void *b) {
  const LetterEdit *left = a, *right = b;
  if (left->start != right->start) return left->start < right->start ? -1 : 1;
  return left->end < right->end ? -1 : left->end > right->end;
}

// By the stream itself, so that the size is what it gives.
static bool measure(Letter *letter, int fd, GError **error) {
  g_autoptr(LetterStream) stream = letter_stream_new(letter, fd);
  char buffer[16384];
  ssize_t got;
  while ((got = letter_stream_read(stream, buffer, sizeof buffer, error)) > 0) {
    for (ssize_t i = 0; i < got; i++)
      letter->has_8bit |= (unsigned char)buffer[i] >= 0x80;
    letter->size += (uint64_t)got;
  }
  letter->copy_size += letter->size;
  return got == 0;
}

static bool understand(Letter *letter, int fd, const GByteArray *file, const LetterHeader *header,
                       const LetterDefaults *defaults, GError **error) {
  const char *bytes = (const char *)file->data;
  LetterBlock resent = letter_find_resent(header, bytes);
  if (!find_envelope(letter, header, bytes, resent, defaults, error)) return false;
  if (!letter_complete(letter, header, bytes, resent, defaults, error)) return false;
  g_array_sort(letter->edits, compare_edits);
  if (!letter_check_lines(letter, fd, header, bytes, file->len, error)) return false;
  g_array_sort(letter->edits, compare_edits);
  return measure(letter, fd, error);
}

Letter *letter_read(int fd, const LetterDefaults *defaults, GError **error) {
  mime_init();
  g_autoptr(GByteArray) bytes = read_header(fd, error);
  if (bytes == NULL) return NULL;
  g_autoptr(LetterHeader) header = letter_header_scan((const char *)bytes->data, bytes->len, error);
  if (header == NULL) return NULL;
  g_autoptr(Letter) letter = g_new0(Letter, 1);
  letter->edits = g_array_new(false, false, sizeof(LetterEdit));
  g_array_set_clear_func(letter->edits, clear_edit);
  if (!understand(letter, fd, bytes, header, defaults, error)) return NULL;
  return g_steal_pointer(&letter);
}

void letter_free(Letter *letter) {
  if (letter == NULL) return;
  g_free(letter->from);
  if (letter->recipients != NULL) g_ptr_array_unref(letter->recipients);
  g_free(letter->id);
  g_array_unref(letter->edits);
  g_free(letter);
}

char *letter_make_message_id(const char *from) {
  static const char allowed[] =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:";
  const char *at = strrchr(from, '@');
  const char *domain = at != NULL ? at + 1 : "";
  bool is_usable = *domain != '\0' && domain[strspn(domain, allowed)] == '\0';
  g_autofree char *unique = g_uuid_string_random();
  return g_strdup_printf("%s@%s", unique, is_usable ? domain : "localhost");
}

const char *letter_from(const Letter *letter) {
  return letter->from;
}

const char *const *letter_recipients(const Letter *letter) {
  return (const char *const *)letter->recipients->pdata;
}

const char *letter_id_field(const Letter *letter) {
  return letter->id_field;
}

const char *letter_id(const Letter *letter) {
  return letter->id;
}

uint64_t letter_size(const Letter *letter) {
  return letter->size;
}

uint64_t letter_copy_size(const Letter *letter) {
  return letter->copy_size;
}

bool letter_has_8bit(const Letter *letter) {
  return letter->has_8bit;
}

bool letter_needs_utf8(const Letter *letter) {
  return letter->needs_utf8;
}
