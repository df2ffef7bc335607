#include "tests/net/wire_script.h"

#include <string.h>

#include "net/error.h"

typedef enum {
  EVENT_CLIENT_BYTES,
  EVENT_CLIENT_GLOB,
  EVENT_CLIENT_STUCK,
  EVENT_SERVER_BYTES,
  EVENT_CLOSE,
  EVENT_RESET,
  EVENT_SILENCE,
  EVENT_WAKE,
  EVENT_CANCEL,
} EventKind;

typedef struct {
  EventKind kind;
  GString *bytes;
} Event;

typedef struct {
  Wire wire;
  GArray *events;
  unsigned at;     // the event whose turn it is
  size_t used;     // bytes of a server event already handed out
  GString *heard;  // client bytes not yet matched
  bool failed;
  bool is_cancelled;
  WireScriptCut cut;
  GRand *rand;
} WireScript;

static char *transcript_text(const char *transcript) {
  if (strchr(transcript, '\n') != NULL) return g_strdup(transcript);
  g_autofree char *path = g_test_build_filename(G_TEST_DIST, transcript, NULL);
  char *text = NULL;
  g_autoptr(GError) error = NULL;
  if (!g_file_get_contents(path, &text, NULL, &error)) g_error("%s", error->message);
  return text;
}

static GString *unescape(const char *line) {
  GString *bytes = g_string_new(NULL);
  for (const char *p = line; *p != '\0'; p++) {
    bool is_hex = p[0] == '\\' && p[1] == 'x' && g_ascii_isxdigit(p[2]) && g_ascii_isxdigit(p[3]);
    if (!is_hex) {
      g_string_append_c(bytes, *p);
      continue;
    }
    g_string_append_c(bytes, (char)(g_ascii_xdigit_value(p[2]) * 16 + g_ascii_xdigit_value(p[3])));
    p += 3;
  }
  return bytes;
}

static void event_clear(gpointer data) {
  Event *event = data;
  g_string_free(event->bytes, TRUE);
}

static void add_event(GArray *events, EventKind kind, const char *line, const char *end) {
  GString *bytes = unescape(line);
  g_string_append(bytes, end);
  Event *last = events->len > 0 ? &g_array_index(events, Event, events->len - 1) : NULL;
  if (last != NULL && kind == EVENT_SERVER_BYTES && last->kind == kind) {
    g_string_append_len(last->bytes, bytes->str, (gssize)bytes->len);
    g_string_free(bytes, TRUE);
    return;
  }
  Event event = {kind, bytes};
  g_array_append_val(events, event);
}

static void parse_line(GArray *events, const char *line) {
  static const struct {
    const char *prefix;
    EventKind kind;
    const char *end;
  } forms[] = {
      {"C: ", EVENT_CLIENT_BYTES, "\r\n"},
      {"C~ ", EVENT_CLIENT_GLOB, ""},
      {"C= ", EVENT_CLIENT_BYTES, ""},
      {"C? silence", EVENT_CLIENT_STUCK, ""},
      {"S: ", EVENT_SERVER_BYTES, "\r\n"},
      {"S= ", EVENT_SERVER_BYTES, ""},
      {"S! close", EVENT_CLOSE, ""},
      {"S! reset", EVENT_RESET, ""},
      {"S? silence", EVENT_SILENCE, ""},
      {"S? wake", EVENT_WAKE, ""},
      {"S? cancel", EVENT_CANCEL, ""},
      // An empty line of either side, whose trailing blank an editor may have taken away.
      {"C:", EVENT_CLIENT_BYTES, "\r\n"},
      {"S:", EVENT_SERVER_BYTES, "\r\n"},
  };
  if (*line == '\0' || *line == '#') return;
  if (g_str_has_prefix(line, "do ") || g_str_has_prefix(line, "E: ")) return;
  for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
    if (!g_str_has_prefix(line, forms[i].prefix)) continue;
    add_event(events, forms[i].kind, line + strlen(forms[i].prefix), forms[i].end);
    return;
  }
  g_error("not a line of a transcript: %s", line);
}

static Event *current(WireScript *script) {
  return script->at < script->events->len ? &g_array_index(script->events, Event, script->at)
                                          : NULL;
}

static char *event_text(const Event *event) {
  static const char *const words[] = {
      [EVENT_CLIENT_BYTES] = "C: ",        [EVENT_CLIENT_GLOB] = "C~ ",
      [EVENT_CLIENT_STUCK] = "C? silence", [EVENT_SERVER_BYTES] = "S: ",
      [EVENT_CLOSE] = "S! close",          [EVENT_RESET] = "S! reset",
      [EVENT_SILENCE] = "S? silence",      [EVENT_WAKE] = "S? wake",
      [EVENT_CANCEL] = "S? cancel",
  };
  if (event == NULL) return g_strdup("the end of the transcript");
  g_autofree char *bytes = g_strescape(event->bytes->str, NULL);
  return g_strconcat(words[event->kind], bytes, NULL);
}

static void set_broken(GError **error) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_OFFLINE, "the scripted connection broke");
}

// One report a script: what follows a mismatch says nothing.
static void mismatch(WireScript *script, const char *did, GError **error) {
  set_broken(error);
  if (script->failed) return;
  script->failed = true;
  g_autofree char *expected = event_text(current(script));
  // Said at once as well: the row may end in an assertion on what follows from this.
  g_test_message("transcript: expected <%s>, but the client %s", expected, did);
  g_test_fail_printf("transcript: expected <%s>, but the client %s", expected, did);
}

static void mismatch_bytes(WireScript *script, GError **error) {
  g_autofree char *heard = g_strescape(script->heard->str, NULL);
  g_autofree char *did = g_strdup_printf("sent <%s>", heard);
  mismatch(script, did, error);
}

static void advance(WireScript *script) {
  script->at++;
  script->used = 0;
}

// Matches what was heard against the event whose turn it is. Returns how many bytes it took, 0 if
// more are needed, -1 if they differ.
static ssize_t match_client(const Event *event, const GString *heard) {
  if (event == NULL) return -1;
  if (event->kind == EVENT_CLIENT_BYTES) {
    size_t size = MIN(heard->len, event->bytes->len);
    if (memcmp(heard->str, event->bytes->str, size) != 0) return -1;
    return size == event->bytes->len ? (ssize_t)size : 0;
  }
  if (event->kind != EVENT_CLIENT_GLOB) return -1;
  const char *end = g_strstr_len(heard->str, (gssize)heard->len, "\r\n");
  if (end == NULL) return 0;
  g_autofree char *line = g_strndup(heard->str, (size_t)(end - heard->str));
  return g_pattern_match_simple(event->bytes->str, line) ? (ssize_t)(end - heard->str) + 2 : -1;
}

static bool check_cancel(const WireScript *script, GError **error) {
  if (script->is_cancelled)
    g_set_error_literal(error, NET_ERROR, NET_ERROR_CANCELLED, "cancelled by the script");
  return !script->is_cancelled;
}

static void take_cancel(WireScript *script, GError **error) {
  advance(script);
  script->is_cancelled = true;
  check_cancel(script, error);
}

void wire_script_reset_waker(Wire *wire) {
  ((WireScript *)wire)->is_cancelled = false;
}

static bool script_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  WireScript *script = (WireScript *)wire;
  Event *event = current(script);
  if (!check_cancel(script, error)) return false;
  if (event != NULL && event->kind == EVENT_RESET) {
    set_broken(error);
    return false;
  }
  if (event != NULL && event->kind == EVENT_CLIENT_STUCK) {
    advance(script);
    g_set_error_literal(error, NET_ERROR, NET_ERROR_TIMEOUT, "the scripted server reads nothing");
    return false;
  }
  g_string_append_len(script->heard, bytes, (gssize)size);
  while (script->heard->len > 0) {
    ssize_t taken = match_client(current(script), script->heard);
    if (taken < 0) {
      mismatch_bytes(script, error);
      return false;
    }
    if (taken == 0) break;
    g_string_erase(script->heard, 0, taken);
    advance(script);
  }
  return true;
}

static size_t cut_size(WireScript *script, size_t size) {
  size_t most = size;
  if (script->cut == WIRE_SCRIPT_BYTES) most = 1;
  if (script->cut == WIRE_SCRIPT_RANDOM) most = (size_t)g_rand_int_range(script->rand, 1, 17);
  return MIN(size, most);
}

static ssize_t hand_out(WireScript *script, Event *event, void *buffer, size_t size) {
  size_t left = event->bytes->len - script->used;
  size_t count = cut_size(script, MIN(left, size));
  memcpy(buffer, event->bytes->str + script->used, count);
  script->used += count;
  if (script->used == event->bytes->len) advance(script);
  return (ssize_t)count;
}

static ssize_t script_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  WireScript *script = (WireScript *)wire;
  Event *event = current(script);
  EventKind kind = event != NULL ? event->kind : EVENT_CLIENT_BYTES;
  if (!check_cancel(script, error)) return -1;
  switch (kind) {
    case EVENT_SERVER_BYTES:
      return hand_out(script, event, buffer, size);
    case EVENT_CLOSE:
      return 0;
    case EVENT_RESET:
      set_broken(error);
      return -1;
    case EVENT_SILENCE:
      advance(script);
      g_set_error_literal(error, NET_ERROR, NET_ERROR_TIMEOUT, "the scripted server is silent");
      return -1;
    case EVENT_CANCEL:
      take_cancel(script, error);
      return -1;
    case EVENT_WAKE:
    case EVENT_CLIENT_BYTES:
    case EVENT_CLIENT_GLOB:
    case EVENT_CLIENT_STUCK:
      break;
  }
  mismatch(script, "waits for the server", error);
  return -1;
}

static bool is_clients_turn(const Event *event) {
  return event == NULL || event->kind == EVENT_CLIENT_BYTES || event->kind == EVENT_CLIENT_GLOB ||
         event->kind == EVENT_CLIENT_STUCK;
}

static WireWait script_wait(Wire *wire, int timeout_ms, GError **error) {
  WireScript *script = (WireScript *)wire;
  Event *event = current(script);
  if (!check_cancel(script, error)) return WIRE_BROKEN;
  bool is_ours = is_clients_turn(event);
  if (timeout_ms == 0 && (is_ours || event->kind == EVENT_SILENCE)) return WIRE_EXPIRED;
  if (is_ours) {
    mismatch(script, "waits for the server", error);
    return WIRE_BROKEN;
  }
  if (event->kind == EVENT_CANCEL) {
    take_cancel(script, error);
    return WIRE_BROKEN;
  }
  bool is_wake = event->kind == EVENT_WAKE;
  if (!is_wake && event->kind != EVENT_SILENCE) return WIRE_READY;
  advance(script);
  return is_wake ? WIRE_WOKEN : WIRE_EXPIRED;
}

static void script_free(Wire *wire) {
  WireScript *script = (WireScript *)wire;
  Event *event = current(script);
  bool is_over = event == NULL || event->kind == EVENT_CLOSE || event->kind == EVENT_RESET;
  if (!is_over || script->heard->len > 0) mismatch(script, "closed the connection", NULL);
  g_array_unref(script->events);
  g_string_free(script->heard, TRUE);
  g_rand_free(script->rand);
  g_free(script);
}

static const WireOps script_ops = {script_recv, script_send, script_wait, script_free};

Wire *wire_script_new(const char *transcript, WireScriptCut cut, unsigned seed) {
  WireScript *script = g_new0(WireScript, 1);
  script->wire.ops = &script_ops;
  script->cut = cut;
  script->rand = g_rand_new_with_seed(seed);
  script->heard = g_string_new(NULL);
  script->events = g_array_new(FALSE, FALSE, sizeof(Event));
  g_array_set_clear_func(script->events, event_clear);
  g_autofree char *text = transcript_text(transcript);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    parse_line(script->events, *line);
  return &script->wire;
}

char **wire_script_lines(const char *transcript, const char *prefix) {
  g_autofree char *text = transcript_text(transcript);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_autoptr(GStrvBuilder) found = g_strv_builder_new();
  for (char **line = lines; *line != NULL; line++) {
    if (g_str_has_prefix(*line, prefix)) g_strv_builder_add(found, *line + strlen(prefix));
  }
  return g_strv_builder_end(found);
}
