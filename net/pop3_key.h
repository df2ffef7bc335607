// A Pop3Key is what names a POP3 message for good: the first 8 bytes of a SHA-256 over bytes that
// come in pieces. One thread.
//
//   new ──> begin ──> add ... ──> end ──> begin ...
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct Pop3Key Pop3Key;

Pop3Key *pop3_key_new(void);
void pop3_key_free(Pop3Key *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Key, pop3_key_free)

void pop3_key_begin(Pop3Key *key);
void pop3_key_add(Pop3Key *key, const void *bytes, size_t size);
uint64_t pop3_key_end(Pop3Key *key);

// Of bytes that are all here.
uint64_t pop3_key_of(const void *bytes, size_t size);
// 16 hex digits, and `-2` and so on for a twin; g_free.
char *pop3_id(uint64_t key, uint32_t twin);
