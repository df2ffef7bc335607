#include "net/imap_session.h"

#include <string.h>

#include "net/error.h"
#include "net/imap_error.h"
#include "net/wire_deflate.h"

static const size_t buffer_bytes = 64 << 10;
static const int goodbye_ms = 1000;
// See imap_session_compress_if_slow.
static const uint64_t enough_bytes = 1 << 20;
static const uint64_t slow_bytes_per_s = 4 << 20;

struct ImapSession {
  Wire *wire;
  char *name;
  ImapParser *parser;
  char *buffer;
  unsigned last_tag;
  GHashTable *capabilities;  // in upper case
  ImapState state;
  // How fast bytes flow: not counting the first of each reply, which waits for the server.
  bool is_flowing;
  uint64_t flowed_bytes, flowed_us;
  bool was_compressed;   // or refused
  bool is_cancelled;     // while an answer was awaited: the server can still be told the end
  GQueue sent;           // of Sent, oldest first
  ImapHandler overhear;  // NULL: nobody
  gpointer overhear_data;
  // The IDLE that is on; its tag is NULL: none is.
  char *idle_tag;
  ImapHandler idle_handler;
  gpointer idle_data;
};

// A command on its way. A server that works on several at once may end a later one first.
typedef struct {
  char *tag;
  bool ended;
  GError *refusal;
  // An IDLE that the next command ended: what came with it goes to its own handler.
  ImapHandler handler;
  gpointer data;
} Sent;

// Whoever is told what comes.
typedef struct {
  ImapHandler handler;  // NULL from the moment it failed
  gpointer data;
  GError *error;
} Listener;

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

void imap_session_set_overhear(ImapSession *session, ImapHandler overhear, gpointer data) {
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

static bool receive_more(ImapSession *session, GError **error) {
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
    if (!receive_more(session, error)) return false;
  }
}

static void free_sent(gpointer data) {
  Sent *sent = data;
  g_free(sent->tag);
  g_clear_error(&sent->refusal);
  g_free(sent);
}

static void hand_over(Listener *listener, const ImapEvent *event) {
  if (listener->handler && !listener->handler(event, listener->data, &listener->error))
    listener->handler = NULL;
}

static Sent *find_sent(ImapSession *session, const char *tag) {
  for (GList *link = session->sent.head; link; link = link->next)
    if (strcmp(((Sent *)link->data)->tag, tag) == 0) return link->data;
  return NULL;
}

typedef enum {
  EVENT_UNTAGGED,
  EVENT_GO_AHEAD,  // `+`
  EVENT_ENDED,     // a command that was sent
  EVENT_BROKEN,    // error is set, and the connection is over
} EventKind;

// Hands an event over. A tagged OK is handed over only as the oldest command's.
static EventKind take(ImapSession *session, ImapEvent event, Listener *listener, GError **error) {
  const ImapResponse *response = event.response;
  if (event.type != IMAP_EVENT_RESPONSE || strcmp(response->tag, "*") == 0) {
    bool is_response = event.type == IMAP_EVENT_RESPONSE;
    if (is_response && strcmp(response->name, "BYE") == 0) {
      imap_error_set(error, response);
      return EVENT_BROKEN;
    }
    if (is_response && strcmp(response->name, "CAPABILITY") == 0)
      note_capabilities(session, response->values);
    if (session->overhear) session->overhear(&event, session->overhear_data, NULL);
    hand_over(listener, &event);
    return EVENT_UNTAGGED;
  }
  if (strcmp(response->tag, "+") == 0) return EVENT_GO_AHEAD;
  Sent *sent = find_sent(session, response->tag);
  if (!sent) return EVENT_UNTAGGED;
  sent->ended = true;
  if (strcmp(response->name, "OK") != 0)
    imap_error_set(&sent->refusal, response);
  else if (sent == session->sent.head->data)
    hand_over(listener, &event);
  return EVENT_ENDED;
}

static EventKind take_event(ImapSession *session, Listener *listener, GError **error) {
  ImapEvent event;
  return next_event(session, &event, error) ? take(session, event, listener, error) : EVENT_BROKEN;
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

bool imap_session_is_slow(uint64_t bytes, uint64_t waited_us) {
  return bytes >= enough_bytes && bytes < waited_us * slow_bytes_per_s / G_USEC_PER_SEC;
}

bool imap_session_would_compress(const ImapSession *session) {
  return !session->was_compressed && imap_session_has(session, "COMPRESS=DEFLATE") &&
         imap_session_is_slow(session->flowed_bytes, session->flowed_us);
}

bool imap_session_compress_if_slow(ImapSession *session, GError **error) {
  g_autoptr(GError) refusal = NULL;
  if (session->sent.length > 0 || !imap_session_would_compress(session)) return true;
  session->was_compressed = true;
  if (imap_session_run_words(session, "COMPRESS DEFLATE", NULL, NULL, &refusal)) {
    session->wire = wire_wrap(session->wire, wire_deflate_new);
    g_debug("%s: compressed from here on", session->name);
    return true;
  }
  if (!net_error_ends_connection(refusal)) return true;
  g_propagate_error(error, g_steal_pointer(&refusal));
  return false;
}

static bool fail_closed(GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection is closed");
  return false;
}

static void push_sent(ImapSession *session, char *tag, ImapHandler handler, gpointer data) {
  Sent *sent = g_new0(Sent, 1);
  *sent = (Sent){.tag = tag, .handler = handler, .data = data};
  g_queue_push_tail(&session->sent, sent);
}

// Ends the IDLE, if one is on: its reply comes before all others.
static bool end_idle(ImapSession *session, GError **error) {
  static const char done[] = "DONE\r\n";
  if (!session->idle_tag) return true;
  push_sent(session, g_steal_pointer(&session->idle_tag), session->idle_handler,
            session->idle_data);
  return wire_send(session->wire, done, strlen(done), error);
}

// Reads until the server agrees to a literal; false without error: it refused the command.
static bool await_go_ahead(ImapSession *session, const Sent *sent, GError **error) {
  Listener nobody = {0};
  while (!sent->ended) {
    EventKind kind = take_event(session, &nobody, error);
    if (kind == EVENT_GO_AHEAD) return true;
    if (kind == EVENT_BROKEN) return false;
  }
  return false;
}

static bool send_parts(ImapSession *session, const ImapCommand *command, GError **error) {
  const Sent *sent = session->sent.tail->data;
  for (size_t i = 0; i < imap_command_n_parts(command); i++) {
    g_autoptr(GError) failure = NULL;
    if (i > 0 && !await_go_ahead(session, sent, &failure)) {
      if (!failure) return true;
      g_propagate_error(error, g_steal_pointer(&failure));
      return false;
    }
    size_t size = 0;
    const void *bytes = g_bytes_get_data(imap_command_part(command, i), &size);
    if (!wire_send(session->wire, bytes, size, error)) return false;
  }
  return true;
}

bool imap_session_send(ImapSession *session, const ImapCommand *command, GError **error) {
  if (session->state == IMAP_CLOSED) return fail_closed(error);
  g_assert(imap_command_n_parts(command) == 1 || session->sent.length == 0);
  session->is_flowing = false;
  bool good = end_idle(session, error);
  push_sent(session, g_strdup(imap_command_tag(command)), NULL, NULL);
  good = good && send_parts(session, command, error);
  if (!good) close_session(session);
  return good;
}

// Reads to the oldest command's end.
static bool read_reply(ImapSession *session, Listener *listener, GError **error) {
  const Sent *sent = session->sent.head->data;
  while (!sent->ended)
    if (take_event(session, listener, error) == EVENT_BROKEN) return false;
  return true;
}

// Takes the reply of the oldest command; its refusal or the listener's error is the result.
static bool take_reply(ImapSession *session, Listener *listener, GError **error) {
  g_autoptr(GError) failure = NULL;
  bool read = read_reply(session, listener, &failure);
  g_autoptr(GError) handler_error = listener->error;
  Sent *sent = g_queue_pop_head(&session->sent);
  if (read && sent->refusal) failure = g_steal_pointer(&sent->refusal);
  free_sent(sent);
  session->is_cancelled |= !read && g_error_matches(failure, NET_ERROR, NET_ERROR_CANCELLED);
  if (!read || net_error_ends_connection(handler_error)) close_session(session);
  GError **first = read && handler_error ? &handler_error : &failure;
  if (!*first) return true;
  g_propagate_error(error, g_steal_pointer(first));
  return false;
}

// An IDLE that was ended by the commands behind it.
static bool take_idle_reply(ImapSession *session, GError **error) {
  const Sent *sent = session->sent.head->data;
  if (!sent->handler) return true;
  Listener listener = {.handler = sent->handler, .data = sent->data};
  g_autoptr(GError) failure = NULL;
  if (take_reply(session, &listener, &failure) || !net_error_ends_connection(failure)) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool imap_session_receive(ImapSession *session, ImapHandler handler, gpointer data,
                          GError **error) {
  Listener listener = {.handler = handler, .data = data};
  if (session->state == IMAP_CLOSED) return fail_closed(error);
  g_assert(session->sent.length > 0);
  return take_idle_reply(session, error) && take_reply(session, &listener, error);
}

unsigned imap_session_n_sent(const ImapSession *session) {
  return session->sent.length;
}

bool imap_session_run(ImapSession *session, const ImapCommand *command, ImapHandler handler,
                      gpointer data, GError **error) {
  g_assert(session->sent.length == 0);
  return imap_session_send(session, command, error) &&
         imap_session_receive(session, handler, data, error);
}

bool imap_session_idle_begin(ImapSession *session, ImapHandler handler, gpointer data,
                             GError **error) {
  g_autoptr(ImapCommand) command = imap_session_command(session, "IDLE");
  imap_command_end(command);
  g_assert(session->sent.length == 0 && !session->idle_tag);
  if (!imap_session_send(session, command, error)) return false;
  const Sent *sent = session->sent.head->data;
  Listener listener = {.handler = handler, .data = data};
  while (!sent->ended) {
    EventKind kind = take_event(session, &listener, error);
    if (kind == EVENT_BROKEN) {
      close_session(session);
      return false;
    }
    if (kind != EVENT_GO_AHEAD) continue;
    session->idle_tag = g_strdup(sent->tag);
    session->idle_handler = handler;
    session->idle_data = data;
    free_sent(g_queue_pop_head(&session->sent));
    return true;
  }
  return imap_session_receive(session, NULL, NULL, error);
}

bool imap_session_is_idle(const ImapSession *session) {
  return session->idle_tag != NULL;
}

WireWait imap_session_listen(ImapSession *session, ImapHandler handler, gpointer data,
                             int timeout_ms, GError **error) {
  Listener listener = {.handler = handler, .data = data};
  WireWait wait = WIRE_READY;
  ImapEvent event = imap_parser_next(session->parser);
  while (event.type == IMAP_EVENT_MORE && wait == WIRE_READY) {
    wait = wire_wait(session->wire, timeout_ms, error);
    if (wait == WIRE_READY && !receive_more(session, error)) wait = WIRE_BROKEN;
    if (wait == WIRE_READY) event = imap_parser_next(session->parser);
  }
  bool is_fatal = event.type == IMAP_EVENT_FATAL;
  if (is_fatal)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL, "the server sends no IMAP");
  else if (wait == WIRE_READY && take(session, event, &listener, error) == EVENT_BROKEN)
    wait = WIRE_BROKEN;
  if (listener.error && wait != WIRE_BROKEN) {
    g_propagate_error(error, listener.error);
    wait = WIRE_BROKEN;
  } else {
    g_clear_error(&listener.error);
  }
  // Who was told to stop while nothing came can still say goodbye.
  bool is_stopped = error && g_error_matches(*error, NET_ERROR, NET_ERROR_CANCELLED);
  if (is_fatal || (wait == WIRE_BROKEN && !is_stopped)) close_session(session);
  return is_fatal ? WIRE_BROKEN : wait;
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

static void say_goodbye(ImapSession *session) {
  g_autoptr(ImapCommand) logout = imap_session_command(session, "LOGOUT");
  imap_command_end(logout);
  if (session->state != IMAP_CLOSED ? imap_session_send(session, logout, NULL)
                                    : send_parts(session, logout, NULL))
    await_goodbye(session);
}

void imap_session_free(ImapSession *session) {
  if (!session) return;
  if (session->state != IMAP_CLOSED || session->is_cancelled) say_goodbye(session);
  close_session(session);
  wire_free(session->wire);
  imap_parser_free(session->parser);
  g_hash_table_unref(session->capabilities);
  g_queue_clear_full(&session->sent, free_sent);
  g_free(session->idle_tag);
  g_free(session->buffer);
  g_free(session->name);
  g_free(session);
}
