#include "net/smtp.h"

#include <string.h>

#include "net/error.h"
#include "tests/net/wire_script.h"

static const char letter_text[] = "Subject: hello\r\n\r\nHello.\r\n.hidden\r\n.\r\n";

static const char *const error_names[] = {
    [NET_ERROR_HOST] = "HOST",           [NET_ERROR_OFFLINE] = "OFFLINE",
    [NET_ERROR_TIMEOUT] = "TIMEOUT",     [NET_ERROR_UNTRUSTED] = "UNTRUSTED",
    [NET_ERROR_DENIED] = "DENIED",       [NET_ERROR_FORBIDDEN] = "FORBIDDEN",
    [NET_ERROR_GONE] = "GONE",           [NET_ERROR_BUSY] = "BUSY",
    [NET_ERROR_REFUSED] = "REFUSED",     [NET_ERROR_PROTOCOL] = "PROTOCOL",
    [NET_ERROR_LIMIT] = "LIMIT",         [NET_ERROR_UNSUPPORTED] = "UNSUPPORTED",
    [NET_ERROR_CANCELLED] = "CANCELLED",
};

// The letter of one `do send` line.
typedef struct {
  SenderLetter letter;
  GPtrArray *recipients;
  const char *text;
  size_t at, size;
  bool fails_read, fails_end;
  int ends;  // how often before_end was called
} Script;

// Gives the text in pieces that grow, so that every cut comes up.
static ssize_t read_text(void *buffer, size_t size, gpointer data, GError **error) {
  Script *script = data;
  if (script->fails_read && script->at > 0) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "disk error");
    return -1;
  }
  g_assert_cmpint(script->ends, ==, 0);
  size_t count = MIN(MIN(size, script->at / 2 + 1), script->size - script->at);
  memcpy(buffer, script->text + script->at, count);
  script->at += count;
  return (ssize_t)count;
}

static bool before_end(gpointer data, GError **error) {
  Script *script = data;
  script->ends++;
  if (script->fails_end) g_set_error_literal(error, NET_ERROR, NET_ERROR_CANCELLED, "given up");
  return !script->fails_end;
}

static void script_init(Script *script, const char *text, size_t size) {
  *script =
      (Script){.recipients = g_ptr_array_new_with_free_func(g_free), .text = text, .size = size};
  script->letter = (SenderLetter){.from = NULL,
                                  .size_bytes = size,
                                  .read = read_text,
                                  .before_end = before_end,
                                  .data = script};
}

static void script_finish(Script *script) {
  g_ptr_array_add(script->recipients, NULL);
  script->letter.recipients = (const char *const *)script->recipients->pdata + 1;
  script->letter.from = g_ptr_array_index(script->recipients, 0);
}

// `send <from> <to> <to> 8bit utf8 size=N fail-read fail-before-end`
static void script_parse(Script *script, const char *line) {
  script_init(script, letter_text, strlen(letter_text));
  g_auto(GStrv) words = g_strsplit(line, " ", -1);
  g_assert_cmpstr(words[0], ==, "send");
  for (char **word = words + 1; *word != NULL; word++) {
    if (**word == '<')
      g_ptr_array_add(script->recipients, g_strndup(*word + 1, strlen(*word) - 2));
    else if (strcmp(*word, "8bit") == 0)
      script->letter.has_8bit = true;
    else if (strcmp(*word, "utf8") == 0)
      script->letter.needs_utf8 = true;
    else if (g_str_has_prefix(*word, "size="))
      script->letter.size_bytes = g_ascii_strtoull(*word + 5, NULL, 10);
    else if (strcmp(*word, "fail-read") == 0)
      script->fails_read = true;
    else if (strcmp(*word, "fail-before-end") == 0)
      script->fails_end = true;
    else
      g_error("not a word of a letter: %s", *word);
  }
  script_finish(script);
}

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

static void send_one(Sender *sender, const char *line, GString *seen) {
  Script script;
  script_parse(&script, line);
  size_t count = script.recipients->len - 2;
  g_autofree SenderOutcome *outcomes = g_new0(SenderOutcome, count);
  g_autoptr(GError) error = NULL;
  bool was_over = sender->is_over;
  bool is_answered = sender_send(sender, &script.letter, outcomes, &error);
  g_assert_true(is_answered == (error == NULL));
  g_assert_cmpint(script.ends, <=, 1);
  note_outcomes(seen, outcomes, count, error);
  if (sender->is_over && !was_over) g_string_append(seen, "over\n");
  g_ptr_array_unref(script.recipients);
}

static void replay(const char *path, WireScriptCut cut, unsigned seed) {
  g_auto(GStrv) letters = wire_script_lines(path, "do ");
  g_auto(GStrv) expected_lines = wire_script_lines(path, "E: ");
  g_autofree char *expected = g_strjoinv("\n", expected_lines);
  g_autoptr(GString) seen = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(Sender) sender = smtp_sender_new(wire_script_new(path, cut, seed), "smtp1", &error);
  if (sender == NULL) note_outcomes(seen, NULL, 0, error);
  for (char **line = letters; sender != NULL && *line != NULL; line++)
    send_one(sender, *line, seen);
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
  g_autoptr(Sender) sender = smtp_sender_new(wire, "smtp1", NULL);
  Script script;
  script_init(&script, letter_text, strlen(letter_text));
  g_ptr_array_add(script.recipients, g_strdup(bad_envelopes[row].from));
  g_ptr_array_add(script.recipients, g_strdup(bad_envelopes[row].to));
  script_finish(&script);
  script.letter.needs_utf8 = bad_envelopes[row].utf8;
  SenderOutcome outcome = {0};
  g_autoptr(GError) error = NULL;
  g_assert_false(sender_send(sender, &script.letter, &outcome, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_false(sender->is_over);
  g_ptr_array_unref(script.recipients);
}

// A letter of many blocks arrives whole, and before_end is called once, after all was read.
static void test_large(void) {
  g_autoptr(GString) text = g_string_new("Subject: large\r\n\r\n");
  while (text->len < 200000)
    g_string_append(text, "A line of text that is repeated.\r\n");
  g_autofree char *transcript = g_strconcat(
      "C: EHLO localhost\nS: 250 mail.example.org\nC: MAIL FROM:<alice@example.org>\nS: 250 Ok\n"
      "C: RCPT TO:<bob@example.org>\nS: 250 Ok\nC: DATA\nS: 354 Go\nC= ",
      NULL);
  g_autoptr(GString) whole = g_string_new(transcript);
  for (size_t i = 0; i < text->len; i++) {
    if (text->str[i] == '\r')
      g_string_append(whole, "\\x0d");
    else if (text->str[i] == '\n')
      g_string_append(whole, "\\x0a");
    else
      g_string_append_c(whole, text->str[i]);
  }
  g_string_append(whole, "\nC: .\nS: 250 Ok\nC: QUIT\nS: 221 Bye\n");
  Script script;
  script_init(&script, text->str, text->len);
  g_ptr_array_add(script.recipients, g_strdup("alice@example.org"));
  g_ptr_array_add(script.recipients, g_strdup("bob@example.org"));
  script_finish(&script);
  g_autoptr(Sender) sender =
      smtp_sender_new(wire_script_new(whole->str, WIRE_SCRIPT_WHOLE, 0), "smtp1", NULL);
  SenderOutcome outcome = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(sender_send(sender, &script.letter, &outcome, &error));
  g_assert_cmpint(script.ends, ==, 1);
  g_assert_cmpint(outcome.verdict, ==, SENDER_ACCEPTED);
  g_free(outcome.reply);
  g_ptr_array_unref(script.recipients);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  add_transcripts();
  for (size_t i = 0; i < G_N_ELEMENTS(bad_envelopes); i++) {
    g_autofree char *path = g_strconcat("/smtp/bad-envelope/", bad_envelopes[i].name, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad_envelope);
  }
  g_test_add_func("/smtp/large", test_large);
  return g_test_run();
}
