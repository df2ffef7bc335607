#include "net/imap_session.h"

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"

static const size_t buffer_bytes = 64 << 10;
static const int goodbye_ms = 1000;

struct ImapSession {
  Wire *wire;
  char *name;
  ImapParser *parser;
  char *buffer;
  unsigned last_tag;
  GHashTable *capabilities;  // in upper case
  ImapState state;
};

// One command under way.
typedef struct {
  const ImapCommand *command;
  ImapHandler handler;  // NULL from the moment it failed
  gpointer data;
  GError *handler_error;
} Exchange;

typedef enum {
  REPLY_GO_AHEAD,  // `+`
  REPLY_OK,
  REPLY_REFUSED,  // error is set
  REPLY_BROKEN,   // error is set, and the connection is over
} Reply;

ImapSession *imap_session_new(Wire *wire, const char *name) {
  ImapSession *session = g_new0(ImapSession, 1);
  session->wire = wire;
  session->name = g_strdup(name);
  session->parser = imap_parser_new(&imap_default_limits);
  session->buffer = g_malloc(buffer_bytes);
  session->capabilities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return session;
}

ImapState imap_session_state(const ImapSession *session) {
  return session->state;
}

void imap_session_move(ImapSession *session, ImapState state, const char *folder) {
  static const char *const names[] = {"CONNECTED", "AUTHENTICATED", "EXAMINED", "CLOSED"};
  static const bool allowed[4][4] = {
      [IMAP_CONNECTED] = {[IMAP_AUTHENTICATED] = true, [IMAP_CLOSED] = true},
      [IMAP_AUTHENTICATED] = {[IMAP_EXAMINED] = true, [IMAP_CLOSED] = true},
      [IMAP_EXAMINED] = {[IMAP_AUTHENTICATED] = true, [IMAP_CLOSED] = true},
  };
  g_assert(allowed[session->state][state]);
  g_autofree char *shown = imap_printable(folder ? folder : "");
  g_debug("%s: %s -> %s%s%s", session->name, names[session->state], names[state], folder ? " " : "",
          shown);
  session->state = state;
}

bool imap_session_has(const ImapSession *session, const char *capability) {
  return g_hash_table_contains(session->capabilities, capability);
}

static void note_capabilities(ImapSession *session, const ImapValue *values) {
  g_hash_table_remove_all(session->capabilities);
  for (const ImapValue *value = values; value; value = value->next)
    if (value->kind == IMAP_ATOM)
      g_hash_table_add(session->capabilities, g_ascii_strup(value->text, -1));
}

static bool next_event(ImapSession *session, ImapEvent *event, GError **error) {
  for (;;) {
    *event = imap_parser_next(session->parser);
    if (event->type == IMAP_EVENT_FATAL) {
      g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL,
                          "the server announces more bytes than any message has");
      return false;
    }
    if (event->type != IMAP_EVENT_MORE) return true;
    ssize_t size = wire_recv(session->wire, session->buffer, buffer_bytes, error);
    if (size < 0) return false;
    if (size == 0) {
      g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the server closed the connection");
      return false;
    }
    imap_parser_feed(session->parser, session->buffer, (size_t)size);
  }
}

static void hand_over(Exchange *exchange, const ImapEvent *event) {
  if (exchange->handler && !exchange->handler(event, exchange->data, &exchange->handler_error))
    exchange->handler = NULL;
}

// Reads until the server is done with the command, or agrees to a literal.
static Reply read_reply(ImapSession *session, Exchange *exchange, bool may_go_ahead,
                        GError **error) {
  for (;;) {
    ImapEvent event;
    if (!next_event(session, &event, error)) return REPLY_BROKEN;
    const ImapResponse *response = event.response;
    if (event.type != IMAP_EVENT_RESPONSE || strcmp(response->tag, "*") == 0) {
      bool is_response = event.type == IMAP_EVENT_RESPONSE;
      if (is_response && strcmp(response->name, "BYE") == 0) {
        imap_error_set(error, response);
        return REPLY_BROKEN;
      }
      if (is_response && strcmp(response->name, "CAPABILITY") == 0)
        note_capabilities(session, response->values);
      hand_over(exchange, &event);
    } else if (strcmp(response->tag, "+") == 0) {
      if (may_go_ahead) return REPLY_GO_AHEAD;
    } else if (strcmp(response->tag, imap_command_tag(exchange->command)) == 0) {
      if (strcmp(response->name, "OK") != 0) {
        imap_error_set(error, response);
        return REPLY_REFUSED;
      }
      hand_over(exchange, &event);
      return REPLY_OK;
    }
  }
}

static Reply converse(ImapSession *session, Exchange *exchange, GError **error) {
  const ImapCommand *command = exchange->command;
  for (size_t i = 0; i < imap_command_n_parts(command); i++) {
    Reply reply = i == 0 ? REPLY_GO_AHEAD : read_reply(session, exchange, true, error);
    if (reply != REPLY_GO_AHEAD) return reply;
    size_t size = 0;
    const void *bytes = g_bytes_get_data(imap_command_part(command, i), &size);
    if (!wire_send(session->wire, bytes, size, error)) return REPLY_BROKEN;
  }
  return read_reply(session, exchange, false, error);
}

static void close_session(ImapSession *session) {
  if (session->state != IMAP_CLOSED) imap_session_move(session, IMAP_CLOSED, NULL);
}

ImapCommand *imap_session_command(ImapSession *session, const char *words) {
  g_autofree char *tag = g_strdup_printf("a%u", ++session->last_tag);
  size_t free_literal_bytes = imap_session_has(session, "LITERAL+")   ? SIZE_MAX
                              : imap_session_has(session, "LITERAL-") ? 4096
                                                                      : 0;
  return imap_command_new(tag, words, free_literal_bytes);
}

bool imap_session_run(ImapSession *session, const ImapCommand *command, ImapHandler handler,
                      gpointer data, GError **error) {
  if (session->state == IMAP_CLOSED) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection is closed");
    return false;
  }
  Exchange exchange = {.command = command, .handler = handler, .data = data};
  g_autoptr(GError) failure = NULL;
  Reply reply = converse(session, &exchange, &failure);
  g_autoptr(GError) handler_error = exchange.handler_error;
  if (reply == REPLY_BROKEN || net_error_ends_connection(handler_error)) close_session(session);

  GError **first = reply != REPLY_BROKEN && handler_error ? &handler_error : &failure;
  if (!*first) return true;
  g_propagate_error(error, g_steal_pointer(first));
  return false;
}

bool imap_session_run_words(ImapSession *session, const char *words, ImapHandler handler,
                            gpointer data, GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(session, words);
  imap_command_end(command);
  return imap_session_run(session, command, handler, data, error);
}

// Until the server closes, or time is over: what it says is of no more interest.
static void await_goodbye(ImapSession *session) {
  int64_t deadline = g_get_monotonic_time() + goodbye_ms * INT64_C(1000);
  for (int64_t left = goodbye_ms; left > 0; left = (deadline - g_get_monotonic_time()) / 1000) {
    if (wire_wait(session->wire, (int)left, NULL) != WIRE_READY) return;
    if (wire_recv(session->wire, session->buffer, buffer_bytes, NULL) <= 0) return;
  }
}

void imap_session_free(ImapSession *session) {
  if (!session) return;
  if (session->state != IMAP_CLOSED) {
    g_autoptr(ImapCommand) logout = imap_session_command(session, "LOGOUT");
    imap_command_end(logout);
    size_t size = 0;
    const void *bytes = g_bytes_get_data(imap_command_part(logout, 0), &size);
    if (wire_send(session->wire, bytes, size, NULL)) await_goodbye(session);
    close_session(session);
  }
  wire_free(session->wire);
  imap_parser_free(session->parser);
  g_hash_table_unref(session->capabilities);
  g_free(session->buffer);
  g_free(session->name);
  g_free(session);
}
