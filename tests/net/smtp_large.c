// Claim: letters of many blocks and envelopes of many recipients arrive whole, in pieces that fit;
// a letter that is not what it was said to be is never ended.
#include <string.h>

#include "net/error.h"
#include "net/smtp.h"
#include "tests/net/smtp_script.h"
#include "tests/net/wire_script.h"

// A text of whole lines, long ones (the script compares line by line), and in between a lone dot.
static GString *make_text(size_t size) {
  g_autofree char *line = g_strnfill(990, 'x');
  GString *text = g_string_sized_new(size);
  while (text->len < size)
    g_string_append_printf(text, "%s\r\n.\r\n", line);
  g_string_truncate(text, size - 2);
  if (text->str[text->len - 1] == '\r') text->str[text->len - 1] = '.';
  return g_string_append(text, "\r\n");
}

// Appends `size` bytes of a letter as lines of a transcript.
static void expect_bytes(GString *transcript, const char *bytes, size_t size, bool stuffed) {
  const char *end = bytes + size;
  if (*bytes == '\n') {
    g_string_append(transcript, "C= \\x0a\n");
    bytes++;
  }
  while (bytes < end) {
    const char *lf = memchr(bytes, '\n', (size_t)(end - bytes));
    const char *next = lf != NULL ? lf + 1 : end;
    const char *stop = lf != NULL ? lf - 1 : end;
    g_string_append(transcript, lf != NULL ? "C: " : "C= ");
    if (stuffed && *bytes == '.') g_string_append_c(transcript, '.');
    g_string_append_len(transcript, bytes, stop - bytes);
    g_string_append_c(transcript, '\n');
    bytes = next;
  }
}

static GString *expect_hello(const char *extensions) {
  GString *transcript = g_string_new("C: EHLO localhost\nS: 250-mail.example.org\n");
  g_auto(GStrv) words = g_strsplit(extensions, " ", -1);
  for (char **word = words; *word != NULL; word++)
    g_string_append_printf(transcript, "S: 250-%s\n", *word);
  return g_string_append(transcript, "S: 250 HELP\n");
}

typedef struct {
  Script script;
  Sender *sender;
  SenderOutcome *outcomes;
  size_t count;
  GError *error;
} Large;

// One letter from alice to `count` recipients, bob and u1, u2, ...
static void large_begin(Large *large, const GString *text, size_t count) {
  *large = (Large){.outcomes = g_new0(SenderOutcome, count), .count = count};
  script_init(&large->script, text->str, text->len);
  g_ptr_array_add(large->script.recipients, g_strdup("alice@example.org"));
  for (size_t i = 0; i < count; i++)
    g_ptr_array_add(large->script.recipients,
                    i == 0 ? g_strdup("bob@example.org") : g_strdup_printf("u%zu@example.org", i));
  script_finish(&large->script);
}

// Makes a recipient's address (the first is 1) that long, with letters in front; the letter's.
static const char *large_widen(Large *large, size_t recipient, size_t width) {
  char **address = (char **)&g_ptr_array_index(large->script.recipients, recipient);
  size_t length = strlen(*address);
  g_autofree char *filler = g_strnfill(width > length ? width - length : 0, 'x');
  g_autofree char *old = *address;
  *address = g_strconcat(filler, old, NULL);
  return *address;
}

static bool large_send(Large *large, const GString *transcript) {
  Wire *wire = wire_script_new(transcript->str, WIRE_SCRIPT_WHOLE, 0);
  large->sender = smtp_sender_new(wire, 60000, "smtp1", &large->error);
  g_assert_no_error(large->error);
  return sender_send(large->sender, &large->script.letter, large->outcomes, &large->error);
}

static void large_end(Large *large) {
  for (size_t i = 0; i < large->count; i++)
    g_free(large->outcomes[i].reply);
  g_free(large->outcomes);
  g_clear_error(&large->error);
  sender_free(large->sender);
  script_clear(&large->script);
}

#define ENVELOPE "C: MAIL FROM:<alice@example.org>\nC: RCPT TO:<bob@example.org>\n"
#define TAKEN "S: 250 Ok\nS: 250 Ok\n"
#define GOODBYE "C: QUIT\nS: 221 Bye\n"
#define LARGE_BYTES 200001
#define CHUNK_BYTES 1048576

static void assert_taken(Large *large, const GString *transcript) {
  g_assert_true(large_send(large, transcript));
  g_assert_cmpint(large->script.ends, ==, 1);
  g_assert_false(large->sender->is_over);
  for (size_t i = 0; i < large->count; i++)
    g_assert_cmpint(large->outcomes[i].verdict, ==, SENDER_ACCEPTED);
}

// A letter of many blocks arrives whole, and before_end is called once, after all was read.
static void test_large(void) {
  g_autoptr(GString) text = make_text(LARGE_BYTES);
  g_autoptr(GString) transcript = expect_hello("PIPELINING");
  g_string_append(transcript, ENVELOPE "C: DATA\n" TAKEN "S: 354 Go\n");
  expect_bytes(transcript, text->str, text->len, true);
  g_string_append(transcript, "C: .\nS: 250 Ok\n" GOODBYE);
  Large large;
  large_begin(&large, text, 1);
  assert_taken(&large, transcript);
  large_end(&large);
}

static const size_t chunk_sizes[] = {
    32769,       65536,           LARGE_BYTES,     CHUNK_BYTES - 1,
    CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 100000,
};

// With CHUNKING it goes by the megabyte, whether it fills its last chunk and block or not.
static void test_chunks(gconstpointer data) {
  size_t size = GPOINTER_TO_SIZE(data);
  g_autoptr(GString) text = make_text(size);
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  g_string_append(transcript, ENVELOPE TAKEN);
  for (size_t at = 0; at < size; at += CHUNK_BYTES) {
    size_t chunk = MIN(size - at, CHUNK_BYTES);
    g_string_append_printf(transcript, "C: BDAT %zu%s\n", chunk, at + chunk == size ? " LAST" : "");
    expect_bytes(transcript, text->str + at, chunk, false);
    g_string_append(transcript, "S: 250 Ok\n");
  }
  g_string_append(transcript, GOODBYE);
  Large large;
  large_begin(&large, text, 1);
  assert_taken(&large, transcript);
  large_end(&large);
}

// A small letter is not put behind it: the answer to so much may take long, and what is on the wire
// whole cannot go by another connection meanwhile.
static void test_nothing_behind_chunks(void) {
  g_autoptr(GString) text = make_text(LARGE_BYTES);
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  g_string_append_printf(transcript, ENVELOPE TAKEN "C: BDAT %d LAST\n", LARGE_BYTES);
  expect_bytes(transcript, text->str, text->len, false);
  g_string_append(transcript, "S: 250 Ok\n" GOODBYE);
  Large large;
  large_begin(&large, text, 1);
  Script next;
  script_parse(&next, "send <alice@example.org> <bob@example.org>");
  script_set_next(&large.script, &next);
  assert_taken(&large, transcript);
  g_assert_false(next.is_given);
  large_end(&large);
  script_clear(&next);
}

// A refused chunk is the verdict, and the last one: nothing more of the letter is sent, before_end
// not called.
static void test_chunk_refused(void) {
  g_autoptr(GString) text = make_text(2 * CHUNK_BYTES);
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  g_string_append(transcript, ENVELOPE TAKEN "C: BDAT 1048576\n");
  expect_bytes(transcript, text->str, CHUNK_BYTES, false);
  g_string_append(transcript, "S: 552 5.3.4 too much\nC: RSET\nS: 250 Ok\n" GOODBYE);
  Large large;
  large_begin(&large, text, 1);
  g_assert_true(large_send(&large, transcript));
  g_assert_cmpint(large.script.ends, ==, 0);
  g_assert_cmpint(large.outcomes[0].verdict, ==, SENDER_PERMANENT);
  g_assert_false(large.sender->is_over);
  large_end(&large);
}

typedef struct {
  const char *name;
  size_t size;      // of the text
  size_t promised;  // as size_bytes
  size_t sent;      // bytes that still go out
  bool fails_end;
  int code;
} HalfLetter;

static const HalfLetter half_letters[] = {
    {"longer", LARGE_BYTES, LARGE_BYTES - 1, 196608, false, NET_ERROR_REFUSED},
    {"shorter", LARGE_BYTES, LARGE_BYTES + 1, 196608, false, NET_ERROR_REFUSED},
    {"shorter-by-blocks", LARGE_BYTES, LARGE_BYTES + 100000, 196608, false, NET_ERROR_REFUSED},
    {"longer-by-blocks", LARGE_BYTES, 98304, 65536, false, NET_ERROR_REFUSED},
    {"given-up", LARGE_BYTES, LARGE_BYTES, 196608, true, NET_ERROR_CANCELLED},
};

// A letter in chunks whose end does not come as announced is never ended: the connection closes.
static void test_half_letter(gconstpointer data) {
  const HalfLetter *row = data;
  g_autoptr(GString) text = make_text(row->size);
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  g_string_append_printf(transcript, ENVELOPE TAKEN "C: BDAT %zu LAST\n", row->promised);
  expect_bytes(transcript, text->str, row->sent, false);
  Large large;
  large_begin(&large, text, 1);
  large.script.letter.size_bytes = row->promised;
  large.script.fails_end = row->fails_end;
  g_assert_false(large_send(&large, transcript));
  g_assert_true(g_error_matches(large.error, NET_ERROR, row->code));
  g_assert_true(large.sender->is_over);
  large_end(&large);
}

// So is one with a line break that only stuffing would mend, wherever it stands.
static void test_lone_break_in_chunks(void) {
  g_autoptr(GString) text = make_text(LARGE_BYTES);
  text->str[100000] = '\n';
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  g_string_append_printf(transcript, ENVELOPE TAKEN "C: BDAT %d LAST\n", LARGE_BYTES);
  expect_bytes(transcript, text->str, 2 * 32768, false);
  Large large;
  large_begin(&large, text, 1);
  g_assert_false(large_send(&large, transcript));
  g_assert_error(large.error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_true(large.sender->is_over);
  g_assert_cmpint(large.script.ends, ==, 0);
  large_end(&large);
}

// Many recipients go in flights of 100 commands or 16 KB, each answered before the next: more might
// fill the buffers of both sides, and each would wait for the other to read.
static void test_many_recipients(gconstpointer data) {
  size_t width = GPOINTER_TO_SIZE(data);
  unsigned count = width > 0 ? 1000 : 5000;
  g_autoptr(GString) text = g_string_new("Hello.\r\n");
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  Large large;
  large_begin(&large, text, count);
  size_t ahead = 0, bytes = 0;
  for (unsigned command = 0; command < count + 2; command++) {
    size_t before = transcript->len;
    if (command == 0)
      g_string_append(transcript, "C: MAIL FROM:<alice@example.org>\n");
    else if (command <= count)
      g_string_append_printf(transcript, "C: RCPT TO:<%s>\n", large_widen(&large, command, width));
    else
      g_string_append(transcript, "C: BDAT 8 LAST\nC: Hello.\n");
    bytes += transcript->len - before - strlen("C: ") + strlen("\r");
    ahead++;
    if (ahead < 100 && bytes < 16384 && command < count + 1) continue;
    for (; ahead > 0; ahead--)
      g_string_append(transcript, "S: 250 Ok\n");
    bytes = 0;
  }
  g_string_append(transcript, GOODBYE);
  assert_taken(&large, transcript);
  large_end(&large);
}

// A connection that breaks under a letter leaves it in doubt, though the one before it was refused:
// that is behind them both.
static void test_lost_behind_refused(void) {
  g_autoptr(GString) text = g_string_new("Hello.\r\n");
  g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
  Large large;
  large_begin(&large, text, 150);
  g_string_append(transcript, "C: MAIL FROM:<alice@example.org>\n");
  for (unsigned i = 1; i < 100; i++)
    g_string_append_printf(transcript, "C: RCPT TO:<%s>\n", large_widen(&large, i, 0));
  for (unsigned i = 0; i < 100; i++)
    g_string_append(transcript, i == 0 ? "S: 550 not you\n" : "S: 503 no MAIL\n");
  g_string_append(transcript, ENVELOPE "C: BDAT 8 LAST\nC: Hello.\nS! reset\n");
  g_assert_true(large_send(&large, transcript));
  Large lost;
  large_begin(&lost, text, 1);
  g_assert_false(sender_send(large.sender, &lost.script.letter, lost.outcomes, &lost.error));
  g_assert_error(lost.error, NET_ERROR, NET_ERROR_OFFLINE);
  g_assert_cmpint(lost.script.ends, ==, 1);
  g_assert_false(lost.script.is_untaken);
  large_end(&large);
  large_end(&lost);
}

static void test_bad_envid(void) {
  g_autoptr(GString) text = g_string_new("Hello.\r\n");
  g_autofree char *longest = g_strnfill(33, '+');
  g_autofree char *too_long = g_strnfill(34, '+');
  const char *const bad[] = {"", "a\r\nRCPT", "\303\266", too_long};
  for (size_t i = 0; i <= G_N_ELEMENTS(bad); i++) {
    bool is_good = i == G_N_ELEMENTS(bad);
    g_autoptr(GString) transcript = expect_hello("PIPELINING CHUNKING");
    if (is_good)
      g_string_append(transcript, ENVELOPE "C: BDAT 8 LAST\nC: Hello.\n" TAKEN "S: 250 Ok\n");
    g_string_append(transcript, GOODBYE);
    Large large;
    large_begin(&large, text, 1);
    large.script.letter.envid = is_good ? longest : bad[i];
    g_assert_true(large_send(&large, transcript) == is_good);
    if (!is_good) g_assert_error(large.error, NET_ERROR, NET_ERROR_REFUSED);
    large_end(&large);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/smtp-large/large", test_large);
  for (size_t i = 0; i < G_N_ELEMENTS(chunk_sizes); i++) {
    g_autofree char *path = g_strdup_printf("/smtp-large/chunks/%zu", chunk_sizes[i]);
    g_test_add_data_func(path, GSIZE_TO_POINTER(chunk_sizes[i]), test_chunks);
  }
  g_test_add_func("/smtp-large/nothing-behind-chunks", test_nothing_behind_chunks);
  g_test_add_func("/smtp-large/chunk-refused", test_chunk_refused);
  for (size_t i = 0; i < G_N_ELEMENTS(half_letters); i++) {
    g_autofree char *path = g_strconcat("/smtp-large/half-letter/", half_letters[i].name, NULL);
    g_test_add_data_func(path, &half_letters[i], test_half_letter);
  }
  g_test_add_func("/smtp-large/lone-break-in-chunks", test_lone_break_in_chunks);
  g_test_add_data_func("/smtp-large/many-recipients/short", GSIZE_TO_POINTER(0),
                       test_many_recipients);
  g_test_add_data_func("/smtp-large/many-recipients/long", GSIZE_TO_POINTER(480),
                       test_many_recipients);
  g_test_add_func("/smtp-large/lost-behind-refused", test_lost_behind_refused);
  g_test_add_func("/smtp-large/bad-envid", test_bad_envid);
  return g_test_run();
}
