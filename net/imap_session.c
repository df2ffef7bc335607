#include "net/imap_session.h"

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/imap_session_private.h"

static const size_t buffer_bytes = 64 << 10;
static const int goodbye_ms = 1000;

ImapSession *imap_session_new(Wire *wire, const char *name) {
  ImapSession *session = g_new0(ImapSession, 1);
  session->wire = wire;
  session->name = g_strdup(name);
  session->parser = imap_parser_new(&imap_default_limits);
  session->buffer = g_malloc(buffer_bytes);
  session->capabilities = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  g_queue_init(&session->sent);
  return session;
}

void imap_session_set_overhear(ImapSession *session, ImapOverhear overhear, gpointer data) {
  session->overhear = overhear;
  session->overhear_data = data;
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

bool imap_session_receive_more(ImapSession *session, GError **error) {
  int64_t start_us = g_get_monotonic_time();
  ssize_t size = wire_recv(session->wire, session->buffer, buffer_bytes, error);
  if (size > 0 && session->is_flowing) {
    session->flowed_bytes += (uint64_t)size;
    session->flowed_us += (uint64_t)(g_get_monotonic_time() - start_us);
  }
  session->is_flowing = session->sent.length > 0;
  if (size == 0)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the server closed the connection");
  if (size > 0) imap_parser_feed(session->parser, session->buffer, (size_t)size);
  return size > 0;
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
    if (!imap_session_receive_more(session, error)) return false;
  }
}

void imap_sent_free(ImapSent *sent) {
  if (!sent) return;
  g_free(sent->tag);
  g_free(sent->code);
  g_clear_error(&sent->refusal);
  g_free(sent);
}

static void hand_over(ImapListener *listener, const ImapEvent *event) {
  if (listener && listener->handler && !listener->handler(event, listener->data, &listener->error))
    listener->handler = NULL;
}

static ImapSent *find_sent(ImapSession *session, const char *tag) {
  if (session->idle && strcmp(session->idle->tag, tag) == 0) return session->idle;
  for (GList *link = session->sent.head; link; link = link->next)
    if (strcmp(((ImapSent *)link->data)->tag, tag) == 0) return link->data;
  return NULL;
}

static bool is_goodbye(const ImapEvent *event) {
  const ImapResponse *response = event->response;
  return event->type == IMAP_EVENT_RESPONSE && response->text && strcmp(response->name, "BYE") == 0;
}

static ImapTook take_untagged(ImapSession *session, const ImapEvent *event, ImapListener *listener,
                              GError **error) {
  const ImapResponse *response = event->response;
  if (is_goodbye(event)) {
    imap_error_set(error, response);
    return IMAP_TOOK_NOTHING;
  }
  if (event->type == IMAP_EVENT_RESPONSE && strcmp(response->name, "CAPABILITY") == 0)
    note_capabilities(session, response->values);
  if (session->overhear) session->overhear(event, session->overhear_data);
  hand_over(listener, event);
  return IMAP_TOOK_UNTAGGED;
}

ImapTook imap_session_take(ImapSession *session, const ImapEvent *event, ImapListener *listener,
                           GError **error) {
  const ImapResponse *response = event->response;
  if (event->type != IMAP_EVENT_RESPONSE || strcmp(response->tag, "*") == 0)
    return take_untagged(session, event, listener, error);
  if (strcmp(response->tag, "+") == 0) return IMAP_TOOK_GO_AHEAD;
  ImapSent *sent = find_sent(session, response->tag);
  // What ends twice has ended as it did first.
  if (!sent || sent->ended) return IMAP_TOOK_UNTAGGED;
  sent->ended = true;
  sent->code = g_strdup(response->code);
  if (strcmp(response->name, "OK") != 0)
    imap_error_set(&sent->refusal, response);
  else if (sent == g_queue_peek_head(&session->sent))
    hand_over(listener, event);
  return IMAP_TOOK_END;
}

ImapTook imap_session_take_next(ImapSession *session, ImapListener *listener, GError **error) {
  ImapEvent event;
  if (!next_event(session, &event, error)) return IMAP_TOOK_NOTHING;
  return imap_session_take(session, &event, listener, error);
}

void imap_session_close(ImapSession *session) {
  if (session->state != IMAP_CLOSED) imap_session_move(session, IMAP_CLOSED, NULL);
}

bool imap_session_check_open(const ImapSession *session, GError **error) {
  if (session->state != IMAP_CLOSED) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection is closed");
  return false;
}

ImapCommand *imap_session_command(ImapSession *session, const char *words) {
  g_autofree char *tag = g_strdup_printf("a%u", ++session->last_tag);
  size_t free_literal_bytes = imap_session_has(session, "LITERAL+")   ? SIZE_MAX
                              : imap_session_has(session, "LITERAL-") ? 4096
                                                                      : 0;
  return imap_command_new(tag, words, free_literal_bytes);
}

static void push_sent(ImapSession *session, const char *tag) {
  ImapSent *sent = g_new0(ImapSent, 1);
  sent->tag = g_strdup(tag);
  g_queue_push_tail(&session->sent, sent);
}

// What ends the IDLE, if one is on, goes out in one piece with the command that ends it.
static void end_idle(ImapSession *session, GString *bytes) {
  if (!session->idle) return;
  g_queue_push_tail(&session->sent, g_steal_pointer(&session->idle));
  g_string_append(bytes, "DONE\r\n");
}

// Reads until the server agrees to a literal; false without error: it refused the command. An OK to
// a command of which it has a part only is none.
static bool await_go_ahead(ImapSession *session, const ImapSent *sent, GError **error) {
  while (!sent->ended) {
    ImapTook took = imap_session_take_next(session, NULL, error);
    if (took == IMAP_TOOK_GO_AHEAD) return true;
    if (took == IMAP_TOOK_NOTHING) return false;
  }
  if (!sent->refusal)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL,
                        "the server says OK to half a command");
  return false;
}

static bool send_stream(ImapSession *session, ImapStream *stream, GError **error) {
  uint64_t left = stream->size;
  for (;;) {
    ssize_t size = stream->read(session->buffer, buffer_bytes, stream->data, error);
    if (size < 0) return false;
    if ((uint64_t)size > left || (size == 0 && left > 0)) {
      g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL,
                          "a message is not as large as was told");
      return false;
    }
    if (size == 0) break;
    if (!wire_send(session->wire, session->buffer, (size_t)size, error)) return false;
    left -= (uint64_t)size;
  }
  stream->is_sent = true;
  return true;
}

// `stream`, if there is one, goes before the last part.
static bool send_parts(ImapSession *session, const ImapCommand *command, ImapStream *stream,
                       GError **error) {
  g_autoptr(GString) bytes = g_string_new(NULL);
  end_idle(session, bytes);
  push_sent(session, imap_command_tag(command));
  const ImapSent *sent = session->sent.tail->data;
  size_t n_parts = imap_command_n_parts(command);
  for (size_t i = 0; i < n_parts; i++) {
    g_autoptr(GError) failure = NULL;
    if (i > 0 && !await_go_ahead(session, sent, &failure)) {
      if (!failure) return true;
      g_propagate_error(error, g_steal_pointer(&failure));
      return false;
    }
    if (stream && i == n_parts - 1 && !send_stream(session, stream, error)) return false;
    GBytes *part = imap_command_part(command, i);
    g_string_append_len(bytes, g_bytes_get_data(part, NULL), (gssize)g_bytes_get_size(part));
    if (!wire_send(session->wire, bytes->str, bytes->len, error)) return false;
    g_string_truncate(bytes, 0);
  }
  return true;
}

static bool send_command(ImapSession *session, const ImapCommand *command, ImapStream *stream,
                         GError **error) {
  if (!imap_session_check_open(session, error)) return false;
  g_assert(imap_command_n_parts(command) == 1 || session->sent.length == 0);
  session->is_flowing = false;
  bool good = send_parts(session, command, stream, error);
  if (!good) imap_session_close(session);
  return good;
}

bool imap_session_send(ImapSession *session, const ImapCommand *command, GError **error) {
  return send_command(session, command, NULL, error);
}

bool imap_session_send_stream(ImapSession *session, const ImapCommand *command, ImapStream *stream,
                              GError **error) {
  g_assert(imap_command_n_parts(command) > 1);
  return send_command(session, command, stream, error);
}

// Reads to the oldest command's end.
static bool read_reply(ImapSession *session, ImapListener *listener, GError **error) {
  const ImapSent *sent = session->sent.head->data;
  while (!sent->ended)
    if (imap_session_take_next(session, listener, error) == IMAP_TOOK_NOTHING) return false;
  return true;
}

// Takes the reply of the oldest command; its refusal or the listener's error is the result.
static bool take_reply(ImapSession *session, ImapListener *listener, GError **error) {
  g_autoptr(GError) failure = NULL;
  bool read = read_reply(session, listener, &failure);
  g_autoptr(GError) handler_error = listener->error;
  ImapSent *sent = g_queue_pop_head(&session->sent);
  g_free(session->code);
  session->code = g_steal_pointer(&sent->code);
  if (read && sent->refusal) failure = g_steal_pointer(&sent->refusal);
  imap_sent_free(sent);
  session->is_cancelled |= !read && g_error_matches(failure, NET_ERROR, NET_ERROR_CANCELLED);
  if (!read || net_error_ends_connection(handler_error)) imap_session_close(session);
  GError **first = read && handler_error ? &handler_error : &failure;
  if (!*first) return true;
  g_propagate_error(error, g_steal_pointer(first));
  return false;
}

// An IDLE that was ended by the commands behind it.
static bool take_idle_reply(ImapSession *session, GError **error) {
  const ImapSent *sent = session->sent.head->data;
  if (!sent->is_idle) return true;
  ImapListener nobody = {0};
  g_autoptr(GError) failure = NULL;
  if (take_reply(session, &nobody, &failure) || !net_error_ends_connection(failure)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool imap_session_receive(ImapSession *session, ImapHandler handler, gpointer data,
                          GError **error) {
  ImapListener listener = {.handler = handler, .data = data};
  if (!imap_session_check_open(session, error)) return false;
  g_assert(session->sent.length > 0);
  return take_idle_reply(session, error) && take_reply(session, &listener, error);
}

const char *imap_session_code(const ImapSession *session) {
  return session->code;
}

unsigned imap_session_n_sent(const ImapSession *session) {
  return session->sent.length;
}

bool imap_session_run(ImapSession *session, const ImapCommand *command, ImapHandler handler,
                      gpointer data, GError **error) {
  if (!imap_session_check_open(session, error)) return false;
  g_assert(session->sent.length == 0);
  return imap_session_send(session, command, error) &&
         imap_session_receive(session, handler, data, error);
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

// The last word, also after a cancel: then it stands behind whatever is under way.
static void say_goodbye(ImapSession *session) {
  g_autoptr(ImapCommand) logout = imap_session_command(session, "LOGOUT");
  imap_command_end(logout);
  if (send_parts(session, logout, NULL, NULL)) await_goodbye(session);
}

static void free_sent(gpointer sent) {
  imap_sent_free(sent);
}

void imap_session_free(ImapSession *session) {
  if (!session) return;
  if (session->state != IMAP_CLOSED || session->is_cancelled) say_goodbye(session);
  imap_session_close(session);
  wire_free(session->wire);
  imap_parser_free(session->parser);
  g_hash_table_unref(session->capabilities);
  g_queue_clear_full(&session->sent, free_sent);
  imap_sent_free(session->idle);
  g_free(session->code);
  g_free(session->buffer);
  g_free(session->name);
  g_free(session);
}
