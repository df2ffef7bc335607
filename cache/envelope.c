#include "cache/envelope.h"

#include <string.h>

#include "cache/letter.h"
#include "cache/letter_address.h"

// RFC 3461 section 4.4.
#define ENVID_MAX 100

void envelope_copy(Envelope *to, const Envelope *from) {
  *to = (Envelope){
      .from = g_strdup(from->from),
      .recipients = g_strdupv(from->recipients),
      .notify = g_strdup(from->notify),
      .ret = g_strdup(from->ret),
      .envid = g_strdup(from->envid),
  };
}

void envelope_clear(Envelope *envelope) {
  g_free(envelope->from);
  g_strfreev(envelope->recipients);
  g_free(envelope->notify);
  g_free(envelope->ret);
  g_free(envelope->envid);
  *envelope = (Envelope){0};
}

static char *refuse(const char *what, const char *text, GError **error) {
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  g_autofree char *shown = g_strescape(valid, NULL);
  g_set_error(error, LETTER_ERROR, LETTER_ERROR_INVALID, "\"%.80s\" is no %s", shown, what);
  return NULL;
}

bool envelope_read_recipients(const char *text, GPtrArray *addresses, GError **error) {
  unsigned before = addresses->len;
  if (strpbrk(text, "\r\n") == NULL &&
      letter_addresses_add(addresses, "address", text, NULL, NULL) && addresses->len > before)
    return true;
  refuse("address", text, error);
  return false;
}

char *envelope_read_recipient(const char *text, GError **error) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  if (!envelope_read_recipients(text, addresses, error)) return NULL;
  if (addresses->len > 1) return refuse("single address", text, error);
  return g_strdup(addresses->pdata[0]);
}

char *envelope_read_sender(const char *text, GError **error) {
  if (*text == '\0' || strcmp(text, "<>") == 0) return g_strdup("");
  return envelope_read_recipient(text, error);
}

char *envelope_read_notify(const char *text, GError **error) {
  static const char *const fates[] = {"SUCCESS", "FAILURE", "DELAY", NULL};
  char *upper = g_ascii_strup(text, -1);
  g_auto(GStrv) words = g_strsplit(upper, ",", -1);
  bool known = *words != NULL;
  for (char **word = words; *word != NULL; word++)
    known &= g_strv_contains(fates, g_strstrip(*word));
  if (strcmp(upper, "NEVER") != 0) {
    g_free(upper);
    upper = known ? g_strjoinv(",", words) : NULL;
  }
  return upper != NULL ? upper
                       : refuse("list of success, failure and delay, nor never", text, error);
}

char *envelope_read_ret(const char *text, GError **error) {
  bool full = g_ascii_strcasecmp(text, "full") == 0;
  if (!full && g_ascii_strcasecmp(text, "hdrs") != 0)
    return refuse("choice of full and hdrs", text, error);
  return g_strdup(full ? "FULL" : "HDRS");
}

char *envelope_read_envid(const char *text, GError **error) {
  size_t length = strlen(text);
  bool good = length > 0 && length <= ENVID_MAX;
  for (const char *c = text; *c != '\0'; c++)
    good &= g_ascii_isgraph(*c);
  return good ? g_strdup(text)
              : refuse("envelope ID of at most 100 printable characters without blanks", text,
                       error);
}

unsigned envelope_notify(const Envelope *envelope) {
  static const struct {
    const char *word;
    SenderNotify notify;
  } words[] = {
      {"NEVER", SENDER_NOTIFY_NEVER},
      {"SUCCESS", SENDER_NOTIFY_SUCCESS},
      {"FAILURE", SENDER_NOTIFY_FAILURE},
      {"DELAY", SENDER_NOTIFY_DELAY},
  };
  unsigned notify = 0;
  g_auto(GStrv) said = g_strsplit(envelope->notify != NULL ? envelope->notify : "", ",", -1);
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
    if (g_strv_contains((const char *const *)said, words[i].word)) notify |= words[i].notify;
  return notify;
}

SenderReturn envelope_return(const Envelope *envelope) {
  if (g_strcmp0(envelope->ret, "FULL") == 0) return SENDER_RETURN_FULL;
  if (g_strcmp0(envelope->ret, "HDRS") == 0) return SENDER_RETURN_HEADER;
  return SENDER_RETURN_DEFAULT;
}
