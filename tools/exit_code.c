#include "tools/exit_code.h"

#include "cache/index.h"
#include "cache/ledger.h"
#include "cache/outbox.h"
#include "net/error.h"

G_DEFINE_QUARK(mailfs_exit_error, exit_error)

static int exit_code_of_net(NetError code) {
  switch (code) {
    case NET_ERROR_HOST:
      return EX_NOHOST;
    case NET_ERROR_UNTRUSTED:
    case NET_ERROR_DENIED:
    case NET_ERROR_FORBIDDEN:
      return EX_NOPERM;
    case NET_ERROR_BUSY:
    case NET_ERROR_CANCELLED:
      return EX_TEMPFAIL;
    case NET_ERROR_OFFLINE:
    case NET_ERROR_TIMEOUT:
    case NET_ERROR_GONE:
    case NET_ERROR_REFUSED:
    case NET_ERROR_PROTOCOL:
    case NET_ERROR_LIMIT:
    case NET_ERROR_UNSUPPORTED:
      return EX_UNAVAILABLE;
  }
  return EX_SOFTWARE;
}

int exit_code(const GError *error) {
  if (error->domain == EXIT_ERROR) return error->code != 0 ? error->code : EX_SOFTWARE;
  if (error->domain == NET_ERROR) return exit_code_of_net((NetError)error->code);
  if (error->domain == INDEX_ERROR) return EX_IOERR;
  if (error->domain == G_FILE_ERROR || error->domain == OUTBOX_ERROR ||
      error->domain == LEDGER_ERROR)
    return EX_CANTCREAT;
  return EX_SOFTWARE;
}

int exit_report(const GError *error) {
  g_message("%s", error->message);
  return exit_code(error);
}
