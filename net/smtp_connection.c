#include "net/smtp_connection.h"

#include <string.h>

#include "net/error.h"

#define QUIT_MS 1000

static bool give_up(SmtpConnection *connection) {
  connection->is_over = true;
  return false;
}

bool smtp_connection_send(SmtpConnection *connection, const void *bytes, size_t size,
                          GError **error) {
  // What was refused before is over.
  connection->was_refusal = false;
  return smtp_connection_send_behind(connection, bytes, size, error) || give_up(connection);
}

bool smtp_connection_send_behind(SmtpConnection *connection, const void *bytes, size_t size,
                                 GError **error) {
  if (connection->is_mute)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE,
                        "nothing more can be sent to the SMTP server");
  else
    connection->is_mute = !wire_send(connection->wire, bytes, size, error);
  return !connection->is_mute;
}

static int64_t deadline_after(unsigned ms) {
  return g_get_monotonic_time() + ms * INT64_C(1000);
}

// The server has closed, or the connection broke: which of both is not to be told, since a server
// that closes with something unread breaks it. A server that is done with us says so first.
static bool note_end(SmtpConnection *connection) {
  connection->has_left |= connection->was_refusal;
  return give_up(connection);
}

static bool receive(SmtpConnection *connection, int64_t deadline_us, GError **error) {
  int64_t left_us = MAX(deadline_us - g_get_monotonic_time(), 0);
  WireWait waited = wire_wait(connection->wire, (int)((left_us + 999) / 1000), error);
  g_assert(waited != WIRE_WOKEN);
  if (waited == WIRE_EXPIRED)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_TIMEOUT,
                        "the SMTP server did not answer in time");
  if (waited != WIRE_READY) return give_up(connection);
  g_autoptr(GError) cause = NULL;
  ssize_t got = wire_recv(connection->wire, connection->in, sizeof connection->in, &cause);
  if (got == 0)
    g_set_error_literal(&cause, NET_ERROR, NET_ERROR_OFFLINE,
                        "the SMTP server closed the connection");
  if (got <= 0) {
    bool has_ended = g_error_matches(cause, NET_ERROR, NET_ERROR_OFFLINE);
    g_propagate_error(error, g_steal_pointer(&cause));
    return has_ended ? note_end(connection) : give_up(connection);
  }
  connection->in_at = 0;
  connection->in_end = (size_t)got;
  return true;
}

// Parses what was received: false for what is no reply; `*reply` is NULL while it is unfinished.
static bool parse(SmtpConnection *connection, SmtpReply **reply, GError **error) {
  const char *bytes = connection->in + connection->in_at;
  size_t size = connection->in_end - connection->in_at;
  ssize_t used = smtp_reply_parser_feed(connection->parser, bytes, size, reply, error);
  if (used < 0) return give_up(connection);
  connection->in_at += (size_t)used;
  return true;
}

// The deadline is the whole reply's: one that comes byte by byte does not last for ever.
static SmtpReply *read_reply(SmtpConnection *connection, int64_t deadline_us, GError **error) {
  SmtpReply *reply = NULL;
  while (reply == NULL) {
    bool has_bytes = connection->in_at < connection->in_end;
    if (!has_bytes && !receive(connection, deadline_us, error)) return NULL;
    if (!parse(connection, &reply, error)) return NULL;
  }
  connection->was_refusal = smtp_reply_class(reply) >= 4;
  if (reply->code == 421) note_end(connection);
  return reply;
}

SmtpReply *smtp_connection_reply(SmtpConnection *connection, unsigned patience_ms, GError **error) {
  unsigned most_ms = MAX(patience_ms, connection->timeout_ms);
  return read_reply(connection, deadline_after(most_ms), error);
}

bool smtp_connection_is_quiet(SmtpConnection *connection, GError **error) {
  if (connection->in_at == connection->in_end) {
    WireWait waited = wire_wait(connection->wire, 0, error);
    if (waited == WIRE_EXPIRED) {
      connection->unseen = 0;
      return true;
    }
    if (waited == WIRE_BROKEN) return give_up(connection);
  }
  g_autoptr(SmtpReply) reply =
      read_reply(connection, deadline_after(connection->timeout_ms), error);
  give_up(connection);
  if (reply == NULL) return false;
  g_autofree char *text = smtp_reply_text(reply);
  if (reply->code == 421)
    g_set_error(error, NET_ERROR, NET_ERROR_OFFLINE, "the SMTP server ended the connection: %s",
                text);
  else
    g_set_error(error, NET_ERROR, NET_ERROR_PROTOCOL, "the SMTP server speaks out of turn: %s",
                text);
  return false;
}

SmtpReply *smtp_connection_command(SmtpConnection *connection, const char *command,
                                   unsigned patience_ms, GError **error) {
  g_assert(strpbrk(command, "\r\n") == NULL);
  g_autofree char *line = g_strconcat(command, "\r\n", NULL);
  if (!smtp_connection_is_quiet(connection, error)) return NULL;
  if (!smtp_connection_send(connection, line, strlen(line), error)) return NULL;
  return smtp_connection_reply(connection, patience_ms, error);
}

static void read_extension(SmtpConnection *connection, const char *line) {
  static const struct {
    const char *keyword;
    SmtpExtensions extension;
  } known[] = {
      {"SIZE", SMTP_SIZE},         {"8BITMIME", SMTP_8BITMIME},
      {"SMTPUTF8", SMTP_UTF8},     {"PIPELINING", SMTP_PIPELINING},
      {"CHUNKING", SMTP_CHUNKING}, {"DSN", SMTP_DSN},
  };
  size_t length = strcspn(line, " ");
  for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
    if (strlen(known[i].keyword) != length ||
        g_ascii_strncasecmp(known[i].keyword, line, length) != 0)
      continue;
    connection->extensions |= known[i].extension;
    // Nonsense is as good as no limit.
    if (known[i].extension == SMTP_SIZE)
      connection->max_size = g_ascii_strtoull(line + length, NULL, 10);
  }
}

// RFC 5321 4.1.1.1: the first line greets, each further one is an extension.
static bool say_hello(SmtpConnection *connection, GError **error) {
  g_autoptr(SmtpReply) reply =
      smtp_connection_command(connection, "EHLO localhost", SMTP_COMMAND_MS, error);
  if (reply == NULL) return false;
  if (reply->code != 250) {
    g_autofree char *text = smtp_reply_text(reply);
    bool is_lasting = smtp_reply_class(reply) == 5;
    g_set_error(error, NET_ERROR, is_lasting ? NET_ERROR_REFUSED : NET_ERROR_BUSY,
                "the SMTP server answers EHLO with: %s", text);
    return false;
  }
  for (unsigned i = 1; i < reply->lines->len; i++)
    read_extension(connection, g_ptr_array_index(reply->lines, i));
  return true;
}

SmtpConnection *smtp_connection_new(Wire *wire, unsigned timeout_ms, GError **error) {
  g_autoptr(SmtpConnection) connection = g_new0(SmtpConnection, 1);
  connection->wire = wire;
  connection->timeout_ms = timeout_ms;
  wire_be_patient(wire, SMTP_BLOCK_MS);
  connection->parser = smtp_reply_parser_new();
  return say_hello(connection, error) ? g_steal_pointer(&connection) : NULL;
}

static void say_goodbye(SmtpConnection *connection) {
  if (!smtp_connection_send(connection, "QUIT\r\n", 6, NULL)) return;
  smtp_reply_free(read_reply(connection, deadline_after(QUIT_MS), NULL));
}

void smtp_connection_free(SmtpConnection *connection) {
  if (connection == NULL) return;
  if (!connection->is_over && !connection->is_mute) say_goodbye(connection);
  wire_free(connection->wire);
  smtp_reply_parser_free(connection->parser);
  g_free(connection);
}
