// A LetterHeader says where the fields of a letter's header lie: byte offsets into a header that
// stays the caller's, so that fields can be cut out without touching what stands beside them.
// It knows nothing of what a field means. A value without a thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

// One field with its continuation lines and their line ends: bytes [start, end).
typedef struct {
  size_t start, end;
  size_t name_length;  // the name stands at start
  size_t value;        // where the byte after the colon stands
} LetterField;

typedef struct {
  GArray *fields;  // of LetterField, in order
  size_t start;    // 0, or after the "From " lines of an mbox, ">From " ones too
  size_t end;      // of the last field: the blank line, or the end of all
} LetterHeader;

// True if `bytes` reach beyond the header: an empty line is among them.
bool letter_header_is_whole(const char *bytes, size_t size);

// RFC 5322 section 2.2, with the white space before the colon that section 4.5 still allows, and
// LF or CRLF line ends. LETTER_ERROR_INVALID: no field at all, a line that is none, a NUL byte.
LetterHeader *letter_header_scan(const char *bytes, size_t size, GError **error);
// One without fields, as a MIME part may have it.
LetterHeader *letter_header_new(void);
// Where the body begins, after the blank line; `size` if there is none.
size_t letter_header_body(const LetterHeader *header, const char *bytes, size_t size);
void letter_header_free(LetterHeader *header);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LetterHeader, letter_header_free)

// Field names compare without case.
bool letter_field_is(const char *bytes, const LetterField *field, const char *name);
// The first field of that name; NULL: none.
const LetterField *letter_header_find(const LetterHeader *header, const char *bytes,
                                      const char *name);
// Its value on one line: line ends taken out, white space around it too. Newly allocated.
char *letter_field_value(const char *bytes, const LetterField *field);
