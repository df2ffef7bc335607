#include "fs/xattr.h"

#include <linux/limits.h>
#include <string.h>

#define PREFIX "user.mailfs."

typedef struct {
  const char *name;
  bool of_letter;  // else of a message
  int detail;      // StoreDetail or OutboxDetail
} Attribute;

static const Attribute attributes[] = {
    {PREFIX "uid", false, STORE_UID},
    {PREFIX "flags", false, STORE_FLAGS},
    {PREFIX "from", false, STORE_FROM},
    {PREFIX "subject", false, STORE_SUBJECT},
    {PREFIX "date", false, STORE_DATE},
    {PREFIX "message-id", false, STORE_MESSAGE_ID},
    {PREFIX "folder", false, STORE_FOLDER},
    {PREFIX "state", true, OUTBOX_STATE},
    {PREFIX "error", true, OUTBOX_ERROR_TEXT},
    {PREFIX "next-try", true, OUTBOX_NEXT_TRY},
    {XATTR_ENVELOPE_FROM, true, OUTBOX_ENVELOPE_FROM},
};

bool xattr_is_supported(const char *name) {
  return g_str_has_prefix(name, "user.");
}

static bool belongs_to(const Attribute *attribute, const Thing *thing) {
  return thing->kind == (attribute->of_letter ? THING_LETTER : THING_MESSAGE);
}

// The kernel turns a longer value into E2BIG, which stops whoever copies attributes.
static void cut(char *text) {
  if (strlen(text) <= XATTR_SIZE_MAX) return;
  *g_utf8_find_prev_char(text, text + XATTR_SIZE_MAX + 1) = '\0';
}

static StoreAnswer load(Store *store, Outbox *outbox, const Attribute *attribute, uint64_t ino,
                        char **text) {
  *text = NULL;
  if (attribute->of_letter)
    *text = outbox_detail(outbox, ino, (OutboxDetail)attribute->detail);
  else {
    StoreAnswer answer = store_detail(store, ino, (StoreDetail)attribute->detail, text);
    if (answer != STORE_FOUND) return answer;
  }
  if (*text == NULL) return STORE_ABSENT;
  cut(*text);
  return STORE_FOUND;
}

StoreAnswer xattr_get(Store *store, Outbox *outbox, const Thing *thing, const char *name,
                      char **text) {
  *text = NULL;
  for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
    if (belongs_to(&attributes[i], thing) && strcmp(attributes[i].name, name) == 0)
      return load(store, outbox, &attributes[i], thing->ino, text);
  return STORE_ABSENT;
}

StoreAnswer xattr_list(Store *store, Outbox *outbox, const Thing *thing, GString **names) {
  g_autoptr(GString) list = g_string_new(NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++) {
    if (!belongs_to(&attributes[i], thing)) continue;
    g_autofree char *text = NULL;
    StoreAnswer answer = load(store, outbox, &attributes[i], thing->ino, &text);
    if (answer == STORE_LATER || answer == STORE_FAILED) return answer;
    if (answer == STORE_FOUND)
      g_string_append_len(list, attributes[i].name, (gssize)strlen(attributes[i].name) + 1);
  }
  *names = g_steal_pointer(&list);
  return STORE_FOUND;
}
