#include "net/smtp_content.h"

static bool has_lone_break(SmtpContent *content, const char *bytes, size_t size) {
  bool is_lone = false;
  for (size_t i = 0; i < size; i++) {
    is_lone |= content->after_cr != (bytes[i] == '\n');
    content->after_cr = bytes[i] == '\r';
  }
  return is_lone;
}

// Reads until the block is full or the letter at its end.
static bool fill(SmtpContent *content, unsigned which, GError **error) {
  const SenderLetter *letter = content->letter;
  char *block = content->blocks[which];
  size_t size = 0;
  while (size < SMTP_BLOCK_BYTES) {
    ssize_t got = letter->read(block + size, SMTP_BLOCK_BYTES - size, letter->data, error);
    if (got < 0) return false;
    if (got == 0) break;
    size += (size_t)got;
  }
  content->sizes[which] = size;
  content->is_mendable |= has_lone_break(content, block, size);
  content->is_mendable |= size < SMTP_BLOCK_BYTES && content->after_cr;
  return true;
}

bool smtp_content_open(SmtpContent *content, const SenderLetter *letter, GError **error) {
  *content = (SmtpContent){.letter = letter};
  for (unsigned i = 0; i < 2; i++)
    content->blocks[i] = g_malloc(SMTP_BLOCK_BYTES);
  return fill(content, 0, error) && fill(content, 1, error);
}

void smtp_content_clear(SmtpContent *content) {
  for (unsigned i = 0; i < 2; i++)
    g_clear_pointer(&content->blocks[i], g_free);
}

const char *smtp_content_block(const SmtpContent *content, size_t *size) {
  *size = content->sizes[content->current];
  return content->blocks[content->current];
}

bool smtp_content_is_last(const SmtpContent *content) {
  return content->sizes[!content->current] == 0;
}

bool smtp_content_next(SmtpContent *content, GError **error) {
  unsigned read = content->current;
  content->current = !content->current;
  return fill(content, read, error);
}

bool smtp_content_end(SmtpContent *content, GError **error) {
  if (content->has_ended) return true;
  if (!content->letter->before_end(content->letter->data, error)) return false;
  content->has_ended = true;
  return true;
}
