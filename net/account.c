#include "net/account.h"

#include <arpa/inet.h>
#include <string.h>

#include "net/error.h"

#define DEFAULT_TIMEOUT_MS 60000

typedef struct {
  const char *name;
  AccountProtocol protocol;
  bool implicit_tls;
  uint16_t port;
} Scheme;

static const Scheme schemes[] = {
    {"imap", ACCOUNT_IMAP, false, 143}, {"imaps", ACCOUNT_IMAP, true, 993},
    {"pop3", ACCOUNT_POP3, false, 110}, {"pop3s", ACCOUNT_POP3, true, 995},
    {"smtp", ACCOUNT_SMTP, false, 587}, {"smtps", ACCOUNT_SMTP, true, 465},
};

static bool refuse(GError **error, const char *reason) {
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED, "the server URL %s", reason);
  return false;
}

static const Scheme *scheme_of(const Account *account) {
  for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++) {
    if (schemes[i].protocol == account->protocol &&
        schemes[i].implicit_tls == account->implicit_tls)
      return &schemes[i];
  }
  g_assert_not_reached();
}

// Reads the scheme and returns what follows its "://".
static const char *parse_scheme(Account *account, const char *url, GError **error) {
  for (size_t i = 0; i < G_N_ELEMENTS(schemes); i++) {
    size_t length = strlen(schemes[i].name);
    if (g_ascii_strncasecmp(url, schemes[i].name, length) != 0) continue;
    if (!g_str_has_prefix(url + length, "://")) continue;
    account->protocol = schemes[i].protocol;
    account->implicit_tls = schemes[i].implicit_tls;
    account->port = schemes[i].port;
    return url + length + strlen("://");
  }
  refuse(error, "must begin with imaps://, imap://, pop3s://, pop3://, smtps:// or smtp://");
  return NULL;
}

static bool has_control(const char *text) {
  for (const char *p = text; *p != '\0'; p++) {
    if (g_ascii_iscntrl(*p)) return true;
  }
  return false;
}

static bool parse_user(Account *account, const char *text, GError **error) {
  if (strchr(text, ':') != NULL)
    return refuse(error, "must not hold a password: use password_command or password_file");
  if (strchr(text, '@') != NULL) return refuse(error, "has an @ in the user name: write it %40");
  account->user = g_uri_unescape_string(text, NULL);
  if (account->user == NULL || *account->user == '\0' || has_control(account->user) ||
      !g_utf8_validate(account->user, -1, NULL))
    return refuse(error, "has a user name that is empty or has broken % escapes or control bytes");
  return true;
}

static bool parse_port(Account *account, const char *text, GError **error) {
  uint64_t port;
  if (!g_ascii_string_to_unsigned(text, 10, 1, UINT16_MAX, &port, NULL))
    return refuse(error, "has a port that is not a number from 1 to 65535");
  account->port = (uint16_t)port;
  return true;
}

// An address of RFC 4291, perhaps with a zone (RFC 6874 writes it %25eth0).
static bool is_ipv6(const char *host) {
  g_autofree char *address = g_strndup(host, strcspn(host, "%"));
  struct in6_addr parsed;
  if (inet_pton(AF_INET6, address, &parsed) != 1) return false;
  for (const char *p = host + strlen(address); *p != '\0'; p++) {
    if (!g_ascii_isalnum(*p) && strchr("%.-_", *p) == NULL) return false;
  }
  return true;
}

// A name of letters, digits, dots, hyphens and underscores; non-ASCII letters are left to the
// resolver's IDN rules.
static bool is_host_name(const char *host) {
  if (*host == '\0' || *host == '-' || !g_utf8_validate(host, -1, NULL)) return false;
  for (const char *p = host; *p != '\0'; p = g_utf8_next_char(p)) {
    gunichar character = g_utf8_get_char(p);
    bool is_plain = character < 0x80 && strchr(".-_", (int)character) != NULL;
    if (!is_plain && !g_unichar_isalnum(character) && !g_unichar_ismark(character)) return false;
  }
  return true;
}

static bool parse_host_port(Account *account, const char *text, GError **error) {
  const char *rest = NULL;
  if (*text == '[') {
    const char *end = strchr(text, ']');
    if (end == NULL) return refuse(error, "has a [ without its ]");
    account->host = g_ascii_strdown(text + 1, end - text - 1);
    rest = end + 1;
    if (!is_ipv6(account->host)) return refuse(error, "has no IPv6 address in its brackets");
  } else {
    rest = text + strcspn(text, ":");
    account->host = g_ascii_strdown(text, rest - text);
    if (!is_host_name(account->host)) return refuse(error, "lacks a valid host name");
  }
  if (*rest == '\0') return true;
  if (*rest != ':') return refuse(error, "has something odd after its host");
  return parse_port(account, rest + 1, error);
}

static bool parse_authority(Account *account, const char *text, GError **error) {
  size_t length = strcspn(text, "/?#");
  if (text[length] != '\0' && strcmp(text + length, "/") != 0)
    return refuse(error, "must end after the host and port: no path, no query");
  g_autofree char *authority = g_strndup(text, length);
  char *at = strrchr(authority, '@');
  if (at == NULL) {
    if (account->protocol != ACCOUNT_SMTP)
      return refuse(error, "lacks the user: write scheme://user@host");
    return parse_host_port(account, authority, error);
  }
  *at = '\0';
  return parse_user(account, authority, error) && parse_host_port(account, at + 1, error);
}

Account *account_new_from_url(const char *url, GError **error) {
  g_autoptr(Account) account = g_new0(Account, 1);
  account->timeout_ms = DEFAULT_TIMEOUT_MS;
  const char *authority = parse_scheme(account, url, error);
  if (authority == NULL || !parse_authority(account, authority, error)) return NULL;
  return g_steal_pointer(&account);
}

void account_free(Account *account) {
  if (account == NULL) return;
  g_free(account->host);
  g_free(account->user);
  secret_unref(account->secret);
  g_free(account->auth);
  g_free(account->ca_file);
  g_free(account->tls_pin);
  g_free(account->client_cert);
  g_free(account->client_key);
  g_free(account->proxy);
  g_free(account);
}

char *account_server(const Account *account) {
  bool is_ip6 = strchr(account->host, ':') != NULL;
  return g_strdup_printf("%s://%s%s%s:%u", scheme_of(account)->name, is_ip6 ? "[" : "",
                         account->host, is_ip6 ? "]" : "", account->port);
}

char *account_directory_name(const Account *account) {
  const Scheme *scheme = scheme_of(account);
  g_autoptr(GString) name = g_string_new(scheme->name);
  g_string_append_c(name, '_');
  if (account->user != NULL) g_string_append_printf(name, "%s@", account->user);
  g_string_append(name, account->host);
  if (account->port != scheme->port) g_string_append_printf(name, "_%u", account->port);
  return account_escape_directory(name->str);
}

char *account_escape_directory(const char *name) {
  // No name at all is written as a lone escape sign, which nothing else gives.
  if (*name == '\0') return g_strdup("%");
  bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
  GString *escaped = g_string_new(NULL);
  for (const char *p = name; *p != '\0'; p++) {
    bool is_plain = g_ascii_isalnum(*p) || strchr("@._+-", *p) != NULL;
    if (is_plain && !is_dots)
      g_string_append_c(escaped, *p);
    else
      g_string_append_printf(escaped, "%%%02X", (unsigned char)*p);
  }
  return g_string_free(escaped, FALSE);
}
