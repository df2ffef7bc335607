#include "net/error.h"

#include <string.h>

#define BACKOFF_MAX_MS (10 * 60 * 1000)
// After [LOGIN-DELAY], of which the refusal does not say how long it is.
#define LOGIN_DELAY_MS (60 * 1000)

G_DEFINE_QUARK(mailfs - net - error - quark, net_error)

bool net_error_ends_connection(const GError *error) {
  if (error == NULL || error->domain != NET_ERROR) return false;
  switch ((NetError)error->code) {
    case NET_ERROR_HOST:
    case NET_ERROR_OFFLINE:
    case NET_ERROR_TIMEOUT:
    case NET_ERROR_UNTRUSTED:
    case NET_ERROR_DENIED:
    case NET_ERROR_PROTOCOL:
    case NET_ERROR_CANCELLED:
      return true;
    case NET_ERROR_FORBIDDEN:
    case NET_ERROR_GONE:
    case NET_ERROR_BUSY:
    case NET_ERROR_REFUSED:
    case NET_ERROR_LIMIT:
    case NET_ERROR_UNSUPPORTED:
      return false;
  }
  return false;
}

unsigned net_error_backoff_ms(const GError *error) {
  static const char words[] = "Suggested Backoff Time: ";
  const char *at = error != NULL ? strstr(error->message, words) : NULL;
  bool is_login_delay = g_error_matches(error, NET_ERROR, NET_ERROR_BUSY) &&
                        strstr(error->message, "[LOGIN-DELAY") != NULL;
  if (at == NULL) return is_login_delay ? LOGIN_DELAY_MS : 0;
  return (unsigned)MIN(g_ascii_strtoull(at + strlen(words), NULL, 10), BACKOFF_MAX_MS);
}
