#include "cache/drop_format.h"

#include <string.h>

#include "cache/letter.h"
#include "cache/outbox_rules.h"

#define GROUP "drop"
#define VERSION 1

static void set(GKeyFile *keys, const char *key, const char *value) {
  if (value != NULL) g_key_file_set_string(keys, GROUP, key, value);
}

char *drop_format_write(const char *name, const Envelope *envelope, size_t *size) {
  g_autoptr(GKeyFile) keys = g_key_file_new();
  g_key_file_set_integer(keys, GROUP, "version", VERSION);
  set(keys, "name", name);
  set(keys, "from", envelope->from);
  if (envelope->recipients != NULL)
    g_key_file_set_string_list(keys, GROUP, "recipients", (const char *const *)envelope->recipients,
                               g_strv_length(envelope->recipients));
  set(keys, "notify", envelope->notify);
  set(keys, "ret", envelope->ret);
  set(keys, "envid", envelope->envid);
  return g_key_file_to_data(keys, size, NULL);
}

static bool refuse(GError **error, const char *what) {
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "%s", what);
  return false;
}

typedef char *(*Reader)(const char *text, GError **error);

// A key that is missing is NULL.
static bool read_text(GKeyFile *keys, const char *key, Reader reader, char **value,
                      GError **error) {
  if (!g_key_file_has_key(keys, GROUP, key, NULL)) return true;
  g_autofree char *text = g_key_file_get_string(keys, GROUP, key, NULL);
  if (text == NULL) return refuse(error, "it is not text");
  *value = reader(text, error);
  return *value != NULL;
}

static char *read_name(const char *text, GError **error) {
  bool good = strlen(text) <= OUTBOX_NAME_MAX && outbox_name_is_allowed(text) &&
              outbox_name_is_sendable(text);
  if (!good) refuse(error, "its name is none for a letter");
  return good ? g_strdup(text) : NULL;
}

static bool read_recipients(GKeyFile *keys, char ***recipients, GError **error) {
  if (!g_key_file_has_key(keys, GROUP, "recipients", NULL)) return true;
  g_auto(GStrv) texts = g_key_file_get_string_list(keys, GROUP, "recipients", NULL, NULL);
  if (texts == NULL || *texts == NULL) return refuse(error, "it names no recipient");
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  for (char **text = texts; *text != NULL; text++) {
    char *address = envelope_read_recipient(*text, error);
    if (address == NULL) return false;
    g_ptr_array_add(addresses, address);
  }
  g_ptr_array_add(addresses, NULL);
  g_ptr_array_set_free_func(addresses, NULL);
  *recipients = (char **)g_ptr_array_free(g_steal_pointer(&addresses), false);
  return true;
}

bool drop_format_read(Drop *drop, const char *text, size_t size, GError **error) {
  g_autoptr(GKeyFile) keys = g_key_file_new();
  Envelope *envelope = &drop->envelope;
  if (size == 0 || !g_key_file_load_from_data(keys, text, size, G_KEY_FILE_NONE, NULL))
    return refuse(error, "it is not written as one");
  if (g_key_file_get_integer(keys, GROUP, "version", NULL) != VERSION)
    return refuse(error, "it is not of a version that is known here");
  return read_text(keys, "name", read_name, &drop->name, error) &&
         read_text(keys, "from", envelope_read_sender, &envelope->from, error) &&
         read_recipients(keys, &envelope->recipients, error) &&
         read_text(keys, "notify", envelope_read_notify, &envelope->notify, error) &&
         read_text(keys, "ret", envelope_read_ret, &envelope->ret, error) &&
         read_text(keys, "envid", envelope_read_envid, &envelope->envid, error);
}
