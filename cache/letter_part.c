#include "cache/letter_part.h"

#include <gmime/gmime.h>
#include <string.h>

#define BOUNDARY_MAX 200

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GMimeContentType, g_object_unref)

static LetterPart opaque(const char *why) {
  return (LetterPart){.kind = LETTER_PART_OPAQUE, .why = why};
}

// Its value; NULL if there is none. *is_unclear: there are two.
static char *value_of(const LetterHeader *header, const char *bytes, const char *name,
                      bool *is_unclear) {
  const LetterField *found = NULL;
  for (unsigned i = 0; i < header->fields->len; i++) {
    const LetterField *field = &g_array_index(header->fields, LetterField, i);
    if (!letter_field_is(bytes, field, name)) continue;
    if (found != NULL) *is_unclear = true;
    found = field;
  }
  return found != NULL ? letter_field_value(bytes, found) : NULL;
}

// No encoding at all, but for what it says about the bytes.
static bool is_plain(const char *encoding) {
  static const char *const plain[] = {"", "7bit", "8bit", "binary"};
  if (encoding == NULL) return true;
  g_autofree char *word = g_strndup(encoding, strcspn(encoding, " \t(;"));
  for (unsigned i = 0; i < G_N_ELEMENTS(plain); i++)
    if (g_ascii_strcasecmp(word, plain[i]) == 0) return true;
  return false;
}

static LetterPart multipart(const GMimeContentType *type) {
  GMimeContentType *asked = (GMimeContentType *)type;
  const char *boundary = g_mime_content_type_get_parameter(asked, "boundary");
  if (boundary == NULL || *boundary == '\0' || strlen(boundary) > BOUNDARY_MAX)
    return opaque("in a multipart without a sound boundary");
  return (LetterPart){.kind = LETTER_PART_MULTIPART,
                      .boundary = g_strchomp(g_strdup(boundary)),
                      .is_digest = g_mime_content_type_is_type(asked, "multipart", "digest"),
                      .is_sealed = g_mime_content_type_is_type(asked, "multipart", "signed") ||
                                   g_mime_content_type_is_type(asked, "multipart", "encrypted")};
}

static LetterPart of_type(const char *value, bool in_digest) {
  if (value == NULL)
    return (LetterPart){.kind = in_digest ? LETTER_PART_MESSAGE : LETTER_PART_TEXT};
  g_autoptr(GMimeContentType) type = g_mime_content_type_parse(NULL, value);
  if (type == NULL) return opaque("in a part of unknown type");
  if (g_mime_content_type_is_type(type, "text", "*")) return (LetterPart){.kind = LETTER_PART_TEXT};
  if (g_mime_content_type_is_type(type, "multipart", "*")) return multipart(type);
  if (g_mime_content_type_is_type(type, "message", "rfc822") ||
      g_mime_content_type_is_type(type, "message", "global"))
    return (LetterPart){.kind = LETTER_PART_MESSAGE};
  return opaque("in a part that is no text");
}

static void locate(LetterPart *part, const LetterHeader *header, const char *bytes,
                   uint64_t offset) {
  const LetterField *field = letter_header_find(header, bytes, "Content-Transfer-Encoding");
  part->header_end = offset + header->end;
  part->encoding_start = field != NULL ? offset + field->start : part->header_end;
  part->encoding_end = field != NULL ? offset + field->end : part->header_end;
}

LetterPart letter_part_read(const LetterHeader *header, const char *bytes, uint64_t offset,
                            bool is_message, bool in_digest) {
  if (header == NULL) return opaque("in a part with a broken header");
  bool is_unclear = false;
  g_autofree char *type = value_of(header, bytes, "Content-Type", &is_unclear);
  g_autofree char *encoding = value_of(header, bytes, "Content-Transfer-Encoding", &is_unclear);
  if (is_unclear) return opaque("in a part that says twice what it is");
  if (!is_plain(encoding)) return opaque("in a part that is encoded already");
  LetterPart part = of_type(type, in_digest);
  if (part.kind != LETTER_PART_TEXT) return part;
  locate(&part, header, bytes, offset);
  if (!is_message) return part;
  part.lacks_version = letter_header_find(header, bytes, "MIME-Version") == NULL;
  part.lacks_type = type == NULL;
  return part;
}

void letter_part_clear(LetterPart *part) {
  g_free(part->boundary);
  *part = (LetterPart){0};
}
