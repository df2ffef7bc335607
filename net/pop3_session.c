#include "net/pop3_session.h"

#include <inttypes.h>
#include <string.h>

#include "net/dot_unstuff.h"
#include "net/error.h"

static const size_t buffer_bytes = 64 << 10;
// Without a byte, and in all.
static const int goodbye_ms = 1000, long_goodbye_ms = 3000;
static const unsigned login_delay_max_s = 24 * 60 * 60;

struct Pop3Session {
  Wire *wire;
  char *name;
  Pop3ReplyParser *parser;
  char *in;  // received, not yet read
  size_t in_at, in_end;
  GString *out;        // sent by the caller, not yet by the wire
  GQueue sent;         // of Pop3Command, oldest first
  unsigned n_awaited;  // of them, all but RSETs
  uint64_t expected_bytes;
  bool is_full;  // too much is on its way, and not half of it was answered yet
  DotUnstuffer body;
  bool is_in_body;
  uint64_t body_left_bytes;  // that it may still have
  unsigned n_retrieved;      // since the last RSET, as sent
  uint64_t retrieved_bytes;
  bool has_told_abilities, has_pipelining, has_uidl, may_have_top;
  unsigned login_delay_s;
  bool is_over;
  bool is_removing;      // DELE or QUIT was sent
  bool can_say_goodbye;  // also when it is over: the wire itself did not break
};

static const struct {
  const char *word;
  bool has_number, has_lines;
  const char *tail;
  uint64_t most_bytes;  // that may follow
} verbs[] = {
    [POP3_CAPA] = {"CAPA", .has_lines = true, .most_bytes = 64 << 10},
    [POP3_STAT] = {"STAT"},
    [POP3_UIDL] = {"UIDL", .has_lines = true, .most_bytes = POP3_LINES_MAX_BYTES},
    [POP3_LIST] = {"LIST", .has_lines = true, .most_bytes = POP3_LINES_MAX_BYTES},
    [POP3_TOP] = {"TOP", .has_number = true, .has_lines = true, .tail = " 0",
                  .most_bytes = POP3_MESSAGE_MAX_BYTES},
    [POP3_RETR] = {"RETR", .has_number = true, .has_lines = true,
                   .most_bytes = POP3_MESSAGE_MAX_BYTES},
    [POP3_DELE] = {"DELE", .has_number = true},
    [POP3_RSET] = {"RSET"},
    [POP3_QUIT] = {"QUIT"},
};

// ---- The wire.

static bool give_up(Pop3Session *session, const GError *cause) {
  session->is_over = true;
  // A cancel ends our waiting: the server is still there, and is to hear RSET.
  session->can_say_goodbye = g_error_matches(cause, NET_ERROR, NET_ERROR_CANCELLED);
  return false;
}

// Takes over `cause`.
static bool fail(Pop3Session *session, GError *cause, GError **error) {
  give_up(session, cause);
  g_propagate_error(error, cause);
  return false;
}

static bool fail_with_words(Pop3Session *session, NetError code, const char *words,
                            GError **error) {
  return fail(session, g_error_new_literal(NET_ERROR, (int)code, words), error);
}

bool pop3_session_flush(Pop3Session *session, GError **error) {
  GError *cause = NULL;
  if (session->out->len == 0) return true;
  bool good = wire_send(session->wire, session->out->str, session->out->len, &cause);
  g_string_truncate(session->out, 0);
  return good || fail(session, cause, error);
}

// Receives what there is, at least a byte.
static bool fill(Pop3Session *session, GError **error) {
  GError *cause = NULL;
  ssize_t got = wire_recv(session->wire, session->in, buffer_bytes, &cause);
  if (got < 0) return fail(session, cause, error);
  if (got == 0)
    return fail_with_words(session, NET_ERROR_OFFLINE, "the server closed the connection", error);
  session->in_at = 0;
  session->in_end = (size_t)got;
  return true;
}

static Pop3Reply *read_reply(Pop3Session *session, GError **error) {
  Pop3Reply *reply = NULL;
  while (reply == NULL) {
    GError *cause = NULL;
    if (session->in_at == session->in_end && !fill(session, error)) return NULL;
    ssize_t used = pop3_reply_parser_feed(session->parser, session->in + session->in_at,
                                          session->in_end - session->in_at, &reply, &cause);
    if (used < 0) {
      fail(session, cause, error);
      return NULL;
    }
    session->in_at += (size_t)used;
  }
  if (reply->status != POP3_GO_ON) return reply;
  pop3_reply_free(reply);
  fail_with_words(session, NET_ERROR_PROTOCOL,
                  "the server waits for more of a command that is whole", error);
  return NULL;
}

// ---- Sending.

static bool check_open(const Pop3Session *session, GError **error) {
  if (!session->is_over) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the connection is closed");
  return false;
}

// While nothing was asked nothing may come: before a command that is alone on its way it would be
// taken for its reply. A server that is tired of us says so and closes.
bool pop3_session_wait(Pop3Session *session, int timeout_ms, GError **error) {
  GError *cause = NULL;
  WireWait waited = WIRE_READY;
  if (!check_open(session, error)) return false;
  if (session->in_at == session->in_end) waited = wire_wait(session->wire, timeout_ms, &cause);
  if (waited == WIRE_BROKEN) return fail(session, cause, error);
  if (waited != WIRE_READY) return true;
  g_autoptr(Pop3Reply) reply = read_reply(session, error);
  if (reply == NULL) return false;
  g_autofree char *words = pop3_reply_words(reply);
  bool is_goodbye = reply->status == POP3_ERR;
  return fail(session,
              g_error_new(NET_ERROR, is_goodbye ? NET_ERROR_OFFLINE : NET_ERROR_PROTOCOL,
                          is_goodbye ? "the server ended the connection: %s"
                                     : "the server speaks out of turn: %s",
                          words),
              error);
}

static void write_command(Pop3Session *session, const Pop3Command *command) {
  g_string_append(session->out, verbs[command->verb].word);
  if (verbs[command->verb].has_number)
    g_string_append_printf(session->out, " %" PRIu32, command->number);
  if (verbs[command->verb].tail != NULL) g_string_append(session->out, verbs[command->verb].tail);
  g_string_append(session->out, "\r\n");
}

static void note_command(Pop3Session *session, const Pop3Command *command) {
  g_queue_push_tail(&session->sent, g_memdup2(command, sizeof *command));
  session->expected_bytes += command->bytes;
  if (command->verb != POP3_RSET) session->n_awaited++;
  if (command->verb == POP3_RSET) session->n_retrieved = 0;
  if (command->verb == POP3_DELE || command->verb == POP3_QUIT) session->is_removing = true;
  if (command->verb != POP3_RETR) return;
  session->retrieved_bytes =
      (session->n_retrieved > 0 ? session->retrieved_bytes : 0) + command->bytes;
  session->n_retrieved++;
}

static bool send_one(Pop3Session *session, const Pop3Command *command, GError **error) {
  if (!session->has_pipelining && !pop3_session_settle(session, error)) return false;
  g_assert(session->has_pipelining || session->sent.length == 0);
  if (session->sent.length == 0 && !pop3_session_wait(session, 0, error)) return false;
  write_command(session, command);
  note_command(session, command);
  return true;
}

static bool is_within(const Pop3Session *session, uint64_t bytes, unsigned part) {
  return session->sent.length < POP3_COMMANDS_MAX / part &&
         session->expected_bytes + bytes <= POP3_EXPECTED_MAX / part;
}

bool pop3_session_has_room(Pop3Session *session, uint64_t bytes) {
  if (session->n_awaited == 0) session->is_full = false;
  if (session->n_awaited == 0 || !session->has_pipelining) return session->n_awaited == 0;
  if (bytes == 0) return session->sent.length < POP3_COMMANDS_MAX;
  session->is_full = session->is_full && !is_within(session, 1, 2);
  session->is_full |= !is_within(session, bytes, 1);
  return !session->is_full;
}

bool pop3_session_send_reset(Pop3Session *session, GError **error) {
  static const Pop3Command reset = {.verb = POP3_RSET};
  if (session->n_retrieved == 0) return true;
  return check_open(session, error) && send_one(session, &reset, error);
}

bool pop3_session_send(Pop3Session *session, const Pop3Command *command, GError **error) {
  if (!check_open(session, error)) return false;
  bool is_full =
      session->n_retrieved >= POP3_WINDOW_MESSAGES ||
      (session->n_retrieved > 0 && session->retrieved_bytes + command->bytes > POP3_WINDOW_BYTES);
  if (command->verb == POP3_RETR && is_full && !pop3_session_send_reset(session, error))
    return false;
  return send_one(session, command, error);
}

// ---- Receiving.

bool pop3_session_is_awaiting(const Pop3Session *session) {
  return session->n_awaited > 0;
}

static void take_sent(Pop3Session *session, Pop3Command *command) {
  Pop3Command *oldest = g_queue_pop_head(&session->sent);
  session->expected_bytes -= oldest->bytes;
  if (oldest->verb != POP3_RSET) session->n_awaited--;
  *command = *oldest;
  g_free(oldest);
}

// A server that refuses RSET leaves nothing else to be done.
bool pop3_session_settle(Pop3Session *session, GError **error) {
  if (!pop3_session_flush(session, error)) return false;
  while (session->sent.length > 0) {
    const Pop3Command *oldest = session->sent.head->data;
    Pop3Command reset;
    if (oldest->verb != POP3_RSET) break;
    g_autoptr(Pop3Reply) reply = read_reply(session, error);
    if (reply == NULL) return false;
    take_sent(session, &reset);
  }
  return true;
}

Pop3Reply *pop3_session_receive(Pop3Session *session, Pop3Command *command, GError **error) {
  Pop3Command own;
  if (command == NULL) command = &own;
  g_assert(session->n_awaited > 0 && !session->is_in_body);
  if (!check_open(session, error) || !pop3_session_settle(session, error)) return NULL;
  Pop3Reply *reply = read_reply(session, error);
  if (reply == NULL) return NULL;
  take_sent(session, command);
  session->is_in_body = reply->status == POP3_OK && verbs[command->verb].has_lines;
  session->body = (DotUnstuffer){0};
  session->body_left_bytes = verbs[command->verb].most_bytes;
  if (command->verb == POP3_QUIT) give_up(session, NULL);
  return reply;
}

bool pop3_session_receive_bytes(Pop3Session *session, Pop3BytesFunc func, gpointer data,
                                GError **error) {
  g_autoptr(GError) failure = NULL;
  g_assert(session->is_in_body);
  while (!dot_unstuffer_is_over(&session->body)) {
    const char *run;
    size_t size;
    if (session->in_at == session->in_end && !fill(session, error)) return false;
    session->in_at += dot_unstuffer_take(&session->body, session->in + session->in_at,
                                         session->in_end - session->in_at, &run, &size);
    if (size > session->body_left_bytes)
      return fail_with_words(session, NET_ERROR_PROTOCOL, "an answer of the server has no end",
                             error);
    session->body_left_bytes -= size;
    if (size == 0 || func == NULL || func(run, size, data, &failure)) continue;
    func = NULL;
    if (!net_error_ends_connection(failure)) continue;
    session->is_over = true;
    break;
  }
  session->is_in_body = !dot_unstuffer_is_over(&session->body);
  if (failure == NULL) return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

bool pop3_session_receive_lines(Pop3Session *session, Pop3LineFunc func, gpointer data,
                                GError **error) {
  Pop3Lines lines = {.func = func, .data = data};
  return pop3_session_receive_bytes(session, pop3_lines_take, &lines, error);
}

// ---- Its life.

bool pop3_session_has_uidl(const Pop3Session *session) {
  return session->has_uidl;
}

bool pop3_session_may_have_top(const Pop3Session *session) {
  return session->may_have_top;
}

bool pop3_session_has_told_abilities(const Pop3Session *session) {
  return session->has_told_abilities;
}

unsigned pop3_session_login_delay_s(const Pop3Session *session) {
  return session->login_delay_s;
}

bool pop3_session_is_over(const Pop3Session *session) {
  return session->is_over;
}

static bool take_capability(const char *line, size_t length, gpointer data, GError **error) {
  Pop3Session *session = data;
  g_autofree char *word = line != NULL ? g_strndup(line, strcspn(line, " ")) : g_strdup("");
  session->has_pipelining |= g_ascii_strcasecmp(word, "PIPELINING") == 0;
  session->has_uidl |= g_ascii_strcasecmp(word, "UIDL") == 0;
  session->may_have_top |= g_ascii_strcasecmp(word, "TOP") == 0;
  if (g_ascii_strcasecmp(word, "LOGIN-DELAY") == 0)
    session->login_delay_s =
        (unsigned)MIN(g_ascii_strtoull(line + strlen(word), NULL, 10), login_delay_max_s);
  return true;
}

// RFC 2449 5. What is offered counts from the end of the list on.
static bool ask_capabilities(Pop3Session *session, GError **error) {
  static const Pop3Command command = {.verb = POP3_CAPA};
  if (!pop3_session_send(session, &command, error)) return false;
  g_autoptr(Pop3Reply) reply = pop3_session_receive(session, NULL, error);
  if (reply == NULL) return false;
  session->has_told_abilities = reply->status == POP3_OK;
  session->may_have_top = reply->status == POP3_ERR;
  if (reply->status == POP3_OK &&
      !pop3_session_receive_lines(session, take_capability, session, error))
    return false;
  g_debug("%s: PIPELINING %s, UIDL %s, TOP %s", session->name,
          session->has_pipelining ? "yes" : "no", session->has_uidl ? "yes" : "not said",
          session->may_have_top ? "yes" : "no");
  return true;
}

Pop3Session *pop3_session_new(Wire *wire, const char *name, GError **error) {
  g_autoptr(Pop3Session) session = g_new0(Pop3Session, 1);
  session->wire = wire;
  session->name = g_strdup(name);
  session->parser = pop3_reply_parser_new();
  session->in = g_malloc(buffer_bytes);
  session->out = g_string_new(NULL);
  session->can_say_goodbye = true;
  g_queue_init(&session->sent);
  return ask_capabilities(session, error) ? g_steal_pointer(&session) : NULL;
}

// Until so many lines came, the server closes, or time is over.
static bool await_lines(Pop3Session *session, unsigned count, int64_t deadline_us) {
  for (;;) {
    for (; count > 0 && session->in_at < session->in_end; session->in_at++)
      count -= session->in[session->in_at] == '\n';
    if (count == 0) return true;
    int64_t left_ms = MIN((deadline_us - g_get_monotonic_time()) / 1000, goodbye_ms);
    if (left_ms <= 0 || wire_wait(session->wire, (int)left_ms, NULL) != WIRE_READY) return false;
    if (!fill(session, NULL)) return false;
  }
}

// The last word, also after a cancel: then it stands behind whatever is under way, of which nobody
// knows how many lines it has.
static void say_goodbye(Pop3Session *session) {
  static const Pop3Command last[] = {{.verb = POP3_RSET}, {.verb = POP3_QUIT}};
  int64_t deadline_us = g_get_monotonic_time() + long_goodbye_ms * INT64_C(1000);
  bool is_clear = session->n_awaited == 0 && !session->is_in_body;
  if (is_clear && !await_lines(session, session->sent.length, deadline_us)) return;
  for (size_t i = session->n_retrieved > 0 ? 0 : 1; i < G_N_ELEMENTS(last); i++)
    write_command(session, &last[i]);
  unsigned n_replies = session->n_retrieved > 0 ? 2 : 1;
  if (pop3_session_flush(session, NULL))
    await_lines(session, is_clear ? n_replies : UINT_MAX, deadline_us);
}

void pop3_session_free(Pop3Session *session) {
  if (session == NULL) return;
  // A QUIT of ours would remove what a DELE before marked, though its caller heard of a failure.
  if ((!session->is_over || session->can_say_goodbye) && !session->is_removing)
    say_goodbye(session);
  wire_free(session->wire);
  pop3_reply_parser_free(session->parser);
  g_queue_clear_full(&session->sent, g_free);
  g_string_free(session->out, TRUE);
  g_free(session->in);
  g_free(session->name);
  g_free(session);
}
