#include "fs/errno.h"

#include <errno.h>

#include "cache/ledger.h"
#include "cache/outbox.h"
#include "net/error.h"

// Linux keeps its numbers below this.
#define ERRNO_MAX 4095

static const int net_errno[] = {
    [NET_ERROR_HOST] = EHOSTUNREACH,
    [NET_ERROR_OFFLINE] = EHOSTUNREACH,
    [NET_ERROR_TIMEOUT] = ETIMEDOUT,
    [NET_ERROR_UNTRUSTED] = EHOSTUNREACH,
    [NET_ERROR_DENIED] = EACCES,
    [NET_ERROR_FORBIDDEN] = EACCES,
    [NET_ERROR_GONE] = ENOENT,
    [NET_ERROR_BUSY] = EHOSTUNREACH,
    [NET_ERROR_REFUSED] = EIO,
    [NET_ERROR_PROTOCOL] = EIO,
    [NET_ERROR_LIMIT] = EIO,
    [NET_ERROR_UNSUPPORTED] = ENOTSUP,
    [NET_ERROR_CANCELLED] = EHOSTUNREACH,
};

int errno_from_error(const GError *error) {
  if (error->domain == NET_ERROR && error->code >= 0 &&
      (size_t)error->code < G_N_ELEMENTS(net_errno))
    return net_errno[error->code];
  bool is_errno = error->domain == OUTBOX_ERROR || error->domain == LEDGER_ERROR;
  if (is_errno && error->code > 0 && error->code <= ERRNO_MAX) return error->code;
  return EIO;
}
