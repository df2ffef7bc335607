// The letter's bytes on the wire, by DATA or BDAT.
#include <stdio.h>
#include <string.h>

#include "net/dot_stuff.h"
#include "net/error.h"
#include "net/smtp_delivery.h"

// A whole number of blocks. Each chunk costs a round trip, and its refusal the chunk.
#define CHUNK_BYTES (32 * SMTP_BLOCK_BYTES)

// Half a letter is on the wire: only closing takes it back.
static bool give_up(const SmtpDelivery *delivery) {
  delivery->connection->is_over = true;
  return false;
}

static bool take_verdict(SmtpDelivery *delivery, bool *taken, GError **error) {
  g_autoptr(SmtpReply) verdict = smtp_connection_reply(delivery->connection, SMTP_END_MS, error);
  if (verdict == NULL || !smtp_delivery_expect(delivery, verdict, "the letter", 2, error))
    return false;
  smtp_delivery_tell_all(delivery, verdict);
  *taken = smtp_reply_class(verdict) == 2;
  return true;
}

static bool send_stuffed(SmtpDelivery *delivery, GError **error) {
  SmtpContent *content = &delivery->content;
  g_autoptr(GByteArray) out = g_byte_array_sized_new(SMTP_BLOCK_BYTES + SMTP_BLOCK_BYTES / 8);
  DotStuffer stuffer = {0};
  for (;;) {
    size_t size;
    const char *bytes = smtp_content_block(content, &size);
    dot_stuffer_add(&stuffer, out, bytes, size);
    if (smtp_content_is_last(content)) break;
    if (!smtp_connection_send(delivery->connection, out->data, out->len, error)) return false;
    g_byte_array_set_size(out, 0);
    if (!smtp_content_next(content, error)) return false;
  }
  dot_stuffer_end(&stuffer, out);
  return smtp_content_end(content, error) &&
         smtp_connection_send(delivery->connection, out->data, out->len, error);
}

bool smtp_body_send_stuffed(SmtpDelivery *delivery, GError **error) {
  if (!smtp_connection_is_quiet(delivery->connection, error)) return false;
  if (!send_stuffed(delivery, error)) return give_up(delivery);
  delivery->is_out = true;
  smtp_ahead_begin(delivery);
  bool taken;
  return take_verdict(delivery, &taken, error);
}

// BDAT's bytes go as they are and were announced: nothing mends them on the way.
static bool is_as_promised(const SmtpContent *content, uint64_t left, GError **error) {
  size_t size;
  smtp_content_block(content, &size);
  bool is_right_size = smtp_content_is_last(content) ? size == left : size < left;
  if (is_right_size && !content->is_mendable) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED,
                      is_right_size ? "the letter has a line break that is not CRLF"
                                    : "the letter has another size than it was said to have");
  return false;
}

// Sends one chunk of `size` bytes, `left` before it. A whole number of blocks, or all that is left.
static bool send_chunk(SmtpDelivery *delivery, uint64_t size, uint64_t left, GError **error) {
  SmtpContent *content = &delivery->content;
  char head[64];
  int length = snprintf(head, sizeof head, "BDAT %" G_GUINT64_FORMAT "%s\r\n", size,
                        size == left ? " LAST" : "");
  if (!smtp_connection_send(delivery->connection, head, (size_t)length, error)) return false;
  for (uint64_t end = left - size;;) {
    size_t block_size;
    const char *block = smtp_content_block(content, &block_size);
    if (!is_as_promised(content, left, error)) return false;
    if (smtp_content_is_last(content) && !smtp_content_end(content, error)) return false;
    if (!smtp_connection_send(delivery->connection, block, block_size, error)) return false;
    left -= block_size;
    if (left > 0 && !smtp_content_next(content, error)) return false;
    if (left == end) return true;
  }
}

// Takes the answer to a chunk that is not the last. `*taken` is false if it was refused.
static bool take_go_on(SmtpDelivery *delivery, bool *taken, GError **error) {
  g_autoptr(SmtpReply) reply = smtp_connection_reply(delivery->connection, SMTP_BLOCK_MS, error);
  if (reply == NULL || !smtp_delivery_expect(delivery, reply, "BDAT", 2, error)) return false;
  *taken = smtp_reply_class(reply) == 2;
  if (!*taken) smtp_delivery_tell_all(delivery, reply);
  return true;
}

bool smtp_body_send_chunks(SmtpDelivery *delivery, GError **error) {
  bool taken = true;
  for (uint64_t left = delivery->letter->size_bytes; left > 0 && taken;) {
    uint64_t size = MIN(left, CHUNK_BYTES);
    if (!smtp_connection_is_quiet(delivery->connection, error)) return false;
    if (!send_chunk(delivery, size, left, error)) return give_up(delivery);
    left -= size;
    delivery->is_out = left == 0;
    if (left == 0) smtp_ahead_begin(delivery);
    bool is_answered =
        left == 0 ? take_verdict(delivery, &taken, error) : take_go_on(delivery, &taken, error);
    if (!is_answered) return false;
  }
  if (!smtp_ahead_confirm(delivery, taken, error)) return false;
  // What a refused chunk leaves behind is not defined (RFC 3030 2).
  if (!taken) smtp_delivery_reset(delivery);
  return true;
}
