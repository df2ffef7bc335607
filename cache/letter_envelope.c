#include "cache/letter_envelope.h"

#include <string.h>

#include "cache/letter_address.h"

// Some ten times what any server takes in one go.
#define RECIPIENTS_MAX 10000

static const char *const recipient_fields[] = {"To", "Cc", "Bcc", NULL};
static const char *const resent_recipient_fields[] = {"Resent-To", "Resent-Cc", "Resent-Bcc", NULL};
static const char *const sender_fields[] = {"Sender", "From", NULL};
static const char *const resent_sender_fields[] = {"Resent-Sender", "Resent-From", NULL};

static const LetterField *field_at(const LetterHeader *header, unsigned i) {
  return &g_array_index(header->fields, LetterField, i);
}

static bool is_resent(const char *bytes, const LetterField *field) {
  return field->name_length > 7 && g_ascii_strncasecmp(bytes + field->start, "Resent-", 7) == 0;
}

static char *lower_name(const char *bytes, const LetterField *field) {
  return g_ascii_strdown(bytes + field->start, (gssize)field->name_length);
}

// A block has each field once, so that one which comes again, after others, begins an older block;
// sending to that one's recipients would show the letter to people it is not meant for. The same
// field twice on end is a list in two lines.
LetterBlock letter_find_resent(const LetterHeader *header, const char *bytes) {
  unsigned i = 0, count = header->fields->len;
  while (i < count && !is_resent(bytes, field_at(header, i)))
    i++;
  if (i == count) return (LetterBlock){0};
  LetterBlock block = {i, i};
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *before = NULL;
  for (; i < count && is_resent(bytes, field_at(header, i)); i++) {
    char *name = lower_name(bytes, field_at(header, i));
    bool again = g_strcmp0(name, before) == 0;
    g_free(before);
    before = g_strdup(name);
    if (!g_hash_table_add(seen, name) && !again) break;
  }
  block.last = i;
  return block;
}

const LetterField *letter_block_find(LetterBlock block, const LetterHeader *header,
                                     const char *bytes, const char *name) {
  for (unsigned i = block.first; i < block.last; i++)
    if (letter_field_is(bytes, field_at(header, i), name)) return field_at(header, i);
  return NULL;
}

static const char *field_among(const char *bytes, const LetterField *field,
                               const char *const *names) {
  for (; *names != NULL; names++)
    if (letter_field_is(bytes, field, *names)) return *names;
  return NULL;
}

static bool add_field(GPtrArray *addresses, const char *bytes, const LetterField *field,
                      const char *name, const LetterAlias *alias, GError **error) {
  g_autofree char *value = letter_field_value(bytes, field);
  g_autofree char *where = g_strdup_printf("%s field", name);
  return letter_addresses_add(addresses, where, value, alias, error);
}

static bool add_header(GPtrArray *addresses, const LetterHeader *header, const char *bytes,
                       LetterBlock resent, const LetterDefaults *defaults, GError **error) {
  const LetterAlias alias = {defaults->login, defaults->login_address};
  bool is_resent = resent.first < resent.last;
  const char *const *names = is_resent ? resent_recipient_fields : recipient_fields;
  unsigned last = is_resent ? resent.last : header->fields->len;
  for (unsigned i = resent.first; i < last; i++) {
    const LetterField *field = field_at(header, i);
    const char *name = field_among(bytes, field, names);
    if (name != NULL &&
        !add_field(addresses, bytes, field, name, alias.name != NULL ? &alias : NULL, error))
      return false;
  }
  return true;
}

static bool add_given(GPtrArray *addresses, const char *const *given, GError **error) {
  for (; *given != NULL; given++)
    if (!letter_addresses_add(addresses, "list of recipients", *given, NULL, error)) return false;
  return true;
}

static void refuse_no_recipient(bool asks_header, bool is_resent, GError **error) {
  const char *why = ": no address in To, Cc or Bcc";
  if (is_resent) why = ": its newest Resent- fields name none";
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "it has no recipient%s",
              asks_header ? why : "");
}

// Domains compare without case, local parts with it.
static char *comparable(const char *address) {
  char *key = g_strdup(address);
  for (char *c = strrchr(key, '@'); *c != '\0'; c++)
    *c = g_ascii_tolower(*c);
  return key;
}

static GPtrArray *each_once(GPtrArray *addresses) {
  GPtrArray *once = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (unsigned i = 0; i < addresses->len; i++) {
    const char *address = g_ptr_array_index(addresses, i);
    if (g_hash_table_add(seen, comparable(address))) g_ptr_array_add(once, g_strdup(address));
  }
  return once;
}

GPtrArray *letter_envelope_recipients(const LetterHeader *header, const char *bytes,
                                      LetterBlock resent, const LetterDefaults *defaults,
                                      GError **error) {
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
  const char *const *given = defaults->recipients;
  bool asks_header = given == NULL || defaults->header_recipients_too;
  if (given != NULL && !add_given(all, given, error)) return NULL;
  if (asks_header && !add_header(all, header, bytes, resent, defaults, error)) return NULL;
  if (all->len == 0) {
    refuse_no_recipient(asks_header, resent.first < resent.last, error);
    return NULL;
  }
  g_autoptr(GPtrArray) once = each_once(all);
  if (once->len <= RECIPIENTS_MAX) return g_steal_pointer(&once);
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID,
              "it has %u recipients, more than %d: send it in several letters", once->len,
              RECIPIENTS_MAX);
  return NULL;
}

// The first address in `field`.
static char *first_address(const char *bytes, const LetterField *field, const char *name,
                           GError **error) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  if (!add_field(addresses, bytes, field, name, NULL, error)) return NULL;
  if (addresses->len > 0) return g_ptr_array_steal_index(addresses, 0);
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its %s field holds no address", name);
  return NULL;
}

char *letter_envelope_from(const LetterHeader *header, const char *bytes, LetterBlock resent,
                           const LetterDefaults *defaults, GError **error) {
  const char *given = defaults->envelope_from;
  if (given != NULL)
    return *given == '\0' ? g_strdup("") : letter_address_read("envelope sender", given, error);
  bool is_resent = resent.first < resent.last;
  const char *const *name = is_resent ? resent_sender_fields : sender_fields;
  for (; *name != NULL; name++) {
    const LetterField *field = is_resent ? letter_block_find(resent, header, bytes, *name)
                                         : letter_header_find(header, bytes, *name);
    if (field != NULL) return first_address(bytes, field, *name, error);
  }
  return letter_address_read(LETTER_OWN_ADDRESS, defaults->from, error);
}
