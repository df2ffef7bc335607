#include <string.h>

#include "net/error.h"
#include "net/smtp_delivery.h"

// RFC 5321 4.5.3.1 allows 64 + 1 + 255; what is far beyond is no address.
#define ADDRESS_MAX_BYTES 500
// RFC 3461 4.4.
#define ENVID_MAX_BYTES 100

static bool check_address(const char *address, bool allow_utf8, GError **error) {
  bool is_plain = true, is_ascii = true;
  for (const char *p = address; *p != '\0'; p++) {
    if (g_ascii_iscntrl(*p) || strchr(" <>", *p) != NULL) is_plain = false;
    if ((unsigned char)*p >= 0x80) is_ascii = false;
  }
  bool is_fit = is_ascii || (allow_utf8 && g_utf8_validate(address, -1, NULL));
  if (is_plain && is_fit && strlen(address) <= ADDRESS_MAX_BYTES) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
              "an address cannot be used in an envelope: it has a control character, a blank, an "
              "angle bracket or unexpected non-ASCII bytes, or is too long");
  return false;
}

static bool check_envid(const char *envid, GError **error) {
  if (envid == NULL) return true;
  size_t length = 0;
  bool is_printable = true;
  for (const char *p = envid; *p != '\0'; p++) {
    is_printable &= g_ascii_isprint(*p);
    length += *p == '+' || *p == '=' || *p == ' ' ? 3 : 1;
  }
  if (is_printable && length > 0 && length <= ENVID_MAX_BYTES) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
              "the envelope ID is empty, too long or not printable ASCII");
  return false;
}

static bool check_extensions(const SmtpConnection *connection, const SenderLetter *letter,
                             GError **error) {
  const char *lacking = NULL;
  if (letter->needs_utf8 && !(connection->extensions & SMTP_UTF8)) lacking = "SMTPUTF8";
  if (letter->has_8bit && !(connection->extensions & SMTP_8BITMIME)) lacking = "8BITMIME";
  if (lacking == NULL) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_UNSUPPORTED,
              "the letter has non-ASCII characters and the server does not offer %s", lacking);
  return false;
}

bool smtp_check_letter(const SmtpConnection *connection, const SenderLetter *letter,
                       GError **error) {
  if (!check_address(letter->from, letter->needs_utf8, error)) return false;
  for (const char *const *address = letter->recipients; *address != NULL; address++)
    if (!check_address(*address, letter->needs_utf8, error)) return false;
  if (!check_envid(letter->envid, error)) return false;
  if (!check_extensions(connection, letter, error)) return false;
  if (connection->max_size == 0 || letter->size_bytes <= connection->max_size) return true;
  g_set_error(error, NET_ERROR, NET_ERROR_LIMIT,
              "the letter has %" G_GUINT64_FORMAT " bytes, the server takes %" G_GUINT64_FORMAT,
              letter->size_bytes, connection->max_size);
  return false;
}
