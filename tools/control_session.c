#include "tools/control_session.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

// The longest request: a command and a file name, escaped. Short enough that no nesting in it could
// exhaust a parser's stack.
#define LINE_MAX_BYTES 4096
#define OUT_FULL_BYTES (64u << 10)
#define PATIENCE_S 30

struct ControlSession {
  int fd;
  GMainContext *context;
  ControlSessionEvents events;
  gpointer data;
  GSource *source;  // the descriptor's
  GIOCondition condition;
  GSource *patience;  // NULL: none is needed, the client waits for us
  GString *in, *out;
  bool answering;  // a request has begun and not ended
  bool has_more;   // when last asked what else there was to say, there was something
  bool at_end;     // the client says no more
  bool moved;      // bytes did, since the patience began
};

static void drop_source(GSource **source) {
  if (*source == NULL) return;
  g_source_destroy(*source);
  g_clear_pointer(source, g_source_unref);
}

void control_session_free(ControlSession *session) {
  if (session == NULL) return;
  drop_source(&session->source);
  drop_source(&session->patience);
  close(session->fd);
  g_main_context_unref(session->context);
  g_string_free(session->in, TRUE);
  g_string_free(session->out, TRUE);
  g_free(session);
}

static void close_session(ControlSession *session) {
  session->events.closed(session->data);
  control_session_free(session);
}

static gboolean on_impatient(gpointer data) {
  close_session(data);
  return G_SOURCE_REMOVE;
}

// Begins anew with each sign of life.
static void set_patience(ControlSession *session) {
  bool needed = !session->answering || session->out->len > 0;
  if (needed && session->patience != NULL && !session->moved) return;
  drop_source(&session->patience);
  session->moved = false;
  if (!needed) return;
  session->patience = g_timeout_source_new_seconds(PATIENCE_S);
  g_source_set_callback(session->patience, on_impatient, session, NULL);
  g_source_attach(session->patience, session->context);
}

static bool has_line(const ControlSession *session) {
  return memchr(session->in->str, '\n', session->in->len) != NULL;
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer data);

// While a request is answered, or answers are not taken, no more are read; that the client hangs up
// is seen all the same. What is left in the buffer waits only until the answer is out, or for the
// rest of its line.
static void watch(ControlSession *session) {
  bool listens = !session->answering && !control_session_is_full(session);
  GIOCondition wanted = 0;
  if (listens && !session->at_end) wanted |= G_IO_IN;
  if (session->has_more || session->out->len > 0 ||
      (listens && (has_line(session) || session->at_end)))
    wanted |= G_IO_OUT;
  if (session->source != NULL && wanted == session->condition) return;
  drop_source(&session->source);
  session->condition = wanted;
  session->source = g_unix_fd_source_new(session->fd, wanted | G_IO_HUP | G_IO_ERR);
  g_source_set_callback(session->source, G_SOURCE_FUNC(on_ready), session, NULL);
  g_source_attach(session->source, session->context);
}

// False: the client is gone.
static bool send_out(ControlSession *session) {
  while (session->out->len > 0) {
    ssize_t put = send(session->fd, session->out->str, session->out->len, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno == EAGAIN;
    g_string_erase(session->out, 0, put);
    session->moved = true;
  }
  return true;
}

// False: the client is gone, or says more than it may.
static bool read_in(ControlSession *session) {
  char bytes[LINE_MAX_BYTES];
  ssize_t got = recv(session->fd, bytes, sizeof bytes, 0);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  g_string_append_len(session->in, bytes, got);
  session->at_end = got == 0;
  session->moved = true;
  return session->in->len <= 2 * LINE_MAX_BYTES;
}

// Hands the next line on, if there is a whole one; false: what came is no request.
static bool take_line(ControlSession *session) {
  char *end = memchr(session->in->str, '\n', session->in->len);
  size_t length = end != NULL ? (size_t)(end - session->in->str) : session->in->len;
  if (length > LINE_MAX_BYTES) return false;
  if (end == NULL) return true;
  g_autofree char *line = g_strndup(session->in->str, length);
  bool text = strlen(line) == length && g_utf8_validate(line, -1, NULL);
  g_string_erase(session->in, 0, (gssize)length + 1);
  if (!text) return false;
  session->answering = true;
  session->events.line(session, line, session->data);
  return true;
}

static bool take_lines(ControlSession *session) {
  while (!session->answering && !control_session_is_full(session)) {
    size_t before = session->in->len;
    if (!take_line(session)) return false;
    if (session->in->len == before) return true;
  }
  return true;
}

static bool serve(ControlSession *session, GIOCondition condition) {
  if ((condition & (G_IO_HUP | G_IO_ERR)) != 0 && (condition & G_IO_IN) == 0) return false;
  if ((condition & G_IO_IN) != 0 && !session->answering && !read_in(session)) return false;
  if (!take_lines(session) || !send_out(session)) return false;
  if (session->at_end && !session->answering && session->out->len == 0) return false;
  session->has_more = false;
  if (session->answering && session->out->len == 0) {
    session->events.drained(session, session->data);
    session->has_more = session->answering && session->out->len > 0;
  }
  return send_out(session);
}

static gboolean on_ready(gint fd, GIOCondition condition, gpointer data) {
  ControlSession *session = data;
  if (!serve(session, condition)) {
    close_session(session);
    return G_SOURCE_CONTINUE;
  }
  set_patience(session);
  watch(session);
  return G_SOURCE_CONTINUE;
}

ControlSession *control_session_new(int fd, GMainContext *context,
                                    const ControlSessionEvents *events, gpointer data) {
  ControlSession *session = g_new0(ControlSession, 1);
  session->fd = fd;
  session->context = g_main_context_ref(context);
  session->events = *events;
  session->data = data;
  session->in = g_string_new(NULL);
  session->out = g_string_new(NULL);
  set_patience(session);
  watch(session);
  return session;
}

void control_session_say(ControlSession *session, const char *line) {
  g_string_append(session->out, line);
  g_string_append_c(session->out, '\n');
  watch(session);
}

bool control_session_is_full(const ControlSession *session) {
  return session->out->len >= OUT_FULL_BYTES;
}

bool control_session_is_drained(const ControlSession *session) {
  return session->out->len == 0;
}

// What came meanwhile is looked at when the answer is out.
void control_session_end(ControlSession *session) {
  session->answering = false;
  session->moved = true;
  set_patience(session);
  watch(session);
}
