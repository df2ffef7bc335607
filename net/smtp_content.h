// SmtpContent reads a letter block by block, one block ahead: so it is known which block is the
// last, and before_end runs before that one goes out. A letter of one block is small: it lies in
// memory whole and can be sent twice.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

#include "net/sender.h"

#define SMTP_BLOCK_BYTES 32768

typedef struct {
  const SenderLetter *letter;
  char *blocks[2];
  size_t sizes[2];
  unsigned current;
  bool after_cr;     // the last byte read was a CR
  bool is_mendable;  // somewhere there is a CR without LF, or a LF without CR
  bool has_ended;    // before_end was called
} SmtpContent;

// Reads the first blocks. An error is the letter's.
bool smtp_content_open(SmtpContent *content, const SenderLetter *letter, GError **error);
void smtp_content_clear(SmtpContent *content);
// The current block, which is empty only in an empty letter.
const char *smtp_content_block(const SmtpContent *content, size_t *size);
bool smtp_content_is_last(const SmtpContent *content);
bool smtp_content_next(SmtpContent *content, GError **error);
// Calls the letter's before_end, unless it was called before.
bool smtp_content_end(SmtpContent *content, GError **error);
