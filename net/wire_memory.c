#include "net/wire_memory.h"

#include <malloc.h>
#include <string.h>

#include <glib.h>
#include <openssl/crypto.h>

void wire_memory_free(void *memory) {
  if (memory == NULL) return;
  OPENSSL_cleanse(memory, malloc_usable_size(memory));
  free(memory);
}

void *wire_memory_realloc(void *memory, size_t size) {
  void *moved = malloc(size);
  if (memory == NULL || moved == NULL) return moved;
  memcpy(moved, memory, MIN(size, malloc_usable_size(memory)));
  wire_memory_free(memory);
  return moved;
}
