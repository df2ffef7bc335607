#include "cache/outbox_rules.h"

#include <string.h>

#define LIBREOFFICE_LOCK ".~lock."

bool outbox_name_is_note(const char *name) {
  return g_str_has_suffix(name, OUTBOX_ERROR_SUFFIX);
}

bool outbox_name_is_allowed(const char *name) {
  if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
  for (const char *c = name; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c) || *c == '/') return false;
  return !outbox_name_is_note(name);
}

bool outbox_name_is_sendable(const char *name) {
  size_t length = strlen(name);
  bool hashed = length > 1 && name[0] == '#' && name[length - 1] == '#';
  return name[0] != '.' && !hashed && !g_str_has_suffix(name, "~") &&
         !g_str_has_suffix(name, ".swp") && strcmp(name, "4913") != 0;
}

char *outbox_lock_name(const char *name, unsigned i) {
  if (i < 26) return g_strdup_printf(".%s.sw%c", name, 'a' + (int)i);
  if (i == 26) return g_strconcat(".#", name, NULL);
  if (i == 27) return g_strconcat(LIBREOFFICE_LOCK, name, "#", NULL);
  return NULL;
}

// What stands between a prefix and a suffix, NULL if they are not there or nothing stands between.
static char *between(const char *text, const char *prefix, size_t suffix_length) {
  size_t length = strlen(text), skipped = strlen(prefix);
  if (!g_str_has_prefix(text, prefix) || length <= skipped + suffix_length) return NULL;
  return g_strndup(text + skipped, length - skipped - suffix_length);
}

char *outbox_lock_target(const char *lock) {
  size_t length = strlen(lock);
  if (g_str_has_prefix(lock, LIBREOFFICE_LOCK))
    return g_str_has_suffix(lock, "#") ? between(lock, LIBREOFFICE_LOCK, 1) : NULL;
  if (g_str_has_prefix(lock, ".#")) return between(lock, ".#", 0);
  bool vim =
      length > 4 && memcmp(lock + length - 4, ".sw", 3) == 0 && g_ascii_islower(lock[length - 1]);
  return vim ? between(lock, ".", 4) : NULL;
}

char *outbox_label(const char *name, unsigned n) {
  g_autofree char *number = n > 0 ? g_strdup_printf("+%u", n) : g_strdup("");
  size_t room = OUTBOX_NAME_MAX - strlen(OUTBOX_ERROR_SUFFIX) - strlen(number);
  size_t length = strlen(name);
  if (length > room) {
    length = room;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80)
      length--;
  }
  char *label = g_strdup_printf("%.*s%s", (int)length, name, number);
  if (outbox_name_is_note(label)) label[strlen(label) - 1] = '\0';
  return label;
}

int64_t outbox_retry_delay_ms(int64_t first_ms, unsigned attempts) {
  int64_t delay_ms = first_ms, longest_ms = 60 * first_ms;
  while (attempts-- > 1 && delay_ms < longest_ms)
    delay_ms *= 2;
  return MIN(delay_ms, longest_ms);
}
