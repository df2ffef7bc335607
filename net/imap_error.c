#include "net/imap_error.h"

#include <string.h>

#include "net/error.h"

static const size_t max_words_bytes = 500;

static const struct {
  const char *code;
  NetError error;
} codes[] = {
    {"NOPERM", NET_ERROR_FORBIDDEN},
    {"ACL", NET_ERROR_FORBIDDEN},
    {"AUTHORIZATIONFAILED", NET_ERROR_FORBIDDEN},
    {"NONEXISTENT", NET_ERROR_GONE},
    {"TRYCREATE", NET_ERROR_GONE},
    {"EXPUNGEISSUED", NET_ERROR_BUSY},
    {"INUSE", NET_ERROR_BUSY},
    {"UNAVAILABLE", NET_ERROR_BUSY},
    {"THROTTLED", NET_ERROR_BUSY},
    {"OVERQUOTA", NET_ERROR_BUSY},
    {"LIMIT", NET_ERROR_BUSY},
};

static NetError error_of(const ImapResponse *response) {
  if (strcmp(response->name, "BYE") == 0) return NET_ERROR_OFFLINE;
  for (size_t i = 0; response->code && i < G_N_ELEMENTS(codes); i++)
    if (strcmp(response->code, codes[i].code) == 0) return codes[i].error;
  // Exchange throttles without a code.
  return strstr(response->text, "Suggested Backoff Time") ? NET_ERROR_BUSY : NET_ERROR_REFUSED;
}

char *imap_printable(const char *text) {
  g_autofree char *valid = g_utf8_make_valid(text, (gssize)strnlen(text, max_words_bytes));
  g_autoptr(GString) line = g_string_new(NULL);
  for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
    gunichar letter = g_utf8_get_char(at);
    g_string_append_unichar(line, g_unichar_isprint(letter) ? letter : '?');
  }
  return g_string_free(g_steal_pointer(&line), FALSE);
}

void imap_error_add(GError **failure, GError *another) {
  bool is_worse = net_error_ends_connection(another) && !net_error_ends_connection(*failure);
  if (*failure && !is_worse) {
    g_error_free(another);
    return;
  }
  g_clear_error(failure);
  *failure = another;
}

void imap_error_set(GError **error, const ImapResponse *response) {
  g_autofree char *words = imap_printable(response->text);
  g_autofree char *code = imap_printable(response->code ? response->code : "");
  g_set_error(error, NET_ERROR, error_of(response), "the server says %s%s%s%s %s", response->name,
              response->code ? " [" : "", code, response->code ? "]" : "", words);
}
