#include <gmime/gmime.h>
#include <string.h>

#include "cache/letter_address.h"
#include "cache/letter_private.h"

// What those who get a letter must not see; the copy in the Sent folder may have it.
static const char *const hidden_fields[] = {"Bcc", "Resent-Bcc", NULL};
// What only concerns the way a letter came here: Return-Path is for the last server to write (RFC
// 5321 section 4.4), and Content-Length tells some readers of an mbox where the next message
// begins, which is wrong as soon as line ends change. Status, X-Status and the like are left alone,
// as sendmail and msmtp leave them: they harm nobody.
static const char *const dropped_fields[] = {"Return-Path", "Content-Length", NULL};

static bool is_among(const char *bytes, const LetterField *field, const char *const *names) {
  for (; *names != NULL; names++)
    if (letter_field_is(bytes, field, *names)) return true;
  return false;
}

// As it will be given out, with CRLF.
static uint64_t size_with_crlf(const char *bytes, size_t start, size_t end) {
  uint64_t size = 0;
  for (size_t i = start; i < end; i++)
    if (bytes[i] != '\r') size += bytes[i] == '\n' ? 2 : 1;
  return bytes[end - 1] == '\n' ? size : size + 2;
}

static void cut_fields(Letter *letter, const LetterHeader *header, const char *bytes) {
  if (header->start > 0) letter_add_edit(letter, (LetterEdit){.end = header->start});
  for (unsigned i = 0; i < header->fields->len; i++) {
    const LetterField *field = &g_array_index(header->fields, LetterField, i);
    LetterEdit edit = {.start = field->start, .end = field->end};
    edit.is_hidden = is_among(bytes, field, hidden_fields);
    if (edit.is_hidden) letter->copy_size += size_with_crlf(bytes, field->start, field->end);
    if (edit.is_hidden || is_among(bytes, field, dropped_fields)) letter_add_edit(letter, edit);
  }
}

static char *format_date(int64_t seconds) {
  g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(seconds);
  return g_mime_utils_header_format_date(date);
}

// The lines that a letter sent on must have (RFC 5322 section 3.6.6), or any other. What the author
// of one that is sent on left out stays out: we cannot know it.
static char *missing_fields(LetterBlock block, bool is_resent, const LetterHeader *header,
                            const char *bytes, const LetterDefaults *defaults, GError **error) {
  g_autofree char *date = format_date(defaults->date);
  g_autofree char *id = g_strdup_printf("<%s>", defaults->message_id);
  const struct {
    const char *name, *value;
  } needed[] = {{"Resent-Date", date}, {"Resent-From", NULL}, {"Resent-Message-ID", id}};
  g_autoptr(GString) text = g_string_new(NULL);
  for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
    const char *name = needed[i].name + (is_resent ? 0 : strlen("Resent-"));
    if (letter_block_find(block, header, bytes, name) != NULL) continue;
    g_autofree char *value = needed[i].value != NULL ? g_strdup(needed[i].value) : NULL;
    if (value == NULL) value = letter_address_read(LETTER_OWN_ADDRESS, defaults->from, error);
    if (value == NULL) return NULL;
    g_string_append_printf(text, "%s: %s\r\n", name, value);
  }
  return g_string_free(g_steal_pointer(&text), false);
}

static void find_id(Letter *letter, LetterBlock block, bool is_resent, const LetterHeader *header,
                    const char *bytes, const LetterDefaults *defaults) {
  letter->id_field = is_resent ? "Resent-Message-ID" : "Message-ID";
  const LetterField *field = letter_block_find(block, header, bytes, letter->id_field);
  letter->id = field != NULL ? letter_field_value(bytes, field)
                             : g_strdup_printf("<%s>", defaults->message_id);
}

bool letter_complete(Letter *letter, const LetterHeader *header, const char *bytes,
                     LetterBlock resent, const LetterDefaults *defaults, GError **error) {
  bool is_resent = resent.first < resent.last;
  LetterBlock block = is_resent ? resent : (LetterBlock){0, header->fields->len};
  char *missing = missing_fields(block, is_resent, header, bytes, defaults, error);
  if (missing == NULL) return false;
  find_id(letter, block, is_resent, header, bytes, defaults);
  uint64_t at = header->start;
  if (is_resent) at = g_array_index(header->fields, LetterField, resent.first).start;
  letter_add_edit(letter, (LetterEdit){at, at, missing});
  cut_fields(letter, header, bytes);
  return true;
}
