#include "cache/name.h"

#include <string.h>
#include <time.h>

// So much of the subject is kept before the sender is cut.
#define SUBJECT_MIN 16
// No cluster of a letter and this many marks fits into a name.
#define MARKS_MAX NAME_MESSAGE_MAX

// Default_Ignorable_Code_Point of the Unicode Standard: drawn as nothing, so two names that differ
// by one look the same. Some are letters or marks by category.
static const struct {
  gunichar first;
  gunichar last;
} ignorable[] = {
    {0x00AD, 0x00AD},    // soft hyphen
    {0x034F, 0x034F},    // combining grapheme joiner
    {0x061C, 0x061C},    // Arabic letter mark
    {0x115F, 0x1160},    // Hangul fillers
    {0x17B4, 0x17B5},    // Khmer inherent vowels
    {0x180B, 0x180F},    // Mongolian variation selectors, vowel separator
    {0x200B, 0x200F},    // zero width, direction marks
    {0x202A, 0x202E},    // direction embedding and override
    {0x2060, 0x206F},    // word joiner, invisible operators, direction isolates
    {0x3164, 0x3164},    // Hangul filler
    {0xFE00, 0xFE0F},    // variation selectors
    {0xFEFF, 0xFEFF},    // zero width no-break space
    {0xFFA0, 0xFFA0},    // halfwidth Hangul filler
    {0xFFF0, 0xFFF8},    // unassigned
    {0x1BCA0, 0x1BCA3},  // shorthand format controls
    {0x1D173, 0x1D17A},  // musical format controls
    {0xE0000, 0xE0FFF},  // tags, variation selectors
};

static bool is_ignorable(gunichar c) {
  for (size_t i = 0; i < G_N_ELEMENTS(ignorable) && ignorable[i].first <= c; i++)
    if (c <= ignorable[i].last) return true;
  return false;
}

typedef enum {
  KIND_OTHER,
  KIND_LETTER,  // category L
  KIND_MARK,    // category M: kept after a letter
  KIND_PLAIN,   // category N and the signs that names may have
} Kind;

static Kind kind_of_ascii(gunichar c) {
  if (g_ascii_isalpha((char)c)) return KIND_LETTER;
  return g_ascii_isdigit((char)c) || strchr(".@+=-", (int)c) != NULL ? KIND_PLAIN : KIND_OTHER;
}

static Kind kind_of(gunichar c) {
  if (c < 0x80) return kind_of_ascii(c);
  if (is_ignorable(c)) return KIND_OTHER;
  switch (g_unichar_type(c)) {
    case G_UNICODE_LOWERCASE_LETTER:
    case G_UNICODE_MODIFIER_LETTER:
    case G_UNICODE_OTHER_LETTER:
    case G_UNICODE_TITLECASE_LETTER:
    case G_UNICODE_UPPERCASE_LETTER:
      return KIND_LETTER;
    case G_UNICODE_SPACING_MARK:
    case G_UNICODE_ENCLOSING_MARK:
    case G_UNICODE_NON_SPACING_MARK:
      return KIND_MARK;
    case G_UNICODE_DECIMAL_NUMBER:
    case G_UNICODE_LETTER_NUMBER:
    case G_UNICODE_OTHER_NUMBER:
      return KIND_PLAIN;
    default:
      return KIND_OTHER;
  }
}

// NFC. Long runs of marks are cut first: putting a run in order takes time that grows with its
// square, and no name has room for them.
static char *compose(const char *text) {
  if (g_str_is_ascii(text)) return g_strdup(text);
  g_autoptr(GString) bounded = g_string_new(NULL);
  unsigned marks = 0;
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);
    marks = g_unichar_ismark(c) ? marks + 1 : 0;
    if (marks <= MARKS_MAX) g_string_append_unichar(bounded, c);
  }
  return g_utf8_normalize(bounded->str, -1, G_NORMALIZE_NFC);
}

static void append_folded(GString *part, gunichar c) {
  bool at_start = part->len == 0;
  if (at_start && (c == '-' || c == '.')) return;
  if (c == '-' && part->str[part->len - 1] == '-') return;
  if (c < 0x80)
    g_string_append_c(part, (char)c);
  else
    g_string_append_unichar(part, c);
}

static void drop_trailing_dash(GString *part) {
  if (part->len > 0 && part->str[part->len - 1] == '-') g_string_truncate(part, part->len - 1);
}

// One part of a name; empty if nothing in it may stand in a name.
static GString *fold(const char *text) {
  GString *part = g_string_sized_new(NAME_MESSAGE_MAX);
  if (text == NULL) return part;
  g_autofree char *composed = compose(text);
  bool after_letter = false;
  for (const char *at = composed; *at != '\0'; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);
    Kind kind = kind_of(c);
    after_letter = kind == KIND_LETTER || (kind == KIND_MARK && after_letter);
    append_folded(part, after_letter || kind == KIND_PLAIN ? c : '-');
  }
  drop_trailing_dash(part);
  return part;
}

static void use_if_empty(GString *part, const char *otherwise) {
  if (part->len == 0) g_string_assign(part, otherwise);
}

static GString *fold_sender(const char *name, const char *address) {
  g_autoptr(GString) part = fold(name);
  if (part->len > 0) return g_steal_pointer(&part);
  GString *instead = fold(address);
  use_if_empty(instead, "unknown");
  return instead;
}

// Cuts before a letter, so that none loses its marks.
static void cut(GString *part, size_t max_bytes, const char *otherwise) {
  if (part->len <= max_bytes) return;
  const char *end = part->str + max_bytes;
  if ((*end & 0xC0) == 0x80) end = g_utf8_find_prev_char(part->str, end);
  while (end > part->str && g_unichar_ismark(g_utf8_get_char(end)))
    end = g_utf8_prev_char(end);
  g_string_truncate(part, (size_t)(end - part->str));
  drop_trailing_dash(part);
  use_if_empty(part, otherwise);
}

static void format_date(int64_t internaldate, char *date, size_t size) {
  time_t seconds = internaldate;
  struct tm tm;
  bool known = internaldate >= 0 && gmtime_r(&seconds, &tm) != NULL && tm.tm_year + 1900 <= 9999;
  if (!known || strftime(date, size, "%Y-%m-%d_%H%M", &tm) == 0)
    g_strlcpy(date, "0000-00-00_0000", size);
}

char *name_message(int64_t internaldate, const char *from_name, const char *from_address,
                   const char *subject, const char *id) {
  g_autoptr(GString) sender_part = fold_sender(from_name, from_address);
  g_autoptr(GString) subject_part = fold(subject);
  use_if_empty(subject_part, "no-subject");

  char date[] = "YYYY-MM-DD_HHMM";
  format_date(internaldate, date, sizeof date);
  size_t fixed = strlen(date) + strlen("__,.eml") + strlen(id);
  g_assert(fixed + 2 * SUBJECT_MIN <= NAME_MESSAGE_MAX);
  size_t room = NAME_MESSAGE_MAX - fixed;
  cut(sender_part, room - MIN(subject_part->len, SUBJECT_MIN), "unknown");
  cut(subject_part, room - sender_part->len, "no-subject");
  return g_strdup_printf("%s_%s_%s,%s.eml", date, sender_part->str, subject_part->str, id);
}
