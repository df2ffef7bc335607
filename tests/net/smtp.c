#include "net/smtp.h"

#include <string.h>

#include "net/error.h"
#include "tests/net/smtp_script.h"
#include "tests/net/wire_script.h"

static const char *const error_names[] = {
    [NET_ERROR_HOST] = "HOST",           [NET_ERROR_OFFLINE] = "OFFLINE",
    [NET_ERROR_TIMEOUT] = "TIMEOUT",     [NET_ERROR_UNTRUSTED] = "UNTRUSTED",
    [NET_ERROR_DENIED] = "DENIED",       [NET_ERROR_FORBIDDEN] = "FORBIDDEN",
    [NET_ERROR_GONE] = "GONE",           [NET_ERROR_BUSY] = "BUSY",
    [NET_ERROR_REFUSED] = "REFUSED",     [NET_ERROR_PROTOCOL] = "PROTOCOL",
    [NET_ERROR_LIMIT] = "LIMIT",         [NET_ERROR_UNSUPPORTED] = "UNSUPPORTED",
    [NET_ERROR_CANCELLED] = "CANCELLED",
};

static void note_outcomes(GString *seen, SenderOutcome *outcomes, size_t count,
                          const GError *error) {
  static const char *const verdicts[] = {
      [SENDER_ACCEPTED] = "accepted",
      [SENDER_TEMPORARY] = "temporary",
      [SENDER_PERMANENT] = "permanent",
  };
  if (error != NULL) g_string_append_printf(seen, "error %s\n", error_names[error->code]);
  for (size_t i = 0; i < count; i++) {
    if (error == NULL)
      g_string_append_printf(seen, "%s %s\n", verdicts[outcomes[i].verdict], outcomes[i].reply);
    g_free(outcomes[i].reply);
  }
}

static void send_one(Sender *sender, Script *script, GString *seen) {
  size_t count = script->recipients->len - 2;
  g_autofree SenderOutcome *outcomes = g_new0(SenderOutcome, count);
  g_autoptr(GError) error = NULL;
  bool was_over = sender->is_over;
  bool is_answered = sender_send(sender, &script->letter, outcomes, &error);
  g_assert_true(is_answered == (error == NULL));
  g_assert_cmpint(script->ends, <=, 1);
  note_outcomes(seen, outcomes, count, error);
  if (is_answered) g_assert_false(script->is_untaken);
  if (script->is_untaken) g_string_append(seen, "not taken\n");
  if (sender->is_over && !was_over)
    g_string_append(seen, sender->turned_away ? "turned away\n" : "over\n");
}

static bool may_be_sent(const Script *script) {
  return script->ends > 0 && !script->is_untaken;
}

// `leave` instead of `send`: the sender is freed, whatever of that letter was said.
static void send_all(Sender *sender, char **lines, GString *seen) {
  unsigned count = g_strv_length(lines);
  g_autofree Script *scripts = g_new0(Script, count + 1);
  for (unsigned i = 0; i < count; i++)
    script_parse(&scripts[i], lines[i]);
  for (unsigned i = 0; i < count && !g_str_has_prefix(lines[i], "leave "); i++) {
    if (sender->is_over && scripts[i].is_given)
      g_string_append(seen, may_be_sent(&scripts[i]) ? "perhaps sent\n" : "not sent\n");
    else
      send_one(sender, &scripts[i], seen);
  }
  sender_free(sender);
  for (unsigned i = 0; i < count; i++)
    script_clear(&scripts[i]);
}

static void replay(const char *path, WireScriptCut cut, unsigned seed) {
  g_auto(GStrv) letters = wire_script_lines(path, "do ");
  g_auto(GStrv) expected_lines = wire_script_lines(path, "E: ");
  g_autofree char *expected = g_strjoinv("\n", expected_lines);
  g_autoptr(GString) seen = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  Sender *sender = smtp_sender_new(wire_script_new(path, cut, seed), 60000, "smtp1", &error);
  if (sender != NULL)
    send_all(sender, letters, seen);
  else
    note_outcomes(seen, NULL, 0, error);
  g_assert_cmpstr(g_strchomp(seen->str), ==, expected);
}

// Each transcript gives the outcomes that it names, however the server's bytes are cut.
static void test_transcript(gconstpointer data) {
  replay(data, WIRE_SCRIPT_WHOLE, 0);
  replay(data, WIRE_SCRIPT_BYTES, 0);
  for (unsigned seed = 1; seed <= 20; seed++)
    replay(data, WIRE_SCRIPT_RANDOM, seed);
}

static void add_transcripts(void) {
  g_autofree char *directory = g_test_build_filename(G_TEST_DIST, "transcripts", "smtp", NULL);
  g_autoptr(GDir) entries = g_dir_open(directory, 0, NULL);
  g_assert_nonnull(entries);
  for (const char *name = g_dir_read_name(entries); name != NULL; name = g_dir_read_name(entries)) {
    g_autofree char *path = g_strconcat("/smtp/transcript/", name, NULL);
    char *file = g_build_filename("transcripts", "smtp", name, NULL);
    g_test_add_data_func_full(path, file, test_transcript, g_free);
  }
}

static const struct {
  const char *name, *from, *to;
  bool utf8;
} bad_envelopes[] = {
    {"line-break", "alice@example.org", "bob@example.org>\r\nRCPT TO:<carol@example.org", true},
    {"line-feed", "alice@example.org\nDATA", "bob@example.org", true},
    {"blank", "alice@example.org", "bob@example.org NOTIFY=NEVER", true},
    {"bracket", "alice@example.org> SIZE=1", "bob@example.org", true},
    {"control", "alice@example.org", "bob\001@example.org", true},
    {"delete", "alice@example.org", "bob\177@example.org", true},
    {"not-utf8", "alice@example.org", "b\303b@example.org", true},
    {"unannounced-utf8", "alice@example.org", "b\303\266b@example.org", false},
};

// An address that could break out of its command is refused before a byte is sent.
static void test_bad_envelope(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  Wire *wire = wire_script_new(
      "C: EHLO localhost\nS: 250-mail.example.org\nS: 250 SMTPUTF8\nC: QUIT\nS: 221 Bye\n",
      WIRE_SCRIPT_WHOLE, 0);
  g_autoptr(Sender) sender = smtp_sender_new(wire, 60000, "smtp1", NULL);
  Script script;
  script_init(&script, "Hello.\r\n", 8);
  g_ptr_array_add(script.recipients, g_strdup(bad_envelopes[row].from));
  g_ptr_array_add(script.recipients, g_strdup(bad_envelopes[row].to));
  script_finish(&script);
  script.letter.needs_utf8 = bad_envelopes[row].utf8;
  SenderOutcome outcome = {0};
  g_autoptr(GError) error = NULL;
  g_assert_false(sender_send(sender, &script.letter, &outcome, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_false(sender->is_over);
  script_clear(&script);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  add_transcripts();
  for (size_t i = 0; i < G_N_ELEMENTS(bad_envelopes); i++) {
    g_autofree char *path = g_strconcat("/smtp/bad-envelope/", bad_envelopes[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad_envelope);
  }
  return g_test_run();
}
