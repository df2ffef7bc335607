// An ImapTree holds the values of one IMAP response (RFC 3501 section 9) while it is being read and
// until the next one: atoms, strings, NIL and lists, in one block of memory that is taken at
// creation, reused for each response and never grows. What does not fit is refused, not truncated.
//
//   root list: UID 7 ENVELOPE (...)      imap_tree_open ... imap_tree_close nest lists;
//              │       └─ first ─> ...   a string may be added in pieces as it arrives
//              └─ next ─> ...
//
// No I/O; any one thread at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef enum {
  IMAP_NIL,
  IMAP_ATOM,    // flags and numbers too
  IMAP_STRING,  // quoted or literal
  IMAP_LIST,
  IMAP_TOO_LONG,  // a string beyond the limit: read over, not kept
  IMAP_BODY,      // message bytes: told as they came, not kept
  IMAP_SET,       // UIDs: told as they came, not kept
} ImapKind;

typedef struct ImapValue ImapValue;
struct ImapValue {
  ImapKind kind;
  const char *text;        // ATOM, STRING; a NUL byte within has become a space. Else NULL
  const ImapValue *first;  // LIST: its first value, NULL when empty
  const ImapValue *next;   // the value after this one in the same list
};

// The number that an atom or a string spells (RFC 3501 number, and up to 63 bits as in RFC 7162);
// -1 for anything else: NULL, a sign, a fraction, more bits.
int64_t imap_value_number(const ImapValue *value);
// The text of an atom or a string, else NULL. `value` may be NULL.
const char *imap_value_text(const ImapValue *value);
// True for an atom that is `text`, ignoring ASCII case. `value` may be NULL.
bool imap_value_is_atom(const ImapValue *value, const char *text);
// What follows the atom `name` in a list of names and values such as a FETCH's; NULL when it is not
// there. `first` is the list's first value.
const ImapValue *imap_value_item(const ImapValue *first, const char *name);
// The value `index` places after `first`; NULL beyond the end.
const ImapValue *imap_value_nth(const ImapValue *first, unsigned index);

typedef struct ImapTree ImapTree;

// At most `max_bytes` for a response in all, `max_string` for one string, `max_depth` open lists.
ImapTree *imap_tree_new(size_t max_bytes, size_t max_string, unsigned max_depth);
void imap_tree_free(ImapTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapTree, imap_tree_free)

// Forgets all values.
void imap_tree_clear(ImapTree *tree);
// The first value of the outermost list; NULL while there is none.
const ImapValue *imap_tree_root(const ImapTree *tree);
unsigned imap_tree_depth(const ImapTree *tree);  // lists open now
// The newest value of the innermost open list; NULL while it has none.
const ImapValue *imap_tree_last(const ImapTree *tree);

// Each adds to the innermost open list; false when the tree is full (or too deep, or nothing is
// open to be closed), and then it is as before.
bool imap_tree_add(ImapTree *tree, ImapKind kind);  // NIL, TOO_LONG, BODY, SET
bool imap_tree_add_atom(ImapTree *tree, const char *bytes, size_t size);
bool imap_tree_open(ImapTree *tree);
bool imap_tree_close(ImapTree *tree);

// A string in pieces: begin, append any number of times, end. One that grows too long is added as
// TOO_LONG. No other call in between.
void imap_tree_string_begin(ImapTree *tree);
void imap_tree_string_append(ImapTree *tree, const char *bytes, size_t size);
bool imap_tree_string_end(ImapTree *tree);

// Keeps a copy beside the values, for as long as they live; NULL when the tree is full. The caller
// may write to it until then.
char *imap_tree_keep(ImapTree *tree, const char *bytes, size_t size);
