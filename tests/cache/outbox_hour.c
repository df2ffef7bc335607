// Claim: whatever a server does for an hour, afterwards every letter was delivered once to each of
// its recipients, or lies in failed/ with the reason. Only a letter whose final dot was taken and
// not answered may come twice, and then under the same Message-ID. What was removed is not sent any
// more, and no Bcc is on the wire.
//
// The server is tests/lab/smtp_stub.py, told how to fail; the whole of net/ talks to it. The hour
// is simulated: time stands still while anything is under way.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/outbox_private.h"
#include "outbox_fixture.h"

#define SECOND_US G_USEC_PER_SEC
#define STEP_S 20
#define HOUR_S 3600
// The longest wait is an hour, and the last failure may have begun one.
#define PATIENCE_S (3 * HOUR_S)
#define LETTERS_MAX 64
#define RECIPIENTS_MAX 3

typedef struct {
  char *name;
  unsigned recipients;
  unsigned taken_at_end;  // how many letters the server had taken when this one was cancelled
  bool is_cancelled;
} Dropped;

typedef struct {
  Fixture fixture;
  GPid stub;
  int to_stub;
  FILE *from_stub;
  GRand *random;
  int64_t now_us;
  Dropped letters[LETTERS_MAX];
  unsigned count;
} Hour;

// What the server took.
typedef struct {
  bool is_told, has_bcc;
  char *message_id, *subject;
  char **recipients;
} Taken;

static void taken_free(gpointer item) {
  Taken *taken = item;
  g_free(taken->message_id);
  g_free(taken->subject);
  g_strfreev(taken->recipients);
  g_free(taken);
}

// -- The server.

static char *read_line(Hour *hour) {
  char line[4096];
  if (fgets(line, sizeof line, hour->from_stub) == NULL) g_error("the server ended");
  return g_strndup(line, strcspn(line, "\n"));
}

// Its answer's lines.
static GPtrArray *ask_stub(Hour *hour, const char *command) {
  g_autofree char *line = g_strconcat(command, "\n", NULL);
  g_assert_cmpint(write(hour->to_stub, line, strlen(line)), ==, (ssize_t)strlen(line));
  GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
  char *answer;
  while (strcmp(answer = read_line(hour), ".") != 0)
    g_ptr_array_add(lines, answer);
  g_free(answer);
  return lines;
}

static void fail_by(Hour *hour, const char *words) {
  g_autofree char *command = g_strconcat("fail ", words, NULL);
  g_ptr_array_unref(ask_stub(hour, command));
}

static Taken *parse_taken(const char *line) {
  g_auto(GStrv) fields = g_strsplit(line, "\t", -1);
  g_assert_cmpuint(g_strv_length(fields), ==, 6);
  Taken *taken = g_new0(Taken, 1);
  taken->is_told = strcmp(fields[0], "told") == 0;
  taken->message_id = g_strdup(fields[1]);
  taken->subject = g_strdup(fields[2]);
  taken->recipients = g_strsplit(fields[3], ",", -1);
  taken->has_bcc = strcmp(fields[4], "bcc") == 0;
  return taken;
}

static GPtrArray *taken_letters(Hour *hour) {
  g_autoptr(GPtrArray) lines = ask_stub(hour, "letters");
  GPtrArray *letters = g_ptr_array_new_with_free_func(taken_free);
  for (unsigned i = 0; i < lines->len; i++)
    g_ptr_array_add(letters, parse_taken(g_ptr_array_index(lines, i)));
  return letters;
}

static unsigned start_stub(Hour *hour, unsigned seed) {
  g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "lab", "smtp_stub.py", NULL);
  g_autofree char *number = g_strdup_printf("%u", seed);
  char *command[] = {(char *)"python3", path, (char *)"--seed", number, (char *)"--stall",
                     (char *)"0.25",    NULL};
  g_autoptr(GError) error = NULL;
  int out;
  g_spawn_async_with_pipes(NULL, command, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                           NULL, NULL, &hour->stub, &hour->to_stub, &out, NULL, &error);
  g_assert_no_error(error);
  hour->from_stub = fdopen(out, "r");
  g_autofree char *line = read_line(hour);
  unsigned port = 0;
  g_assert_cmpint(sscanf(line, "port %u", &port), ==, 1);
  return port;
}

static void stop_stub(Hour *hour) {
  close(hour->to_stub);
  fclose(hour->from_stub);
  g_assert_cmpint(waitpid(hour->stub, NULL, 0), ==, hour->stub);
}

// -- The hour.

static int64_t now_us(gpointer data) {
  return ((const Hour *)data)->now_us;
}

static void begin(Hour *hour, unsigned seed, unsigned timeout_ms) {
  *hour = (Hour){.random = g_rand_new_with_seed(seed), .now_us = g_get_real_time()};
  Fixture *fixture = &hour->fixture;
  fixture_set_up_closed(fixture, NULL);
  g_autofree char *url = g_strdup_printf("smtp://me@localhost:%u", start_stub(hour, seed));
  g_autoptr(GError) error = NULL;
  account_free(fixture->account);
  fixture->account = account_new_from_url(url, &error);
  g_assert_no_error(error);
  fixture->account->tls_off = true;
  fixture->account->timeout_ms = timeout_ms;
  fixture->account->secret = secret_new_from_value(SECRET_PASSWORD, "open sesame");
  fixture->options.smtp = fixture->account;
  fixture->options.open_sender = sender_open;
  fixture->options.retry_ms = 0;
  fixture->options.send_delay_ms = 2000;
  fixture->options.now_us = now_us;
  fixture->options.data = hour;
  fixture_open(fixture);
}

static void end(Hour *hour) {
  fixture_tear_down(&hour->fixture, NULL);
  stop_stub(hour);
  g_rand_free(hour->random);
  for (unsigned i = 0; i < hour->count; i++)
    g_free(hour->letters[i].name);
}

// Until nothing is with the courier, on its way to the disk, or due.
static void settle(Hour *hour) {
  Outbox *outbox = hour->fixture.outbox;
  do {
    outbox_run_agenda(outbox);
    while (outbox->under_way->len > 0)
      g_main_context_iteration(hour->fixture.context, true);
    fixture_wait_disk(&hour->fixture);
  } while (outbox->under_way->len > 0);
}

static void pass(Hour *hour, unsigned seconds) {
  hour->now_us += seconds * (int64_t)SECOND_US;
  settle(hour);
}

static const char *const headers[] = {"To", "Cc", "Bcc"};

static char *address_of(unsigned letter, unsigned recipient) {
  return g_strdup_printf("r%u-%u@example.org", letter, recipient);
}

static void drop_letter(Hour *hour, bool has_8bit, unsigned body_bytes) {
  unsigned number = hour->count++;
  Dropped *letter = &hour->letters[number];
  letter->name = g_strdup_printf("letter-%u", number);
  letter->recipients = (unsigned)g_rand_int_range(hour->random, 1, RECIPIENTS_MAX + 1);
  g_autoptr(GString) text = g_string_new(NULL);
  for (unsigned i = 0; i < letter->recipients; i++) {
    g_autofree char *address = address_of(number, i);
    g_string_append_printf(text, "%s: %s\n", headers[i], address);
  }
  g_string_append_printf(text, "Subject: %s\n\n%s\n.\n", letter->name, has_8bit ? "\xc3\xa9" : "e");
  for (unsigned i = 0; i < body_bytes / 64; i++)
    g_string_append(text, "...............................................................\n");
  // What the server takes may be known by now.
  int code = fixture_copy(&hour->fixture, letter->name, text->str);
  g_assert_true(code == 0 || (code == EMSGSIZE && body_bytes > 0));
}

// A letter that waits is removed; one that is not there any more cannot be.
static void cancel_letter(Hour *hour, unsigned number) {
  Dropped *letter = &hour->letters[number];
  int code = fixture_unlink(&hour->fixture, OUTBOX_INO, letter->name);
  if (code == ENOENT) return;
  g_assert_cmpint(code, ==, 0);
  g_autoptr(GPtrArray) taken = taken_letters(hour);
  letter->is_cancelled = true;
  letter->taken_at_end = taken->len;
}

static bool nothing_waits(Hour *hour) {
  return outbox_waiting(hour->fixture.outbox) == 0;
}

static void be_healthy(Hour *hour) {
  fail_by(hour, "");
  hour->fixture.account->timeout_ms = 10000;
  for (unsigned waited_s = 0; !nothing_waits(hour) && waited_s < PATIENCE_S; waited_s += STEP_S)
    pass(hour, STEP_S);
  g_autofree char *left = fixture_names(&hour->fixture, OUTBOX_INO);
  g_assert_cmpstr(left, ==, "");
}

// -- What must hold afterwards.

typedef struct {
  unsigned told, lost;  // how often a recipient's letter was taken
} Deliveries;

// Of one letter; also holds what is true of each letter that the server took.
static void count_deliveries(const GPtrArray *taken, const Dropped *letter, unsigned number,
                             Deliveries deliveries[RECIPIENTS_MAX]) {
  const char *message_id = NULL;
  for (unsigned i = 0; i < taken->len; i++) {
    const Taken *one = g_ptr_array_index(taken, i);
    g_assert_false(one->has_bcc);
    if (strcmp(one->subject, letter->name) != 0) continue;
    if (letter->is_cancelled) g_assert_cmpuint(i, <, letter->taken_at_end);
    if (message_id != NULL) g_assert_cmpstr(one->message_id, ==, message_id);
    message_id = one->message_id;
    g_assert_cmpstr(message_id, !=, "");
    for (unsigned j = 0; j < letter->recipients; j++) {
      g_autofree char *address = address_of(number, j);
      if (!g_strv_contains((const char *const *)one->recipients, address)) continue;
      // Whoever got it, and the client could know, does not get it again.
      g_assert_cmpuint(deliveries[j].told, ==, 0);
      *(one->is_told ? &deliveries[j].told : &deliveries[j].lost) += 1;
    }
  }
}

// The note tells why, and of each recipient that the server refused by itself.
static bool has_reason(Hour *hour, const Dropped *letter) {
  OutboxFile file;
  if (!outbox_lookup(hour->fixture.outbox, OUTBOX_FAILED_INO, letter->name, &file)) return false;
  g_autofree char *name = g_strconcat(letter->name, ".error", NULL);
  g_autofree char *note = fixture_read(&hour->fixture, OUTBOX_FAILED_INO, name);
  g_autofree char *reason = outbox_report_reason(note);
  if (reason == NULL || *reason == '\0') g_error("no reason in: %s", note);
  return true;
}

// Returns how many lie in failed/.
static unsigned check_letters(Hour *hour) {
  g_autoptr(GPtrArray) taken = taken_letters(hour);
  unsigned failed = 0;
  for (unsigned i = 0; i < hour->count; i++) {
    const Dropped *letter = &hour->letters[i];
    Deliveries deliveries[RECIPIENTS_MAX] = {0};
    count_deliveries(taken, letter, i, deliveries);
    bool in_failed = has_reason(hour, letter);
    failed += in_failed;
    if (in_failed) g_assert_false(letter->is_cancelled);
    for (unsigned j = 0; !in_failed && !letter->is_cancelled && j < letter->recipients; j++)
      if (deliveries[j].told != 1)
        g_error("%s, recipient %u: taken %u times, %u without an answer", letter->name, j,
                deliveries[j].told, deliveries[j].lost);
  }
  return failed;
}

// -- A server that fails in one way.

typedef struct {
  const char *name;
  const char *words;    // for the stub
  unsigned timeout_ms;  // 0: ample
  bool has_8bit;        // the letters
  unsigned body_bytes;
  uint64_t lifetime_s;  // 0: five days
  int failed;           // how many of the letters end in failed/: all, none, or 0 < some
} Way;

enum { NONE = 0, SOME = 1, ALL = 2 };

static const Way ways[] = {
    {"greeting 421", "greeting:421"},
    {"greeting 554", "greeting:554"},
    {"EHLO 421", "EHLO:421"},
    {"AUTH 421", "AUTH:421"},
    {"MAIL 421", "MAIL:421"},
    {"RCPT 421", "RCPT:421"},
    {"second RCPT 421", "RCPT2:421"},
    {"DATA 421", "DATA:421 BDAT:421"},
    {"final dot 421", "dot:421"},
    {"RSET 421", "RCPT:450 RSET:421"},
    {"MAIL 4xx", "MAIL:452"},
    {"RCPT 4xx", "RCPT:450"},
    {"DATA 4xx", "DATA:451 BDAT:451"},
    {"final dot 4xx", "dot:451"},
    {"greeting closes", "greeting:close"},
    {"EHLO closes", "EHLO:close"},
    {"AUTH closes", "AUTH:close"},
    {"MAIL closes", "MAIL:close"},
    {"RCPT closes", "RCPT:close"},
    {"second RCPT closes", "RCPT2:close"},
    {"DATA closes", "DATA:close BDAT:close"},
    {"final dot closes", "dot:close"},
    {"half an answer to MAIL", "MAIL:cut"},
    {"half an answer to RCPT", "RCPT:cut"},
    {"half an answer to the final dot", "dot:cut"},
    {"QUIT closes", "QUIT:close dot:450%30"},
    {"reply lost after the final dot", "dot:lose"},
    {"reply late and lost after the final dot", "dot:lose-late"},
    {"reply garbled after the final dot", "dot:lose-garble"},
    {"second of the recipients 4xx", "RCPT2:450"},
    {"second of the recipients 5xx", "RCPT2:550", .failed = SOME},
    {"second of the recipients 4xx, reply lost", "RCPT2:450 dot:lose%50"},
    {"MAIL 5xx", "MAIL:550/5.7.1", .failed = ALL},
    {"final dot 5xx", "dot:554/5.6.0", .failed = ALL},
    {"greeting stalls", "greeting:stall", .timeout_ms = 100},
    {"EHLO stalls", "EHLO:stall", .timeout_ms = 100},
    {"AUTH stalls", "AUTH:stall", .timeout_ms = 100},
    {"MAIL stalls", "MAIL:stall", .timeout_ms = 100},
    {"RCPT stalls", "RCPT:stall", .timeout_ms = 100},
    {"second RCPT stalls", "RCPT2:stall", .timeout_ms = 100},
    {"DATA stalls", "DATA:stall BDAT:stall", .timeout_ms = 100},
    {"final dot stalls", "dot:stall", .timeout_ms = 100},
    {"RSET stalls", "RCPT:450 RSET:stall", .timeout_ms = 100},
    {"no PIPELINING", "no:PIPELINING dot:451%50"},
    {"no CHUNKING", "no:CHUNKING dot:451%50", .has_8bit = true},
    {"no 8BITMIME", "no:8BITMIME no:SMTPUTF8", .has_8bit = true, .failed = ALL},
    {"no 8BITMIME needed", "no:8BITMIME no:SMTPUTF8"},
    {"no SIZE", "no:SIZE size:2000", .body_bytes = 4000, .failed = ALL},
    {"no ENHANCEDSTATUSCODES", "no:ENHANCEDSTATUSCODES RCPT:450%50"},
    {"nothing offered",
     "no:PIPELINING no:CHUNKING no:8BITMIME no:SMTPUTF8 no:SIZE no:DSN no:ENHANCEDSTATUSCODES"},
    {"SIZE too small", "size:2000", .body_bytes = 4000, .failed = ALL},
    {"MAIL garbled", "MAIL:garble"},
    {"RCPT garbled", "RCPT:garble"},
    {"DATA garbled", "DATA:garble BDAT:garble"},
    {"MAIL answered 354", "MAIL:354"},
    {"RCPT answered 354", "RCPT:354"},
    {"DATA answered 250", "DATA:250"},
    {"final dot answered 354", "dot:354"},
    {"answers in pieces", "pieces RCPT:450%30"},
    {"AUTH 535", "AUTH:535"},
    {"AUTH 454", "AUTH:454"},
    {"MAIL 530", "MAIL:530/5.7.0"},
    {"rate limit 550 5.4.5 at MAIL", "MAIL:550/5.4.5"},
    {"rate limit 550 5.4.5 at RCPT", "RCPT:550/5.4.5"},
    {"rate limit 550 5.4.5 at the final dot", "dot:550/5.4.5"},
    {"rate limit 432 4.7.1", "MAIL:432/4.7.1"},
    {"rate limit 421 4.7.0 at MAIL", "MAIL:421/4.7.0"},
    {"rate limit 421 4.7.0 at the final dot", "dot:421/4.7.0"},
    {"rate limit 452 4.5.3", "RCPT2:452/4.5.3"},
    {"too long", "MAIL:451", .lifetime_s = 1800, .failed = SOME},
};

#define WAY_LETTERS 4

static void test_way(gconstpointer data) {
  const Way *way = data;
  Hour hour;
  begin(&hour, 1, way->timeout_ms > 0 ? way->timeout_ms : 10000);
  if (way->lifetime_s > 0) hour.fixture.options.send_lifetime_s = way->lifetime_s;
  fixture_reopen(&hour.fixture);
  fail_by(&hour, way->words);
  for (unsigned second = 0; second < HOUR_S; second += STEP_S) {
    if (second % (HOUR_S / WAY_LETTERS) == 0) drop_letter(&hour, way->has_8bit, way->body_bytes);
    pass(&hour, STEP_S);
  }
  be_healthy(&hour);
  unsigned failed = check_letters(&hour);
  g_test_message("%u of %u in failed/", failed, hour.count);
  if (way->failed == NONE) g_assert_cmpuint(failed, ==, 0);
  if (way->failed == ALL) g_assert_cmpuint(failed, ==, hour.count);
  if (way->failed == SOME) g_assert_true(failed > 0 && failed < hour.count);
  end(&hour);
}

// -- A server that fails in another way every few minutes.

// MAILFS_SEEDS gives others.
#define SEEDS "1 2 3"

static void change_ways(Hour *hour) {
  g_autoptr(GString) words = g_string_new(NULL);
  int count = g_rand_int_range(hour->random, 0, 4);
  for (int i = 0; i < count; i++) {
    int which = g_rand_int_range(hour->random, 0, G_N_ELEMENTS(ways));
    g_auto(GStrv) of_way = g_strsplit(ways[which].words, " ", -1);
    for (char **word = of_way; *word != NULL; word++) {
      // Not always, so that what comes after it is reached too.
      bool is_sure = strchr(*word, '%') != NULL || g_str_has_prefix(*word, "no:") ||
                     g_str_has_prefix(*word, "size:") || strcmp(*word, "pieces") == 0;
      g_string_append_printf(words, " %s%s", *word, is_sure ? "" : "%60");
    }
  }
  g_debug("minute %u:%s", (unsigned)(hour->now_us / SECOND_US / 60 % 60), words->str);
  fail_by(hour, words->str);
}

static bool comes_up(Hour *hour, int percent) {
  return g_rand_int_range(hour->random, 0, 100) < percent;
}

// One of the last, which waits more likely than others. True: it is cancelled.
static bool cancel_some(Hour *hour) {
  unsigned back = (unsigned)g_rand_int_range(hour->random, 1, 5);
  if (back > hour->count || hour->letters[hour->count - back].is_cancelled) return false;
  cancel_letter(hour, hour->count - back);
  return hour->letters[hour->count - back].is_cancelled;
}

static void test_mixture(gconstpointer data) {
  Hour hour;
  begin(&hour, GPOINTER_TO_UINT(data), 400);
  unsigned cancelled = 0;
  for (unsigned second = 0; second < HOUR_S; second += STEP_S) {
    if (second % 120 == 0) change_ways(&hour);
    if (hour.count < LETTERS_MAX && comes_up(&hour, 25))
      drop_letter(&hour, comes_up(&hour, 20), comes_up(&hour, 20) ? 40000 : 500);
    if (comes_up(&hour, 10)) cancelled += cancel_some(&hour);
    if (comes_up(&hour, 2)) fixture_reopen(&hour.fixture);
    pass(&hour, STEP_S);
  }
  be_healthy(&hour);
  unsigned failed = check_letters(&hour);
  g_test_message("%u letters, %u cancelled, %u in failed/", hour.count, cancelled, failed);
  end(&hour);
}

static void add_mixtures(void) {
  const char *list = g_getenv("MAILFS_SEEDS");
  g_auto(GStrv) seeds = g_strsplit(list != NULL ? list : SEEDS, " ", -1);
  for (char **seed = seeds; *seed != NULL; seed++) {
    g_autofree char *path = g_strconcat("/outbox/hour/mixture/", *seed, NULL);
    guint64 number = g_ascii_strtoull(*seed, NULL, 10);
    g_test_add_data_func(path, GUINT_TO_POINTER((unsigned)number), test_mixture);
  }
}

int main(int argc, char **argv) {
  fixture_begin_processes();
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
    g_autofree char *path = g_strconcat("/outbox/hour/", ways[i].name, NULL);
    g_test_add_data_func(path, &ways[i], test_way);
  }
  add_mixtures();
  int result = g_test_run();
  fixture_end_processes();
  return result;
}
