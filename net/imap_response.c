#include "net/imap_response.h"

#include <string.h>

#include "net/imap_lexer.h"

const ImapLimits imap_default_limits = {
    .response_bytes = 1 << 20,
    .string_bytes = 1 << 18,
    .atom_bytes = 1 << 16,
    .literal_bytes = (uint64_t)1 << 40,
    .depth = 64,
};

typedef enum {
  PARSE_TAG,
  PARSE_NAME,  // behind the tag: a name or a number
  PARSE_TEXT,  // of a status response or a continuation
  PARSE_VALUES,
  PARSE_STRING,  // within a string that is kept
  PARSE_BODY,    // within one that is passed on
  PARSE_SKIP,    // dropping a bad line
} ParseState;

struct ImapParser {
  ImapLexer *lexer;
  ImapTree *tree;
  ParseState state;
  ImapResponse response;
};

ImapParser *imap_parser_new(const ImapLimits *limits) {
  ImapParser *parser = g_new0(ImapParser, 1);
  parser->lexer = imap_lexer_new(limits->atom_bytes, limits->literal_bytes);
  parser->tree = imap_tree_new(limits->response_bytes, limits->string_bytes, limits->depth);
  return parser;
}

void imap_parser_free(ImapParser *parser) {
  if (!parser) return;
  imap_lexer_free(parser->lexer);
  imap_tree_free(parser->tree);
  g_free(parser);
}

void imap_parser_feed(ImapParser *parser, const char *bytes, size_t size) {
  imap_lexer_feed(parser->lexer, bytes, size);
}

static ImapEvent event_of(ImapEventType type) {
  return (ImapEvent){.type = type};
}

// Nothing to tell yet: the next token decides.
static ImapEvent go_on(ImapParser *parser, ParseState state) {
  parser->state = state;
  return event_of(IMAP_EVENT_MORE);
}

static ImapEvent finish(ImapParser *parser, ImapEventType type) {
  parser->response.values = imap_tree_root(parser->tree);
  parser->state = PARSE_TAG;
  return (ImapEvent){.type = type, .response = &parser->response};
}

static ImapEvent bad(ImapParser *parser, const ImapToken *token) {
  bool line_is_over = token->type == IMAP_TOKEN_EOL || token->type == IMAP_TOKEN_TEXT;
  if (line_is_over) return finish(parser, IMAP_EVENT_BAD);
  imap_lexer_skip_line(parser->lexer);
  return go_on(parser, PARSE_SKIP);
}

static void make_upper(char *text) {
  for (; *text; text++)
    *text = g_ascii_toupper(*text);
}

static bool has_text(const ImapResponse *response) {
  static const char *const untagged[] = {"OK", "NO", "BAD", "BYE", "PREAUTH", NULL};
  return g_strv_contains(untagged, response->name);
}

static ImapEvent parse_tag(ImapParser *parser, const ImapToken *token) {
  if (token->type == IMAP_TOKEN_EOL) return go_on(parser, PARSE_TAG);
  imap_tree_clear(parser->tree);
  parser->response = (ImapResponse){.number = -1};
  if (token->type != IMAP_TOKEN_ATOM) return bad(parser, token);
  parser->response.tag = imap_tree_keep(parser->tree, token->bytes, token->size);
  if (!parser->response.tag) return bad(parser, token);
  if (strcmp(parser->response.tag, "+") != 0) return go_on(parser, PARSE_NAME);
  imap_lexer_take_line(parser->lexer);
  return go_on(parser, PARSE_TEXT);
}

static ImapEvent parse_name(ImapParser *parser, const ImapToken *token) {
  ImapResponse *response = &parser->response;
  if (token->type != IMAP_TOKEN_ATOM) return bad(parser, token);
  char *name = imap_tree_keep(parser->tree, token->bytes, token->size);
  if (!name) return bad(parser, token);

  bool tagged = strcmp(response->tag, "*") != 0;
  ImapValue as_value = {.kind = IMAP_ATOM, .text = name};
  int64_t number = imap_value_number(&as_value);
  if (!tagged && response->number < 0 && number >= 0) {
    response->number = number;
    return go_on(parser, PARSE_NAME);
  }
  make_upper(name);
  response->name = name;
  if (has_text(response) ? response->number >= 0 : tagged) return bad(parser, token);
  if (!has_text(response)) return go_on(parser, PARSE_VALUES);
  imap_lexer_take_line(parser->lexer);
  return go_on(parser, PARSE_TEXT);
}

// Splits `[CODE value] words`; text without such a code is all words.
static void split_text(ImapResponse *response, char *text) {
  response->text = text;
  char *close = *text == '[' ? strchr(text, ']') : NULL;
  if (!close) return;
  *close = '\0';
  response->text = close[1] == ' ' ? close + 2 : close + 1;
  response->code = text + 1;
  char *space = strchr(text, ' ');
  response->code_value = space ? space + 1 : close;
  if (space) *space = '\0';
  make_upper(text);
}

static ImapEvent parse_text(ImapParser *parser, const ImapToken *token) {
  if (token->type != IMAP_TOKEN_TEXT) return bad(parser, token);
  const char *bytes = token->bytes;
  size_t size = token->size;
  if (size > 0 && *bytes == ' ') bytes++, size--;
  char *text = imap_tree_keep(parser->tree, bytes, size);
  if (!text) return bad(parser, token);
  split_text(&parser->response, text);
  return finish(parser, IMAP_EVENT_RESPONSE);
}

static bool names_body(const ImapValue *item) {
  const char *text = item && item->kind == IMAP_ATOM ? item->text : "";
  return g_ascii_strncasecmp(text, "BODY[", 5) == 0 || g_ascii_strncasecmp(text, "BINARY[", 7) == 0;
}

static ImapEvent begin_string(ImapParser *parser) {
  const ImapValue *item = imap_tree_last(parser->tree);
  bool in_fetch = strcmp(parser->response.name, "FETCH") == 0 && imap_tree_depth(parser->tree) == 1;
  if (in_fetch && names_body(item)) {
    parser->state = PARSE_BODY;
    parser->response.values = imap_tree_root(parser->tree);
    return (ImapEvent){
        .type = IMAP_EVENT_BODY_BEGIN, .response = &parser->response, .item = item->text};
  }
  imap_tree_string_begin(parser->tree);
  return go_on(parser, PARSE_STRING);
}

// At the place of `* SEARCH 2 84`, `* ESEARCH (TAG "a5") UID ALL 4:18,21` (RFC 4731) or
// `* VANISHED (EARLIER) 41,43:116` (RFC 7162 3.2.10) where UIDs come.
static bool expects_set(const ImapParser *parser) {
  const ImapResponse *response = &parser->response;
  if (parser->state != PARSE_VALUES || response->number >= 0) return false;
  if (imap_tree_depth(parser->tree) > 0) return false;
  if (strcmp(response->name, "ESEARCH") == 0)
    return imap_value_is_atom(imap_tree_last(parser->tree), "ALL");
  return strcmp(response->name, "SEARCH") == 0 || strcmp(response->name, "VANISHED") == 0;
}

// The first range leaves a mark among the values.
static ImapEvent tell_range(ImapParser *parser, const ImapToken *token) {
  const ImapValue *last = imap_tree_last(parser->tree);
  bool is_marked = last && last->kind == IMAP_SET;
  if (!is_marked && !imap_tree_add(parser->tree, IMAP_SET)) return bad(parser, token);
  parser->response.values = imap_tree_root(parser->tree);
  return (ImapEvent){
      .type = IMAP_EVENT_RANGE, .response = &parser->response, .range = token->range};
}

static bool add_atom(ImapTree *tree, const ImapToken *token) {
  if (token->size == 3 && g_ascii_strncasecmp(token->bytes, "NIL", 3) == 0)
    return imap_tree_add(tree, IMAP_NIL);
  return imap_tree_add_atom(tree, token->bytes, token->size);
}

static ImapEvent parse_values(ImapParser *parser, const ImapToken *token) {
  bool added = false;
  switch (token->type) {
    case IMAP_TOKEN_ATOM:
      added = add_atom(parser->tree, token);
      break;
    case IMAP_TOKEN_OPEN:
      added = imap_tree_open(parser->tree);
      break;
    case IMAP_TOKEN_CLOSE:
      added = imap_tree_close(parser->tree);
      break;
    case IMAP_TOKEN_STRING:
      return begin_string(parser);
    case IMAP_TOKEN_RANGE:
      return tell_range(parser, token);
    case IMAP_TOKEN_EOL:
      if (imap_tree_depth(parser->tree) == 0) return finish(parser, IMAP_EVENT_RESPONSE);
      break;
    default:
      break;
  }
  return added ? go_on(parser, PARSE_VALUES) : bad(parser, token);
}

static ImapEvent parse_string(ImapParser *parser, const ImapToken *token) {
  if (token->type == IMAP_TOKEN_PIECE) {
    imap_tree_string_append(parser->tree, token->bytes, token->size);
    return go_on(parser, PARSE_STRING);
  }
  bool added = token->type == IMAP_TOKEN_STRING_END && imap_tree_string_end(parser->tree);
  return added ? go_on(parser, PARSE_VALUES) : bad(parser, token);
}

static ImapEvent parse_body(ImapParser *parser, const ImapToken *token) {
  if (token->type == IMAP_TOKEN_PIECE)
    return (ImapEvent){.type = IMAP_EVENT_BODY_BYTES, .bytes = token->bytes, .size = token->size};
  bool added = token->type == IMAP_TOKEN_STRING_END && imap_tree_add(parser->tree, IMAP_BODY);
  if (!added) return bad(parser, token);
  parser->state = PARSE_VALUES;
  return event_of(IMAP_EVENT_BODY_END);
}

// The skipping itself is the lexer's; its one token is the line's end.
static ImapEvent parse_skip(ImapParser *parser, const ImapToken *token) {
  return finish(parser, IMAP_EVENT_BAD);
}

ImapEvent imap_parser_next(ImapParser *parser) {
  static ImapEvent (*const parse[])(ImapParser *, const ImapToken *) = {
      [PARSE_TAG] = parse_tag,       [PARSE_NAME] = parse_name,     [PARSE_TEXT] = parse_text,
      [PARSE_VALUES] = parse_values, [PARSE_STRING] = parse_string, [PARSE_BODY] = parse_body,
      [PARSE_SKIP] = parse_skip,
  };
  for (;;) {
    imap_lexer_expect_set(parser->lexer, expects_set(parser));
    ImapToken token = imap_lexer_next(parser->lexer);
    if (token.type == IMAP_TOKEN_MORE) return event_of(IMAP_EVENT_MORE);
    if (token.type == IMAP_TOKEN_FATAL) return event_of(IMAP_EVENT_FATAL);
    ImapEvent event = parse[parser->state](parser, &token);
    if (event.type != IMAP_EVENT_MORE) return event;
  }
}

const char *imap_parser_take_rest(ImapParser *parser, size_t *size) {
  return imap_lexer_take_rest(parser->lexer, size);
}
