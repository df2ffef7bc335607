#include "cache/letter_address.h"

#include <gmime/gmime.h>
#include <string.h>

#include "cache/letter.h"
#include "cache/mime.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeParserOptions, g_mime_parser_options_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(InternetAddressList, g_object_unref)

// Longer than any server takes (RFC 5321 section 4.5.3.1.3: 254), short enough for one command.
#define ADDRESS_MAX 500
// Of a broken piece, in an error.
#define SHOWN_MAX 80

// What is gathered of the piece between two commas.
typedef struct {
  GPtrArray *addresses;
  const char *where;
  const LetterAlias *alias;  // NULL: there is none
  GString *outside;  // text outside of angle brackets (if there are any: after them), no comments
  GString *inside;   // text between angle brackets, no comments
  bool has_angle, in_group;
} Pieces;

static bool refuse(const Pieces *pieces, const char *what, GError **error) {
  g_autofree char *valid = g_utf8_make_valid(what, -1);
  g_autofree char *shown = g_utf8_strlen(valid, -1) > SHOWN_MAX
                               ? g_utf8_substring(valid, 0, SHOWN_MAX)
                               : g_strdup(valid);
  for (char *c = shown; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c)) *c = ' ';
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its %s is broken: \"%s\" is no address",
              pieces->where, shown);
  return false;
}

// The end of a quoted string, a comment or a domain literal that begins at `at`, or NULL.
static const char *skip_enclosed(const char *at) {
  char close = *at == '"' ? '"' : *at == '[' ? ']' : ')';
  unsigned depth = 0;
  for (const char *c = at; *c != '\0'; c++) {
    if (*c == '\\' && c[1] != '\0')
      c++;
    else if (*c == '(' && close == ')')
      depth++;
    else if (*c == close && c > at && (close != ')' || --depth == 0))
      return c + 1;
  }
  return NULL;
}

static bool is_domain(const char *domain) {
  if (*domain == '[') return strlen(domain) > 2 && strchr(domain, ']') == strrchr(domain, '\0') - 1;
  bool label_is_empty = true;
  for (const char *c = domain; *c != '\0'; c++) {
    if (*c == '.' ? label_is_empty
                  : !g_ascii_isalnum(*c) && strchr("-_", *c) == NULL && (unsigned char)*c < 0x80)
      return false;
    label_is_empty = *c == '.';
  }
  return !label_is_empty;
}

static bool is_local_part(const char *local, size_t length) {
  if (length == 0) return false;
  if (local[0] == '"') return length > 1 && local[length - 1] == '"';
  for (size_t i = 0; i < length; i++)
    if (local[i] == ' ' || strchr("<>()[]\\,;:@\"", local[i]) != NULL) return false;
  return true;
}

static bool is_sound(const char *address) {
  const char *at = strrchr(address, '@');
  if (at == NULL || strpbrk(address, " <>") != NULL || !g_utf8_validate(address, -1, NULL))
    return false;
  for (const char *c = address; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c)) return false;
  return is_local_part(address, (size_t)(at - address)) && is_domain(at + 1);
}

// How many @ stand outside of quotes and domain literals.
static unsigned count_at(const char *text) {
  unsigned count = 0;
  while (text != NULL && *text != '\0') {
    if (*text == '@') count++;
    text = strchr("\"[", *text) != NULL ? skip_enclosed(text) : text + 1;
  }
  return count;
}

// White space (there, comments too) may stand around the @: "pete (his account) @ silly.test". Not
// around dots, though section 4.4 has that: "Dr. bob@x.org" rather lacks its angle brackets.
static char *join_at(const char *text) {
  GString *joined = g_string_new(NULL);
  while (*text != '\0') {
    size_t blanks = strspn(text, " \t");
    char before = joined->len > 0 ? joined->str[joined->len - 1] : '@';
    text += blanks;
    if (blanks > 0 && before != '@' && *text != '@') g_string_append_c(joined, ' ');
    if (*text == '\0') break;
    const char *end = strchr("\"[", *text) != NULL ? skip_enclosed(text) : NULL;
    if (end == NULL) end = text + 1;
    g_string_append_len(joined, text, end - text);
    text = end;
  }
  return g_strchomp(g_string_free(joined, false));
}

// A source route (`<@a.org,@b.org:c@d.org>`) has to be understood and ignored: RFC 5321 appendix C.
static const char *skip_route(const char *text) {
  const char *end = *text == '@' ? strchr(text, ':') : NULL;
  if (end == NULL) return text;
  g_autofree char *route = g_strndup(text, (size_t)(end - text));
  g_auto(GStrv) hosts = g_strsplit(route, ",", -1);
  for (char **host = hosts; *host != NULL; host++) {
    const char *name = g_strstrip(*host);
    if (*name != '\0' && (*name != '@' || !is_domain(name + 1))) return text;
  }
  return end + 1 + strspn(end + 1, " \t");
}

// GMime must see just the one address, too. It leaks what it cannot parse, and is not given that.
static char *parse_one(const char *text) {
  if (!is_sound(text)) return NULL;
  g_autoptr(GMimeParserOptions) options = g_mime_parser_options_new();
  g_mime_parser_options_set_address_compliance_mode(options, GMIME_RFC_COMPLIANCE_STRICT);
  g_autoptr(InternetAddressList) list = internet_address_list_parse(options, text);
  if (list == NULL || internet_address_list_length(list) != 1) return NULL;
  InternetAddress *only = internet_address_list_get_address(list, 0);
  if (!INTERNET_ADDRESS_IS_MAILBOX(only)) return NULL;
  const char *address = internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(only));
  return g_strcmp0(address, text) == 0 ? g_strdup(address) : NULL;
}

static char *read_one(const Pieces *pieces, const char *text) {
  const LetterAlias *alias = pieces->alias;
  if (alias != NULL && strcmp(text, alias->name) == 0) return g_strdup(alias->address);
  bool fits = strlen(text) <= ADDRESS_MAX;
  return fits && count_at(text) == 1 ? parse_one(text) : NULL;
}

// Ends a piece; an empty one is fine (RFC 5322 section 4.4 allows commas side by side).
static bool take_piece(Pieces *pieces, GError **error) {
  const char *outside = g_strstrip(pieces->outside->str);
  if (pieces->has_angle && *outside != '\0') return refuse(pieces, outside, error);
  g_autofree char *joined = join_at(pieces->has_angle ? pieces->inside->str : outside);
  const char *text = pieces->has_angle ? skip_route(joined) : joined;
  if (pieces->has_angle || *text != '\0') {
    g_autofree char *address = read_one(pieces, text);
    if (address == NULL) return refuse(pieces, text, error);
    g_ptr_array_add(pieces->addresses, g_steal_pointer(&address));
  }
  g_string_truncate(pieces->outside, 0);
  g_string_truncate(pieces->inside, 0);
  pieces->has_angle = false;
  return true;
}

// Adds what is enclosed from `at` on, but a comment only as a blank; the end, or NULL.
static const char *add_enclosed(GString *text, const char *at) {
  const char *end = skip_enclosed(at);
  if (end == NULL) return NULL;
  if (*at == '(')
    g_string_append_c(text, ' ');
  else
    g_string_append_len(text, at, end - at);
  return end;
}

static const char *take_angle(Pieces *pieces, const char *at, GError **error) {
  const char *end = at + 1;
  while (end != NULL && *end != '>' && *end != '\0') {
    if (strchr("\"([", *end) != NULL)
      end = add_enclosed(pieces->inside, end);
    else
      g_string_append_c(pieces->inside, *end++);
  }
  if (pieces->has_angle || end == NULL || *end == '\0') {
    refuse(pieces, at, error);
    return NULL;
  }
  g_string_truncate(pieces->outside, 0);
  pieces->has_angle = true;
  return end + 1;
}

static const char *take_enclosed(Pieces *pieces, const char *at, GError **error) {
  const char *end = add_enclosed(pieces->outside, at);
  if (end == NULL) refuse(pieces, at, error);
  return end;
}

// `Name: address, address;` - what stood before the colon is the group's name, and no address that
// only lacks its comma.
static bool begin_group(Pieces *pieces, const char *at, GError **error) {
  if (pieces->in_group || pieces->has_angle) return refuse(pieces, at, error);
  if (count_at(pieces->outside->str) > 0) return refuse(pieces, pieces->outside->str, error);
  pieces->in_group = true;
  g_string_truncate(pieces->outside, 0);
  return true;
}

static bool end_group(Pieces *pieces, const char *at, GError **error) {
  if (!pieces->in_group) return refuse(pieces, at, error);
  pieces->in_group = false;
  return take_piece(pieces, error);
}

static const char *step(Pieces *pieces, const char *at, GError **error) {
  switch (*at) {
    case '"':
    case '(':
    case '[':
      return take_enclosed(pieces, at, error);
    case '<':
      return take_angle(pieces, at, error);
    case ',':
      return take_piece(pieces, error) ? at + 1 : NULL;
    case ':':
      return begin_group(pieces, at, error) ? at + 1 : NULL;
    case ';':
      return end_group(pieces, at, error) ? at + 1 : NULL;
    case '>':
      refuse(pieces, at, error);
      return NULL;
    default:
      g_string_append_c(pieces->outside, *at);
      return at + 1;
  }
}

bool letter_addresses_add(GPtrArray *addresses, const char *where, const char *value,
                          const LetterAlias *alias, GError **error) {
  mime_init();
  g_autoptr(GString) outside = g_string_new(NULL);
  g_autoptr(GString) inside = g_string_new(NULL);
  Pieces pieces = {
      .addresses = addresses, .where = where, .alias = alias, .outside = outside, .inside = inside};
  const char *at = value;
  while (at != NULL && *at != '\0')
    at = step(&pieces, at, error);
  if (at == NULL) return false;
  if (pieces.in_group) return refuse(&pieces, value, error);
  return take_piece(&pieces, error);
}

char *letter_address_read(const char *where, const char *value, GError **error) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  if (!letter_addresses_add(addresses, where, value, NULL, error)) return NULL;
  if (addresses->len == 1) return g_ptr_array_steal_index(addresses, 0);
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its %s is broken: it holds %u addresses",
              where, addresses->len);
  return NULL;
}
