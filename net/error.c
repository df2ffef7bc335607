#include "net/error.h"

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
