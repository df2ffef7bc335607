#include "net/wire_connect.h"

static char *denied_text(const char *server, const Account *account, const char *refusal) {
  if (refusal != NULL)
    return g_strdup_printf("%s refuses the login of %s: %s", server, account->user, refusal);
  if (account->auth != NULL)
    return g_strdup_printf("%s: there is no login with auth=%s", server, account->auth);
  return g_strdup_printf("%s offers no login that can be used here", server);
}

static char *failure_text(NetError kind, const char *server, const Account *account,
                          const char *refusal, const char *reason) {
  static const char *const protocols[] = {
      [ACCOUNT_IMAP] = "IMAP", [ACCOUNT_POP3] = "POP3", [ACCOUNT_SMTP] = "SMTP"};
  switch (kind) {
    case NET_ERROR_CANCELLED:
      return g_strdup_printf("%s: cancelled", server);
    case NET_ERROR_HOST:
      return g_strdup_printf("%s: no such host: %s", server, reason);
    case NET_ERROR_TIMEOUT:
      if (account->protocol == ACCOUNT_SMTP)
        return g_strdup_printf("%s did not answer in time", server);
      return g_strdup_printf("%s did not answer within %u s", server,
                             (account->timeout_ms + 999) / 1000);
    case NET_ERROR_UNTRUSTED:
      return g_strdup_printf("%s: TLS failed or is not trusted: %s", server,
                             refusal != NULL ? refusal : reason);
    case NET_ERROR_BUSY:
      return g_strdup_printf("%s asks to try later: %s", server, refusal);
    case NET_ERROR_REFUSED:
      return g_strdup_printf("%s refuses the connection: %s", server, refusal);
    case NET_ERROR_PROTOCOL:
      return g_strdup_printf("%s does not speak %s: %s", server, protocols[account->protocol],
                             reason);
    case NET_ERROR_DENIED:
      return denied_text(server, account, refusal);
    default:
      return g_strdup_printf("%s cannot be reached: %s", server, reason);
  }
}

void wire_failure_set(GError **error, NetError kind, const Account *account, const char *refusal,
                      const char *reason) {
  g_autofree char *server = account_server(account);
  g_autofree char *text = failure_text(kind, server, account, refusal, reason);
  g_set_error_literal(error, NET_ERROR, (int)kind, text);
}
