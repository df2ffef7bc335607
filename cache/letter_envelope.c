#include "cache/letter_envelope.h"

#include <string.h>

#include "cache/letter.h"
#include "cache/letter_address.h"

static const char *const recipient_fields[] = {"To", "Cc", "Bcc", NULL};
static const char *const resent_recipient_fields[] = {"Resent-To", "Resent-Cc", "Resent-Bcc", NULL};
// A block has each of these once, so a second one begins an older block.
static const char *const resent_single_fields[] = {"Resent-Date", "Resent-From", "Resent-Sender",
                                                   "Resent-Message-ID", NULL};
// What servers put on top of a letter that passes: it divides one sending from the one before.
static const char *const trace_fields[] = {"Received", "Return-Path", NULL};

// The matching name, or NULL.
static const char *field_among(const char *bytes, const LetterField *field,
                               const char *const *names) {
  for (; *names != NULL; names++)
    if (letter_field_is(bytes, field, *names)) return *names;
  return NULL;
}

static bool is_resent(const char *bytes, const LetterField *field) {
  return field->name_length > 7 && g_ascii_strncasecmp(bytes + field->start, "Resent-", 7) == 0;
}

static const LetterField *field_at(const LetterHeader *header, unsigned i) {
  return &g_array_index(header->fields, LetterField, i);
}

// Fields [*first, *last) hold the first Resent block: false if there is none.
static bool find_resent_block(const LetterHeader *header, const char *bytes, unsigned *first,
                              unsigned *last) {
  unsigned i = 0;
  while (i < header->fields->len && !is_resent(bytes, field_at(header, i)))
    i++;
  *first = i;
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  for (; i < header->fields->len; i++) {
    const LetterField *field = field_at(header, i);
    const char *single = field_among(bytes, field, resent_single_fields);
    if (field_among(bytes, field, trace_fields) != NULL) break;
    if (single != NULL && !g_hash_table_add(seen, (gpointer)single)) break;
  }
  *last = i;
  return *first < header->fields->len;
}

static bool add_fields(GPtrArray *addresses, const LetterHeader *header, const char *bytes,
                       unsigned first, unsigned last, const char *const *names, GError **error) {
  for (unsigned i = first; i < last; i++) {
    const LetterField *field = field_at(header, i);
    const char *name = field_among(bytes, field, names);
    if (name == NULL) continue;
    g_autofree char *value = letter_field_value(bytes, field);
    if (!letter_addresses_add(addresses, name, value, error)) return false;
  }
  return true;
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
                                      GError **error) {
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(g_free);
  unsigned first = 0, last = 0;
  bool resent = find_resent_block(header, bytes, &first, &last);
  if (!resent) first = 0, last = header->fields->len;
  if (!add_fields(all, header, bytes, first, last,
                  resent ? resent_recipient_fields : recipient_fields, error))
    return NULL;
  if (all->len > 0) return each_once(all);
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "it has no recipient: %s",
              resent ? "its newest Resent- fields name none" : "no address in To, Cc or Bcc");
  return NULL;
}

char *letter_envelope_from(const LetterHeader *header, const char *bytes, const char *otherwise,
                           GError **error) {
  static const char *const names[] = {"Resent-Sender", "Resent-From", "Sender", "From"};
  for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
    const LetterField *field = letter_header_find(header, bytes, names[i]);
    if (field == NULL) continue;
    g_autofree char *value = letter_field_value(bytes, field);
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    if (!letter_addresses_add(addresses, names[i], value, error)) return NULL;
    if (addresses->len > 0) return g_strdup(g_ptr_array_index(addresses, 0));
    g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "its %s field holds no address",
                names[i]);
    return NULL;
  }
  return g_strdup(otherwise);
}
