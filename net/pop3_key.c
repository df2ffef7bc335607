#include "net/pop3_key.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/evp.h>

struct Pop3Key {
  EVP_MD_CTX *digest;
};

// There is no going on without names.
static void check(bool done) {
  if (!done) g_error("OpenSSL has no SHA-256");
}

Pop3Key *pop3_key_new(void) {
  Pop3Key *key = g_new0(Pop3Key, 1);
  key->digest = EVP_MD_CTX_new();
  check(key->digest != NULL);
  return key;
}

void pop3_key_free(Pop3Key *key) {
  if (key == NULL) return;
  EVP_MD_CTX_free(key->digest);
  g_free(key);
}

void pop3_key_begin(Pop3Key *key) {
  check(EVP_DigestInit_ex(key->digest, EVP_sha256(), NULL) == 1);
}

void pop3_key_add(Pop3Key *key, const void *bytes, size_t size) {
  check(EVP_DigestUpdate(key->digest, bytes, size) == 1);
}

static uint64_t first_bytes(const unsigned char *digest) {
  uint64_t first;
  memcpy(&first, digest, sizeof first);
  return GUINT64_FROM_BE(first);
}

uint64_t pop3_key_end(Pop3Key *key) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  check(EVP_DigestFinal_ex(key->digest, digest, NULL) == 1);
  return first_bytes(digest);
}

uint64_t pop3_key_of(const void *bytes, size_t size) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  check(EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) == 1);
  return first_bytes(digest);
}

char *pop3_id(uint64_t key, uint32_t twin) {
  if (twin <= 1) return g_strdup_printf("%016" PRIx64, key);
  return g_strdup_printf("%016" PRIx64 "-%" PRIu32, key, twin);
}
