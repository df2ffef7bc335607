#include "tools/control_command.h"

#include <errno.h>
#include <string.h>

#include <json-glib/json-glib.h>

#include "cache/outbox_drain.h"
#include "tools/control_letter.h"
#include "tools/exit_code.h"

struct ControlCall {
  ControlSession *session;  // NULL: the client is gone
  Outbox *outbox;
  void (*gone)(ControlCall *call, gpointer data);
  gpointer data;
  bool owed;  // the outbox has still to answer

  bool lists;  // letters, from `after` on
  uint64_t after;
  OutboxDrain *drain;
  OutboxProgress progress;  // as told last
  char *why;
  char *untaken;  // why drops stay where they are; NULL: none does
  bool has_news;  // progress that was not said yet
};

// -- Answers.

// Takes the builder; one object is open.
static void say(ControlCall *call, JsonBuilder *builder) {
  json_builder_end_object(builder);
  g_autoptr(JsonNode) node = json_builder_get_root(builder);
  g_autofree char *line = json_to_string(node, FALSE);
  if (call->session != NULL) control_session_say(call->session, line);
  g_object_unref(builder);
}

static JsonBuilder *begin(const char *member) {
  JsonBuilder *builder = json_builder_new();
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, member);
  return builder;
}

static void add_number(JsonBuilder *builder, const char *member, unsigned number) {
  json_builder_set_member_name(builder, member);
  json_builder_add_int_value(builder, number);
}

static void end(ControlCall *call) {
  if (call->session != NULL) control_session_end(call->session);
}

static void finish(ControlCall *call) {
  JsonBuilder *builder = begin("done");
  json_builder_add_boolean_value(builder, TRUE);
  say(call, builder);
  end(call);
}

static void refuse(ControlCall *call, int code, const char *words) {
  g_autofree char *text = g_utf8_make_valid(words, -1);
  JsonBuilder *builder = begin("error");
  json_builder_add_string_value(builder, text);
  add_number(builder, "code", (unsigned)code);
  say(call, builder);
  end(call);
}

static int exit_code_of(const GError *error) {
  switch (error->code) {
    case ENOENT:
      return EX_NOINPUT;
    case EBUSY:
      return EX_TEMPFAIL;
    case EINVAL:
    case EMSGSIZE:
      return EX_DATAERR;
    default:
      return EX_IOERR;
  }
}

// -- What the outbox answers later.

// True if the client still waits for it.
static bool settle(ControlCall *call) {
  call->owed = false;
  if (call->session != NULL) return true;
  call->gone(call, call->data);
  return false;
}

static void on_done(const GError *error, gpointer data) {
  ControlCall *call = data;
  if (!settle(call)) return;
  if (error != NULL)
    refuse(call, exit_code_of(error), error->message);
  else
    finish(call);
}

// -- The commands.

static bool add_letter(const OutboxSummary *summary, gpointer data) {
  ControlCall *call = data;
  JsonBuilder *builder = begin("letter");
  control_letter_build(builder, summary);
  say(call, builder);
  call->after = summary->ino;
  return !control_session_is_full(call->session);
}

static void list_more(ControlCall *call) {
  uint64_t before = call->after;
  outbox_summarize(call->outbox, call->after, add_letter, call);
  if (control_session_is_full(call->session) && call->after != before) return;
  call->lists = false;
  finish(call);
}

static void do_outbox(ControlCall *call, const char *unused) {
  call->lists = true;
  call->after = 0;
  list_more(call);
}

static void add_text(JsonBuilder *builder, const char *member, const char *text) {
  if (text == NULL) return;
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  json_builder_set_member_name(builder, member);
  json_builder_add_string_value(builder, valid);
}

static void say_progress(ControlCall *call) {
  const OutboxProgress *progress = &call->progress;
  bool over = progress->to_come == 0;
  JsonBuilder *builder = begin(over ? "done" : "progress");
  if (over)
    json_builder_add_boolean_value(builder, TRUE);
  else
    json_builder_begin_object(builder);
  add_number(builder, "total", progress->total);
  add_number(builder, "sent", progress->sent);
  add_number(builder, "failed", progress->failed);
  add_number(builder, "delayed", progress->delayed);
  add_text(builder, "why", call->why);
  if (over) add_text(builder, "untaken", call->untaken);
  if (!over) json_builder_end_object(builder);
  call->has_news = false;
  say(call, builder);
  if (over) end(call);
}

// A client that reads slowly is told less often.
static void on_progress(const OutboxProgress *progress, gpointer data) {
  ControlCall *call = data;
  call->progress = *progress;
  call->progress.why = NULL;
  g_free(call->why);
  call->why = g_strdup(progress->why);
  call->has_news = true;
  if (progress->to_come == 0) g_clear_pointer(&call->drain, outbox_drain_free);
  if (call->drain == NULL || control_session_is_drained(call->session)) say_progress(call);
}

// Letters that are in the outbox go, whatever becomes of those beside it.
static void on_taken(const GError *error, gpointer data) {
  ControlCall *call = data;
  g_free(call->untaken);
  call->untaken = error != NULL ? g_strdup(error->message) : NULL;
  if (settle(call)) call->drain = outbox_drain_new(call->outbox, on_progress, call);
}

// What other programs have just handed over belongs to it.
static void do_flush(ControlCall *call, const char *unused) {
  call->owed = true;
  outbox_take_drops(call->outbox, on_taken, call);
}

static void do_take(ControlCall *call, const char *unused) {
  outbox_take_drops(call->outbox, NULL, NULL);
  finish(call);
}

static void do_retry(ControlCall *call, const char *name) {
  call->owed = true;
  outbox_retry(call->outbox, name, on_done, call);
}

static void do_cancel(ControlCall *call, const char *name) {
  call->owed = true;
  outbox_cancel(call->outbox, name, on_done, call);
}

static const struct {
  const char *name;
  bool names_letter;
  void (*run)(ControlCall *call, const char *name);
} commands[] = {
    {"outbox", false, do_outbox}, {"flush", false, do_flush},  {"take", false, do_take},
    {"retry", true, do_retry},    {"cancel", true, do_cancel},
};

// -- Requests.

static const char *text_of(JsonObject *request, const char *member) {
  JsonNode *node = json_object_get_member(request, member);
  return node != NULL && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static void run(ControlCall *call, JsonObject *request) {
  const char *command = text_of(request, "command");
  const char *escaped = text_of(request, "name");
  g_autofree char *name = escaped != NULL ? g_uri_unescape_string(escaped, NULL) : NULL;
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
    if (g_strcmp0(command, commands[i].name) != 0) continue;
    if (commands[i].names_letter && name == NULL)
      refuse(call, EX_USAGE, "no letter is named");
    else if (call->outbox == NULL)
      refuse(call, EX_CONFIG, "the account has no outbox: set smtp");
    else
      commands[i].run(call, name);
    return;
  }
  refuse(call, EX_USAGE, "there is no such command");
}

static void on_line(ControlSession *session, const char *text, gpointer data) {
  g_autoptr(JsonParser) parser = json_parser_new();
  JsonNode *root =
      json_parser_load_from_data(parser, text, -1, NULL) ? json_parser_get_root(parser) : NULL;
  if (root != NULL && JSON_NODE_HOLDS_OBJECT(root))
    run(data, json_node_get_object(root));
  else
    refuse(data, EX_USAGE, "this is no JSON object");
}

static void on_drained(ControlSession *session, gpointer data) {
  ControlCall *call = data;
  if (call->lists)
    list_more(call);
  else if (call->has_news && call->drain != NULL)
    say_progress(call);
}

static void on_closed(gpointer data) {
  ControlCall *call = data;
  call->session = NULL;
  call->lists = false;
  g_clear_pointer(&call->drain, outbox_drain_free);
  if (!call->owed) call->gone(call, call->data);
}

ControlCall *control_call_new(int fd, GMainContext *context, Outbox *outbox,
                              void (*gone)(ControlCall *call, gpointer data), gpointer data) {
  static const ControlSessionEvents events = {on_line, on_drained, on_closed};
  ControlCall *call = g_new0(ControlCall, 1);
  call->outbox = outbox;
  call->gone = gone;
  call->data = data;
  call->session = control_session_new(fd, context, &events, call);
  return call;
}

void control_call_free(ControlCall *call) {
  if (call == NULL) return;
  control_session_free(call->session);
  outbox_drain_free(call->drain);
  g_free(call->why);
  g_free(call->untaken);
  g_free(call);
}
