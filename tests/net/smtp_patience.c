// Claim: what the server does is waited for as long as RFC 5321 4.5.3.2 wants: five minutes for
// EHLO, MAIL and RCPT, two for DATA, three for the letter's bytes and for a chunk, ten for the
// answer to the whole letter; longer where the account's time-out is longer; a second for QUIT. A
// server that took more than three seconds for the last letter is given one at a time.
#include <string.h>

#include "net/error.h"
#include "net/smtp.h"
#include "tests/net/smtp_script.h"

// A server that answers all at once and kindly, and notes how long it would have had.
typedef struct {
  Wire wire;
  const char *hello;
  GString *heard, *said;
  gsize chunk_left;  // bytes of a chunk still to come
  bool in_letter;
  const char *step;  // what is answered next
  GString *asked;    // "STEP SECONDS\n" for each step that was waited for
  unsigned slow_ms;  // the next letter's answer takes that long, once
} KindWire;

static void answer(KindWire *kind, const char *step, const char *reply) {
  kind->step = step;
  g_string_append(kind->said, reply);
}

static void take_command(KindWire *kind, const char *line) {
  static const char *const steps[] = {"EHLO", "MAIL", "RCPT", "DATA", "QUIT", "RSET", "BDAT"};
  unsigned i = 0;
  while (i < G_N_ELEMENTS(steps) && !g_str_has_prefix(line, steps[i]))
    i++;
  g_assert_cmpuint(i, <, G_N_ELEMENTS(steps));
  if (strcmp(steps[i], "BDAT") == 0) {
    kind->chunk_left = g_ascii_strtoull(line + 5, NULL, 10);
    kind->step = strstr(line, " LAST") != NULL ? "last chunk" : "chunk";
    return;
  }
  kind->in_letter = strcmp(steps[i], "DATA") == 0;
  answer(kind, steps[i], i == 0 ? kind->hello : kind->in_letter ? "354 go on\r\n" : "250 ok\r\n");
}

static void take_chunk(KindWire *kind) {
  gsize part = MIN(kind->chunk_left, kind->heard->len);
  g_string_erase(kind->heard, 0, (gssize)part);
  kind->chunk_left -= part;
  if (kind->chunk_left == 0) answer(kind, kind->step, "250 ok\r\n");
}

static void take_line(KindWire *kind, const char *line) {
  if (kind->in_letter && strcmp(line, ".") != 0) return;
  if (!kind->in_letter) {
    take_command(kind, line);
    return;
  }
  kind->in_letter = false;
  answer(kind, "dot", "250 taken\r\n");
}

static bool kind_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  KindWire *kind = (KindWire *)wire;
  g_string_append_len(kind->heard, bytes, (gssize)size);
  const char *end;
  while (kind->heard->len > 0) {
    if (kind->chunk_left > 0) {
      take_chunk(kind);
      continue;
    }
    end = strstr(kind->heard->str, "\r\n");
    if (end == NULL) break;
    g_autofree char *line = g_strndup(kind->heard->str, (gsize)(end - kind->heard->str));
    g_string_erase(kind->heard, 0, (gssize)strlen(line) + 2);
    take_line(kind, line);
  }
  return true;
}

// To wait for 0 ms is only to look.
static WireWait kind_wait(Wire *wire, int timeout_ms, GError **error) {
  KindWire *kind = (KindWire *)wire;
  if (timeout_ms == 0) return kind->said->len > 0 ? WIRE_READY : WIRE_EXPIRED;
  g_assert_cmpuint(kind->said->len, >, 0);
  g_string_append_printf(kind->asked, "%s %d\n", kind->step, (timeout_ms + 999) / 1000);
  return WIRE_READY;
}

static ssize_t kind_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  KindWire *kind = (KindWire *)wire;
  gsize part = MIN(size, kind->said->len);
  g_assert_cmpuint(part, >, 0);
  if (strcmp(kind->step, "last chunk") == 0) {
    g_usleep(kind->slow_ms * 1000UL);
    kind->slow_ms = 0;
  }
  memcpy(buffer, kind->said->str, part);
  g_string_erase(kind->said, 0, (gssize)part);
  return (ssize_t)part;
}

static void kind_be_patient(Wire *wire, unsigned timeout_ms) {
  g_string_append_printf(((KindWire *)wire)->asked, "bytes %u\n", timeout_ms / 1000);
}

static void kind_free(Wire *wire) {
  KindWire *kind = (KindWire *)wire;
  g_string_free(kind->heard, TRUE);
  g_string_free(kind->said, TRUE);
  g_free(kind);
}

static Wire *kind_wire_new(const char *hello, GString *asked) {
  static const WireOps ops = {.recv = kind_recv,
                              .send = kind_send,
                              .wait = kind_wait,
                              .free = kind_free,
                              .be_patient = kind_be_patient};
  KindWire *kind = g_new0(KindWire, 1);
  kind->wire.ops = &ops;
  kind->hello = hello;
  kind->heard = g_string_new(NULL);
  kind->said = g_string_new(NULL);
  kind->asked = asked;
  return &kind->wire;
}

typedef struct {
  const char *path, *hello;
  unsigned timeout_ms, lines;
  const char *asked;
} Row;

static const Row rows[] = {
    {"/smtp/patience/data", "250 here\r\n", 60000, 1,
     "bytes 180\nEHLO 300\nMAIL 300\nRCPT 300\nDATA 120\ndot 600\nQUIT 1\n"},
    {"/smtp/patience/chunk", "250-here\r\n250 CHUNKING\r\n", 60000, 1,
     "bytes 180\nEHLO 300\nMAIL 300\nRCPT 300\nlast chunk 600\nQUIT 1\n"},
    {"/smtp/patience/chunks", "250-here\r\n250 CHUNKING\r\n", 60000, 50000,
     "bytes 180\nEHLO 300\nMAIL 300\nRCPT 300\nchunk 180\nlast chunk 600\nQUIT 1\n"},
    {"/smtp/patience/longer", "250 here\r\n", 900000, 1,
     "bytes 180\nEHLO 900\nMAIL 900\nRCPT 900\nDATA 900\ndot 900\nQUIT 1\n"},
};

// Of the same step in a row one is enough.
static char *fold(const GString *asked) {
  g_auto(GStrv) lines = g_strsplit(asked->str, "\n", -1);
  GString *folded = g_string_new(NULL);
  for (char **line = lines; **line != '\0'; line++)
    if (line == lines || strcmp(line[0], line[-1]) != 0)
      g_string_append_printf(folded, "%s\n", *line);
  return g_string_free(folded, FALSE);
}

static void test_row(gconstpointer data) {
  const Row *row = data;
  g_autoptr(GString) text = g_string_new("Subject: patience\r\n\r\n");
  for (unsigned i = 0; i < row->lines; i++)
    g_string_append(text, "one line of a letter\r\n");
  Script script;
  script_init(&script, text->str, text->len);
  g_ptr_array_add(script.recipients, g_strdup("alice@example.org"));
  g_ptr_array_add(script.recipients, g_strdup("bob@example.org"));
  script_finish(&script);
  g_autoptr(GString) asked = g_string_new(NULL);
  g_autoptr(GError) error = NULL;
  Sender *sender =
      smtp_sender_new(kind_wire_new(row->hello, asked), row->timeout_ms, "smtp1", &error);
  g_assert_no_error(error);
  SenderOutcome outcome = {0};
  g_assert_true(sender_send(sender, &script.letter, &outcome, &error));
  g_assert_no_error(error);
  g_assert_cmpint(outcome.verdict, ==, SENDER_ACCEPTED);
  g_free(outcome.reply);
  sender_free(sender);
  script_clear(&script);
  g_autofree char *folded = fold(asked);
  g_assert_cmpstr(folded, ==, row->asked);
}

static void send_quickly(Sender *sender, Script *script) {
  SenderOutcome outcome = {0};
  g_autoptr(GError) error = NULL;
  g_assert_true(sender_send(sender, &script->letter, &outcome, &error));
  g_assert_no_error(error);
  g_free(outcome.reply);
}

static void test_slow(void) {
  g_autoptr(GString) asked = g_string_new(NULL);
  Wire *wire = kind_wire_new("250-here\r\n250-PIPELINING\r\n250 CHUNKING\r\n", asked);
  g_autoptr(Sender) sender = smtp_sender_new(wire, 60000, "smtp1", NULL);
  Script letters[5];
  for (size_t i = 0; i < G_N_ELEMENTS(letters); i++)
    script_parse(&letters[i], "send <alice@example.org> <bob@example.org>");
  for (size_t i = 0; i + 1 < G_N_ELEMENTS(letters); i++)
    script_set_next(&letters[i], &letters[i + 1]);
  ((KindWire *)wire)->slow_ms = 3100;
  for (size_t i = 0; i < G_N_ELEMENTS(letters); i++)
    send_quickly(sender, &letters[i]);
  static const bool were_ahead[] = {false, false, false, true, true};
  for (size_t i = 0; i < G_N_ELEMENTS(letters); i++) {
    g_assert_true(letters[i].is_given == were_ahead[i]);
    script_clear(&letters[i]);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_test_add_data_func(rows[i].path, &rows[i], test_row);
  g_test_add_func("/smtp/patience/slow", test_slow);
  return g_test_run();
}
