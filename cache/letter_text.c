#include "cache/letter_text.h"

#include <string.h>

// Where valid UTF-8 may end in the middle of a character: how many bytes of it are there, or -1 if
// what stands there is none.
static gssize cut_character(const char *at, const char *end) {
  gssize left = end - at;
  if (left == 0) return 0;
  return left < 4 && g_utf8_get_char_validated(at, left) == (gunichar)-2 ? left : -1;
}

// NULL: it cannot be read.
static const char *find_charset(int fd, uint64_t start, uint64_t end, GError **error) {
  char buffer[16384];
  size_t kept = 0;
  bool is_ascii = true;
  while (start < end) {
    size_t want = (size_t)MIN(end - start, sizeof buffer - kept);
    ssize_t got = letter_pread(fd, buffer + kept, want, start, error);
    if (got < 0) return NULL;
    if (got == 0) break;
    const char *valid_end, *filled = buffer + kept + got;
    g_utf8_validate_len(buffer, (size_t)(filled - buffer), &valid_end);
    gssize cut = cut_character(valid_end, filled);
    if (cut < 0) return "unknown-8bit";
    for (const char *c = buffer; is_ascii && c < filled; c++)
      is_ascii = (unsigned char)*c < 0x80;
    memmove(buffer, valid_end, (size_t)cut);
    kept = (size_t)cut;
    start += (uint64_t)got;
  }
  if (kept > 0) return "unknown-8bit";
  return is_ascii ? "us-ascii" : "utf-8";
}

static bool make_mime(Letter *letter, int fd, const LetterText *text, GError **error) {
  g_autoptr(GString) lines = g_string_new(NULL);
  if (text->part.lacks_version) g_string_append(lines, "MIME-Version: 1.0\r\n");
  if (text->part.lacks_type && text->is_letter) {
    const char *charset = find_charset(fd, text->start, text->end, error);
    if (charset == NULL) return false;
    g_string_append_printf(lines, "Content-Type: text/plain; charset=%s\r\n", charset);
  }
  uint64_t at = text->part.header_end;
  if (lines->len > 0)
    letter_add_edit(letter, (LetterEdit){at, at, g_string_free(g_steal_pointer(&lines), false)});
  return true;
}

bool letter_encode_text(Letter *letter, int fd, const LetterText *text, GError **error) {
  if (!make_mime(letter, fd, text, error)) return false;
  letter_add_edit(letter,
                  (LetterEdit){text->part.encoding_start, text->part.encoding_end,
                               g_strdup("Content-Transfer-Encoding: quoted-printable\r\n")});
  letter_add_edit(letter, (LetterEdit){text->start, text->end, .encodes = true});
  return true;
}
