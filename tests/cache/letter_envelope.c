// Claim: a letter goes to those its header names, or those who hand it over name, each once, and to
// nobody else; and it comes from who sends it, not from who wrote it.
#include <string.h>
#include <unistd.h>

#include "tests/cache/letter_fixture.h"

typedef struct {
  const char *name, *header, *from, *recipients;  // separated by spaces
  bool needs_utf8;
} Envelope;

static const Envelope envelopes[] = {
    {"To, Cc and Bcc", "From: alice@example.org\nTo: a@x.org\nCc: b@x.org\nBcc: c@x.org\n",
     "alice@example.org", "a@x.org b@x.org c@x.org"},
    {"From missing", "To: a@x.org\n", "me@example.org", "a@x.org"},
    {"Sender before From", "From: a@x.org, b@x.org\nSender: s@x.org\nTo: t@x.org\n", "s@x.org",
     "t@x.org"},
    {"first of several in From", "From: a@x.org, b@x.org\nTo: t@x.org\n", "a@x.org", "t@x.org"},
    {"each once", "From: f@x.org\nTo: a@x.org, a@X.ORG\nCc: a@x.org, A@x.org\n", "f@x.org",
     "a@x.org A@x.org"},
    {"an empty group", "From: f@x.org\nTo: undisclosed-recipients:;\nBcc: a@x.org\n", "f@x.org",
     "a@x.org"},
    {"folded", "From: f@x.org\nTo: a@x.org,\n b@x.org,\r\n\tc@x.org\n", "f@x.org",
     "a@x.org b@x.org c@x.org"},
    {"UTF-8 address", "From: f@x.org\nTo: <j\xc3\xb6rg@x.org>\n", "f@x.org", "j\xc3\xb6rg@x.org",
     true},
    {"UTF-8 domain of the sender", "From: f@m\xc3\xbcller.example\nTo: a@x.org\n",
     "f@m\xc3\xbcller.example", "a@x.org", true},
    {"UTF-8 subject", "From: f@x.org\nTo: a@x.org\nSubject: \xc3\xa9\n", "f@x.org", "a@x.org"},
    {"Resent",
     "Resent-From: r@x.org\nResent-To: a@x.org\nResent-Cc: b@x.org\nResent-Bcc: c@x.org\n"
     "From: f@x.org\nTo: t@x.org\nBcc: u@x.org\n",
     "r@x.org", "a@x.org b@x.org c@x.org"},
    {"two Resent-Bcc in one block",
     "Resent-From: r@x.org\nResent-Bcc: a@x.org\nResent-Bcc: b@x.org\nTo: t@x.org\n", "r@x.org",
     "a@x.org b@x.org"},
    {"several To", "From: f@x.org\nTo: a@x.org\nTO : b@x.org\n", "f@x.org", "a@x.org b@x.org"},
    {"each once, quoted domains aside",
     "From: f@x.org\nTo: A <a@x.org>, B <a@x.org>\nBcc: a@x.ORG\n", "f@x.org", "a@x.org"},
    {"Resent-Sender before Resent-From",
     "Resent-From: a@x.org, b@x.org\nResent-Sender: s@x.org\nResent-To: t@x.org\nFrom: f@x.org\n",
     "s@x.org", "t@x.org"},
    {"sent on by nobody named: the account, not the author", "Resent-To: a@x.org\nFrom: f@x.org\n",
     "me@example.org", "a@x.org"},
    {"the first Resent block, below others", "From: f@x.org\nTo: t@x.org\nResent-To: a@x.org\n",
     "me@example.org", "a@x.org"},
    {"the first Resent block, two divided by a trace",
     "Resent-To: a@x.org\nReceived: x\nResent-To: b@x.org\nResent-From: r@x.org\nFrom: f@x.org\n",
     "me@example.org", "a@x.org"},
    {"the first Resent block, two divided by any other field",
     "Resent-From: r@x.org\nResent-To: a@x.org\nX-Note: x\nResent-To: b@x.org\nFrom: f@x.org\n",
     "r@x.org", "a@x.org"},
    {"the first Resent block, two side by side",
     "Resent-Date: x\nResent-To: a@x.org\nResent-Date: y\nResent-From: r@x.org\nResent-To: "
     "b@x.org\n",
     "me@example.org", "a@x.org"},
    {"the first Resent block, recipients first",
     "Resent-To: a@x.org\nResent-Date: x\nResent-From: r@x.org\nResent-To: b@x.org\nResent-Date: "
     "y\n",
     "r@x.org", "a@x.org"},
};

static void test_envelope(gconstpointer data) {
  const Envelope *row = data;
  int fd = letter_file(row->header, strlen(row->header));
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_autofree char *recipients = g_strjoinv(" ", (char **)letter_recipients(letter));
  g_assert_cmpstr(letter_from(letter), ==, row->from);
  g_assert_cmpstr(recipients, ==, row->recipients);
  g_assert_cmpint(letter_needs_utf8(letter), ==, row->needs_utf8);
  close(fd);
}

typedef struct {
  const char *name, *header, *envelope_from, *given[4];
  bool header_too;
  const char *from, *recipients, *sent;
} Given;

static const Given given[] = {
    {"sender",
     "From: a@x.org\nTo: t@x.org\n",
     "s@x.org",
     {0},
     false,
     "s@x.org",
     "t@x.org",
     "From: a@x.org\r\nTo: t@x.org\r\n"},
    {"sender with a name",
     "From: a@x.org\nTo: t@x.org\n",
     "S <s@x.org>",
     {0},
     false,
     "s@x.org",
     "t@x.org",
     "From: a@x.org\r\nTo: t@x.org\r\n"},
    {"null sender",
     "From: a@x.org\nTo: t@x.org\n",
     "",
     {0},
     false,
     "",
     "t@x.org",
     "From: a@x.org\r\nTo: t@x.org\r\n"},
    {"sender instead of Resent-From",
     "Resent-From: r@x.org\nResent-To: t@x.org\n",
     "s@x.org",
     {0},
     false,
     "s@x.org",
     "t@x.org",
     "Resent-From: r@x.org\r\nResent-To: t@x.org\r\n"},
    {"sender, whatever From looks like",
     "From: alice\nTo: t@x.org\n",
     "s@x.org",
     {0},
     false,
     "s@x.org",
     "t@x.org",
     "From: alice\r\nTo: t@x.org\r\n"},
    {"recipients, not the header's; Bcc falls away all the same",
     "From: a@x.org\nTo: t@x.org\nBcc: b@x.org\n",
     NULL,
     {"c@x.org", "d@x.org, C <c@X.ORG>"},
     false,
     "a@x.org",
     "c@x.org d@x.org",
     "From: a@x.org\r\nTo: t@x.org\r\n"},
    {"recipients, whatever To looks like",
     "From: a@x.org\nTo: all of you\n",
     NULL,
     {"c@x.org"},
     false,
     "a@x.org",
     "c@x.org",
     "From: a@x.org\r\nTo: all of you\r\n"},
    {"recipients where the header has none",
     "From: a@x.org\nSubject: s\n",
     NULL,
     {"c@x.org"},
     false,
     "a@x.org",
     "c@x.org",
     "From: a@x.org\r\nSubject: s\r\n"},
    {"recipients and those of the header",
     "From: a@x.org\nTo: t@x.org\nBcc: c@x.org\n",
     NULL,
     {"c@x.org"},
     true,
     "a@x.org",
     "c@x.org t@x.org",
     "From: a@x.org\r\nTo: t@x.org\r\n"},
    {"recipients and a header with none",
     "From: a@x.org\n",
     NULL,
     {"c@x.org"},
     true,
     "a@x.org",
     "c@x.org",
     "From: a@x.org\r\n"},
};

static LetterDefaults defaults_of(const Given *row) {
  LetterDefaults defaults = letter_defaults;
  defaults.envelope_from = row->envelope_from;
  if (row->given[0] != NULL) defaults.recipients = row->given;
  defaults.header_recipients_too = row->header_too;
  return defaults;
}

static void test_given(gconstpointer data) {
  const Given *row = data;
  LetterDefaults defaults = defaults_of(row);
  int fd = letter_file(row->header, strlen(row->header));
  g_autoptr(Letter) letter = letter_of(fd, &defaults);
  g_autofree char *recipients = g_strjoinv(" ", (char **)letter_recipients(letter));
  g_autoptr(GString) sent = letter_drain(letter_stream_new(letter, fd), 4099);
  g_assert_cmpstr(letter_from(letter), ==, row->from);
  g_assert_cmpstr(recipients, ==, row->recipients);
  g_assert_true(g_str_has_suffix(sent->str, row->sent));
  close(fd);
}

static const Refused refused[] = {
    {"no recipient", "From: a@x.org\nSubject: s\n\n", "no recipient"},
    {"an empty To", "To:\n\n", "no recipient"},
    {"an empty group", "To: undisclosed-recipients:;\n\n", "no recipient"},
    {"a Resent block without one", "Resent-From: r@x.org\nTo: a@x.org\n\n", "no recipient"},
    {"an open bracket", "Cc: <a@x.org\nTo: a@x.org\n\n", "Cc field is broken"},
    {"empty brackets", "Bcc: <>\n\n", "Bcc field is broken"},
    {"a broken From", "From: alice\nTo: a@x.org\n\n", "From field is broken"},
    {"an empty From", "From:\nTo: a@x.org\n\n", "From field holds no address"},
    {"a Resent block of which only an older one has some",
     "Resent-From: r@x.org\nReceived: x\nResent-To: a@x.org\nTo: b@x.org\n\n", "no recipient"},
    {"a broken Resent-From", "Resent-From: r\nResent-To: a@x.org\nFrom: f@x.org\n\n",
     "Resent-From field is broken"},
};

// What others than the header say can be wrong, too, and gets no further.
static void test_given_refused(void) {
  static const char letter[] = "From: a@x.org\nTo: t@x.org\n\n";
  static const char without[] = "To: t@x.org\n\n";
  static const char *const none[] = {NULL}, *const blank[] = {"", NULL};
  static const char *const injects[] = {"b@x.org>\r\nDATA", NULL};
  LetterDefaults defaults = letter_defaults;
  defaults.envelope_from = "a@x.org\r\nRCPT TO:<b@x.org>";
  letter_assert_refused(letter, sizeof letter - 1, &defaults, "envelope sender is broken");
  defaults.envelope_from = "a@x.org, b@x.org";
  letter_assert_refused(letter, sizeof letter - 1, &defaults, "envelope sender is broken");
  defaults = letter_defaults;
  defaults.recipients = injects;
  letter_assert_refused(letter, sizeof letter - 1, &defaults, "list of recipients is broken");
  defaults.recipients = none;
  letter_assert_refused(letter, sizeof letter - 1, &defaults, "no recipient");
  defaults.recipients = blank;
  letter_assert_refused(letter, sizeof letter - 1, &defaults, "no recipient");
  defaults = letter_defaults;
  defaults.from = "me@example.org\r\nBcc: b@x.org";
  letter_assert_refused(without, sizeof without - 1, &defaults, "own address is broken");
  defaults.envelope_from = "s@x.org";
  letter_assert_refused(without, sizeof without - 1, &defaults, "own address is broken");
}

typedef struct {
  const char *name, *header, *field, *id;
} Id;

static const Id ids[] = {
    {"its own", "To: a@x.org\nmessage-id :\n <1@x.org>\n", "Message-ID", "<1@x.org>"},
    {"given", "To: a@x.org\n", "Message-ID", "<id@example.org>"},
    {"empty", "To: a@x.org\nMessage-ID:\n", "Message-ID", ""},
    {"sent on", "Resent-To: a@x.org\nResent-Message-ID: <2@x.org>\nMessage-ID: <1@x.org>\n",
     "Resent-Message-ID", "<2@x.org>"},
    {"sent on, given",
     "Resent-To: a@x.org\nReceived: x\nResent-Message-ID: <2@x.org>\nMessage-ID: <1@x.org>\n",
     "Resent-Message-ID", "<id@example.org>"},
};

static void test_id(gconstpointer data) {
  const Id *row = data;
  int fd = letter_file(row->header, strlen(row->header));
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_assert_cmpstr(letter_id_field(letter), ==, row->field);
  g_assert_cmpstr(letter_id(letter), ==, row->id);
  close(fd);
}

static GString *letter_to(unsigned count) {
  GString *text = g_string_new("From: f@x.org\n");
  for (unsigned i = 0; i < count; i++)
    g_string_append_printf(text, "To: %x@x.org\n", i);
  return g_string_append(text, "\n");
}

// Ten thousand recipients are taken, more are too many, and the reason says so.
static void test_many(void) {
  g_autoptr(GString) most = letter_to(10000);
  int fd = letter_file(most->str, most->len);
  g_autoptr(Letter) letter = letter_of(fd, &letter_defaults);
  g_assert_cmpuint(g_strv_length((char **)letter_recipients(letter)), ==, 10000);
  close(fd);
  g_autoptr(GString) more = letter_to(10001);
  letter_assert_refused(more->str, more->len, &letter_defaults, "10001 recipients");

  g_autoptr(GString) many = g_string_new("To: a@b");
  for (unsigned i = 0; i < 100000; i++)
    g_string_append_printf(many, ",\n %x@b", i);
  letter_assert_refused(many->str, many->len, &letter_defaults, "recipients, more than 10000");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  ADD_ROWS("/letter_envelope", envelopes, test_envelope)
  ADD_ROWS("/letter_envelope/given", given, test_given)
  ADD_ROWS("/letter_envelope/id", ids, test_id)
  ADD_ROWS("/letter_envelope/refused", refused, letter_test_refused)
  g_test_add_func("/letter_envelope/given refused", test_given_refused);
  g_test_add_func("/letter_envelope/many", test_many);
  return g_test_run();
}
