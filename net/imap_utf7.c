#include "net/imap_utf7.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool is_direct(char byte) {
  return byte >= ' ' && byte <= '~';
}

// Decodes the base64 between `&` and `-` as UTF-16 in big-endian order; NULL: it is not that. Left
// over bits and other spellings of the same text are for the caller's round trip to find.
static char *decode_shifted(const char *base64, size_t size) {
  g_autofree gunichar2 *units = g_new(gunichar2, size + 1);
  size_t count = 0;
  uint32_t bits = 0;
  unsigned n_bits = 0;
  for (size_t i = 0; i < size; i++) {
    const char *digit = memchr(alphabet, base64[i], sizeof alphabet - 1);
    if (!digit) return NULL;
    bits = (bits << 6) | (uint32_t)(digit - alphabet);
    n_bits += 6;
    if (n_bits < 16) continue;
    n_bits -= 16;
    units[count] = (gunichar2)(bits >> n_bits);
    if (units[count++] == 0) return NULL;
  }
  return g_utf16_to_utf8(units, (glong)count, NULL, NULL, NULL);
}

static bool append_shifted(GString *utf8, const char *base64, size_t size) {
  if (size == 0) {
    g_string_append_c(utf8, '&');
    return true;
  }
  g_autofree char *text = decode_shifted(base64, size);
  if (!text) return false;
  g_string_append(utf8, text);
  return true;
}

char *imap_utf7_decode(const char *name) {
  g_autoptr(GString) utf8 = g_string_new(NULL);
  for (const char *at = name; *at; at++) {
    if (!is_direct(*at)) return NULL;
    if (*at != '&') {
      g_string_append_c(utf8, *at);
      continue;
    }
    const char *end = strchr(at, '-');
    if (!end || !append_shifted(utf8, at + 1, (size_t)(end - at - 1))) return NULL;
    at = end;
  }
  g_autofree char *again = imap_utf7_encode(utf8->str);
  if (!again || strcmp(again, name) != 0) return NULL;
  return g_string_free(g_steal_pointer(&utf8), FALSE);
}

static void encode_shifted(GString *name, const char *text, size_t size) {
  glong count = 0;
  g_autofree gunichar2 *units = g_utf8_to_utf16(text, (glong)size, NULL, &count, NULL);
  uint32_t bits = 0;
  unsigned n_bits = 0;
  g_string_append_c(name, '&');
  for (glong i = 0; i < count; i++) {
    bits = (bits << 16) | units[i];
    for (n_bits += 16; n_bits >= 6; n_bits -= 6)
      g_string_append_c(name, alphabet[(bits >> (n_bits - 6)) & 0x3f]);
  }
  if (n_bits > 0) g_string_append_c(name, alphabet[(bits << (6 - n_bits)) & 0x3f]);
  g_string_append_c(name, '-');
}

char *imap_utf7_encode(const char *utf8) {
  if (!g_utf8_validate(utf8, -1, NULL)) return NULL;
  g_autoptr(GString) name = g_string_new(NULL);
  for (const char *at = utf8; *at;) {
    size_t run = 0;
    while (at[run] && !is_direct(at[run]))
      run++;
    if (run > 0) {
      encode_shifted(name, at, run);
      at += run;
      continue;
    }
    g_string_append(name, *at == '&' ? "&-" : (char[]){*at, '\0'});
    at++;
  }
  return g_string_free(g_steal_pointer(&name), FALSE);
}
