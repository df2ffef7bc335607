#include "net/imap_lexer.h"

#include <string.h>

typedef enum {
  LEX_BETWEEN,  // between tokens
  LEX_TILDE,    // behind a `~` that may begin a literal8
  LEX_ATOM,
  LEX_SIZE,  // in `{123}` and its line end
  LEX_LITERAL,
  LEX_QUOTED,
  LEX_ESCAPED,  // behind the backslash in a quoted string
  LEX_SET,
  LEX_TEXT,
  LEX_SKIP,          // dropping a line
  LEX_SKIP_LITERAL,  // dropping a literal within it
  LEX_FATAL,
} LexState;

// Where in an atom we stand: a section such as `BODY[HEADER.FIELDS (SUBJECT)]` holds what would
// else end an atom.
typedef enum { SECTION_NONE, SECTION_INSIDE, SECTION_AFTER } Section;

// How much of `{123}` or `{123+}` has been seen.
typedef enum { SIZE_NONE, SIZE_OPEN, SIZE_DIGITS, SIZE_PLUS, SIZE_CLOSED } SizePhase;

struct ImapLexer {
  const char *at, *end;
  LexState state;
  GString *kept;  // the beginning of an atom or text that earlier feeds brought
  Section section;
  SizePhase size_phase;
  uint64_t literal_left;
  bool expects_set;
  UidRange range;   // the one being read: 0 until its number is complete
  uint64_t number;  // the one being read
  bool has_digits;
  size_t max_atom;
  uint64_t max_literal;
};

ImapLexer *imap_lexer_new(size_t max_atom, uint64_t max_literal) {
  ImapLexer *lexer = g_new0(ImapLexer, 1);
  lexer->kept = g_string_new(NULL);
  lexer->max_atom = max_atom;
  lexer->max_literal = max_literal;
  return lexer;
}

void imap_lexer_free(ImapLexer *lexer) {
  if (!lexer) return;
  g_string_free(lexer->kept, TRUE);
  g_free(lexer);
}

void imap_lexer_feed(ImapLexer *lexer, const char *bytes, size_t size) {
  g_assert(lexer->at == lexer->end || lexer->state == LEX_FATAL);
  lexer->at = bytes;
  lexer->end = bytes + size;
}

void imap_lexer_expect_set(ImapLexer *lexer, bool is_expected) {
  lexer->expects_set = is_expected;
}

void imap_lexer_take_line(ImapLexer *lexer) {
  g_assert(lexer->state == LEX_BETWEEN);
  g_string_truncate(lexer->kept, 0);
  lexer->state = LEX_TEXT;
}

void imap_lexer_skip_line(ImapLexer *lexer) {
  lexer->size_phase = SIZE_NONE;
  lexer->state = lexer->state == LEX_LITERAL ? LEX_SKIP_LITERAL : LEX_SKIP;
}

static ImapToken token_of(ImapTokenType type) {
  return (ImapToken){.type = type};
}

static ImapToken fatal(ImapLexer *lexer) {
  lexer->state = LEX_FATAL;
  return token_of(IMAP_TOKEN_FATAL);
}

// Follows a literal's announcement, one byte at a time; SIZE_NONE when it is none.
static SizePhase follow_size(ImapLexer *lexer, char byte) {
  SizePhase phase = lexer->size_phase;
  bool in_digits = phase == SIZE_OPEN || phase == SIZE_DIGITS;
  if (byte == '{') {
    lexer->literal_left = 0;
    return SIZE_OPEN;
  }
  if (in_digits && g_ascii_isdigit(byte)) {
    uint64_t digit = (uint64_t)(byte - '0');
    bool over = lexer->literal_left > (UINT64_MAX - digit) / 10;
    lexer->literal_left = over ? UINT64_MAX : lexer->literal_left * 10 + digit;
    return SIZE_DIGITS;
  }
  if (phase == SIZE_DIGITS && byte == '+') return SIZE_PLUS;
  if ((phase == SIZE_DIGITS || phase == SIZE_PLUS) && byte == '}') return SIZE_CLOSED;
  if (phase == SIZE_CLOSED && byte == '\r') return SIZE_CLOSED;
  return SIZE_NONE;
}

static ImapToken lex_size(ImapLexer *lexer) {
  for (; lexer->at < lexer->end; lexer->at++) {
    if (lexer->size_phase == SIZE_CLOSED && *lexer->at == '\n') {
      lexer->at++;
      if (lexer->literal_left > lexer->max_literal) return fatal(lexer);
      lexer->state = LEX_LITERAL;
      return token_of(IMAP_TOKEN_STRING);
    }
    lexer->size_phase = follow_size(lexer, *lexer->at);
    if (lexer->size_phase == SIZE_NONE) return token_of(IMAP_TOKEN_BAD);
  }
  return token_of(IMAP_TOKEN_MORE);
}

static ImapToken begin_literal(ImapLexer *lexer) {
  lexer->size_phase = SIZE_NONE;
  lexer->state = LEX_SIZE;
  return lex_size(lexer);
}

static ImapToken lex_literal(ImapLexer *lexer) {
  size_t available = (size_t)(lexer->end - lexer->at);
  if (lexer->literal_left == 0) {
    lexer->state = LEX_BETWEEN;
    return token_of(IMAP_TOKEN_STRING_END);
  }
  if (available == 0) return token_of(IMAP_TOKEN_MORE);
  size_t size = lexer->literal_left < available ? (size_t)lexer->literal_left : available;
  ImapToken piece = {.type = IMAP_TOKEN_PIECE, .bytes = lexer->at, .size = size};
  lexer->at += size;
  lexer->literal_left -= size;
  return piece;
}

static ImapToken lex_quoted(ImapLexer *lexer) {
  if (lexer->at == lexer->end) return token_of(IMAP_TOKEN_MORE);
  const char *start = lexer->at;
  if (lexer->state == LEX_ESCAPED && *lexer->at != '\n') {
    lexer->state = LEX_QUOTED;
    lexer->at++;
  }
  while (lexer->at < lexer->end && *lexer->at != '"' && *lexer->at != '\\' && *lexer->at != '\n')
    lexer->at++;
  if (lexer->at > start)
    return (ImapToken){
        .type = IMAP_TOKEN_PIECE, .bytes = start, .size = (size_t)(lexer->at - start)};

  if (*lexer->at == '\n') return token_of(IMAP_TOKEN_BAD);
  if (*lexer->at++ == '\\') {
    lexer->state = LEX_ESCAPED;
    return lex_quoted(lexer);
  }
  lexer->state = LEX_BETWEEN;
  return token_of(IMAP_TOKEN_STRING_END);
}

static void keep(ImapLexer *lexer, const char *start) {
  g_string_append_len(lexer->kept, start, lexer->at - start);
}

// The atom so far, up to the bracket that we stand on, is an item that takes a section.
static bool has_section(const ImapLexer *lexer, const char *start) {
  static const char *const names[] = {"BODY", "BINARY", "BINARY.SIZE"};
  size_t kept = lexer->kept->len, fresh = (size_t)(lexer->at - start);
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    if (strlen(names[i]) == kept + fresh &&
        g_ascii_strncasecmp(lexer->kept->str, names[i], kept) == 0 &&
        g_ascii_strncasecmp(start, names[i] + kept, fresh) == 0)
      return true;
  return false;
}

static bool atom_goes_on(ImapLexer *lexer, const char *start) {
  char byte = *lexer->at;
  if (byte == '\n' || byte == '\r') return false;
  if (lexer->section == SECTION_INSIDE) {
    if (byte == ']') lexer->section = SECTION_AFTER;
    return true;
  }
  if (byte == '[' && lexer->section == SECTION_NONE && has_section(lexer, start))
    lexer->section = SECTION_INSIDE;
  if (byte == '{') return lexer->section == SECTION_NONE;
  return byte != ' ' && byte != '(' && byte != ')' && byte != '"' && byte != '\t';
}

static ImapToken lex_atom(ImapLexer *lexer) {
  const char *start = lexer->at;
  while (lexer->at < lexer->end && atom_goes_on(lexer, start)) {
    lexer->at++;
    if (lexer->kept->len + (size_t)(lexer->at - start) > lexer->max_atom)
      return token_of(IMAP_TOKEN_BAD);
  }
  bool complete = lexer->at < lexer->end;
  ImapToken token = {.type = IMAP_TOKEN_ATOM, .bytes = start, .size = (size_t)(lexer->at - start)};
  if (!complete || lexer->kept->len > 0) {
    keep(lexer, start);
    token.bytes = lexer->kept->str;
    token.size = lexer->kept->len;
  }
  if (!complete) return token_of(IMAP_TOKEN_MORE);
  lexer->state = LEX_BETWEEN;
  return token;
}

static ImapToken begin_atom(ImapLexer *lexer, const char *head) {
  g_string_assign(lexer->kept, head);
  lexer->section = SECTION_NONE;
  lexer->state = LEX_ATOM;
  return lex_atom(lexer);
}

static ImapToken lex_tilde(ImapLexer *lexer) {
  if (lexer->at == lexer->end) return token_of(IMAP_TOKEN_MORE);
  return *lexer->at == '{' ? begin_literal(lexer) : begin_atom(lexer, "~");
}

static bool end_number(ImapLexer *lexer, uint32_t *uid) {
  *uid = (uint32_t)lexer->number;
  bool good = lexer->has_digits && lexer->number > 0;
  lexer->number = 0;
  lexer->has_digits = false;
  return good;
}

static void begin_range(ImapLexer *lexer) {
  end_number(lexer, &lexer->range.last);
  lexer->range = (UidRange){0};
}

// At the byte behind a range: a comma if another follows.
static ImapToken end_range(ImapLexer *lexer) {
  static const char ends[] = " \t\r\n()";
  UidRange *range = &lexer->range;
  bool is_last = memchr(ends, *lexer->at, sizeof ends - 1) != NULL;
  bool is_range = end_number(lexer, &range->last) && (is_last || *lexer->at == ',');
  if (!is_range) return token_of(IMAP_TOKEN_BAD);
  if (range->first == 0) range->first = range->last;
  ImapToken token = {
      .type = IMAP_TOKEN_RANGE,
      .range = {MIN(range->first, range->last), MAX(range->first, range->last)},
  };
  begin_range(lexer);
  if (is_last)
    lexer->state = LEX_BETWEEN;
  else
    lexer->at++;
  return token;
}

static ImapToken lex_set(ImapLexer *lexer) {
  for (; lexer->at < lexer->end; lexer->at++) {
    char byte = *lexer->at;
    if (g_ascii_isdigit(byte)) {
      lexer->number = lexer->number * 10 + (uint64_t)(byte - '0');
      lexer->has_digits = true;
      if (lexer->number > UINT32_MAX) return token_of(IMAP_TOKEN_BAD);
    } else if (byte != ':' || lexer->range.first != 0) {
      return end_range(lexer);
    } else if (!end_number(lexer, &lexer->range.first)) {
      return token_of(IMAP_TOKEN_BAD);
    }
  }
  return token_of(IMAP_TOKEN_MORE);
}

static ImapToken begin_set(ImapLexer *lexer) {
  begin_range(lexer);
  lexer->state = LEX_SET;
  return lex_set(lexer);
}

static ImapToken lex_between(ImapLexer *lexer) {
  while (lexer->at < lexer->end && (*lexer->at == ' ' || *lexer->at == '\r' || *lexer->at == '\t'))
    lexer->at++;
  if (lexer->at == lexer->end) return token_of(IMAP_TOKEN_MORE);
  switch (*lexer->at) {
    case '\n':
      lexer->at++;
      return token_of(IMAP_TOKEN_EOL);
    case '(':
      lexer->at++;
      return token_of(IMAP_TOKEN_OPEN);
    case ')':
      lexer->at++;
      return token_of(IMAP_TOKEN_CLOSE);
    case '"':
      lexer->at++;
      lexer->state = LEX_QUOTED;
      return token_of(IMAP_TOKEN_STRING);
    case '{':
      return begin_literal(lexer);
    case '~':
      lexer->at++;
      lexer->state = LEX_TILDE;
      return lex_tilde(lexer);
    default:
      if (lexer->expects_set && g_ascii_isdigit(*lexer->at)) return begin_set(lexer);
      return begin_atom(lexer, "");
  }
}

static ImapToken lex_text(ImapLexer *lexer) {
  const char *newline = memchr(lexer->at, '\n', (size_t)(lexer->end - lexer->at));
  const char *stop = newline ? newline : lexer->end;
  // One byte more than the limit is kept, so that a CR at the end is known as such wherever the
  // text was cut.
  size_t room = lexer->max_atom + 1 - lexer->kept->len;
  size_t fresh = MIN((size_t)(stop - lexer->at), room);
  g_string_append_len(lexer->kept, lexer->at, (gssize)fresh);
  lexer->at = newline ? newline + 1 : stop;
  if (!newline) return token_of(IMAP_TOKEN_MORE);

  lexer->state = LEX_BETWEEN;
  size_t size = lexer->kept->len;
  if (size > 0 && lexer->kept->str[size - 1] == '\r') size--;
  return (ImapToken){
      .type = IMAP_TOKEN_TEXT, .bytes = lexer->kept->str, .size = MIN(size, lexer->max_atom)};
}

// Drops bytes of a literal; false if it goes on beyond what was fed.
static bool skip_literal(ImapLexer *lexer) {
  uint64_t size = MIN(lexer->literal_left, (uint64_t)(lexer->end - lexer->at));
  lexer->at += size;
  lexer->literal_left -= size;
  if (lexer->literal_left > 0) return false;
  imap_lexer_skip_line(lexer);
  return true;
}

static ImapToken lex_skip(ImapLexer *lexer) {
  for (;;) {
    if (lexer->state == LEX_SKIP_LITERAL && !skip_literal(lexer)) break;
    if (lexer->at == lexer->end) break;
    char byte = *lexer->at++;
    bool announced = lexer->size_phase == SIZE_CLOSED;
    lexer->size_phase = follow_size(lexer, byte);
    if (byte != '\n') continue;
    if (!announced) {
      lexer->state = LEX_BETWEEN;
      return token_of(IMAP_TOKEN_EOL);
    }
    if (lexer->literal_left > lexer->max_literal) return fatal(lexer);
    lexer->state = LEX_SKIP_LITERAL;
  }
  return token_of(IMAP_TOKEN_MORE);
}

ImapToken imap_lexer_next(ImapLexer *lexer) {
  static ImapToken (*const lex[])(ImapLexer *) = {
      [LEX_BETWEEN] = lex_between, [LEX_TILDE] = lex_tilde,       [LEX_ATOM] = lex_atom,
      [LEX_SIZE] = lex_size,       [LEX_LITERAL] = lex_literal,   [LEX_QUOTED] = lex_quoted,
      [LEX_ESCAPED] = lex_quoted,  [LEX_SET] = lex_set,           [LEX_TEXT] = lex_text,
      [LEX_SKIP] = lex_skip,       [LEX_SKIP_LITERAL] = lex_skip, [LEX_FATAL] = fatal,
  };
  return lex[lexer->state](lexer);
}

const char *imap_lexer_take_rest(ImapLexer *lexer, size_t *size) {
  const char *rest = lexer->at;
  *size = (size_t)(lexer->end - lexer->at);
  lexer->at = lexer->end;
  return rest;
}
