// Claim: what can stand in an envelope is taken as it will stand there; what cannot is refused.
#include "cache/envelope.h"

#include "cache/letter.h"

typedef char *(*Read)(const char *text, GError **error);

static const struct {
  Read read;
  const char *text, *expected;  // NULL: refused
} rows[] = {
    {envelope_read_recipient, "bob@example.org", "bob@example.org"},
    {envelope_read_recipient, "<bob@example.org>", "bob@example.org"},
    {envelope_read_recipient, "Bob <bob@example.org>", "bob@example.org"},
    {envelope_read_recipient, "", NULL},
    {envelope_read_recipient, "<>", NULL},
    {envelope_read_recipient, "bob", NULL},
    {envelope_read_recipient, "a@example.org, b@example.org", NULL},
    {envelope_read_recipient, "bob@example.org\r\nRCPT TO:<eve@example.org>", NULL},
    {envelope_read_recipient, "bob@exam ple.org", NULL},
    {envelope_read_sender, "", ""},
    {envelope_read_sender, "<>", ""},
    {envelope_read_sender, "me@example.org", "me@example.org"},
    {envelope_read_sender, "me", NULL},
    {envelope_read_notify, "never", "NEVER"},
    {envelope_read_notify, "failure,Delay", "FAILURE,DELAY"},
    {envelope_read_notify, "success, failure", "SUCCESS,FAILURE"},
    {envelope_read_notify, "never,success", NULL},
    {envelope_read_notify, "", NULL},
    {envelope_read_notify, "failure\r\nX", NULL},
    {envelope_read_ret, "hdrs", "HDRS"},
    {envelope_read_ret, "FULL", "FULL"},
    {envelope_read_ret, "some", NULL},
    {envelope_read_envid, "batch-7+x", "batch-7+x"},
    {envelope_read_envid, "", NULL},
    {envelope_read_envid, "two words", NULL},
    {envelope_read_envid, "\xc3\xa9", NULL},
};

static void test_read(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = NULL;
    g_autofree char *found = rows[i].read(rows[i].text, &error);
    g_test_message("%s", rows[i].text);
    g_assert_cmpstr(found, ==, rows[i].expected);
    if (rows[i].expected == NULL) g_assert_error(error, LETTER_ERROR, LETTER_ERROR_INVALID);
  }
}

// What is stored as text goes to the server as the Sender takes it.
static void test_asked(void) {
  const Envelope nothing = {0};
  const Envelope never = {.notify = (char *)"NEVER", .ret = (char *)"HDRS"};
  const Envelope some = {.notify = (char *)"SUCCESS,DELAY", .ret = (char *)"FULL"};
  g_assert_cmpuint(envelope_notify(&nothing), ==, 0);
  g_assert_cmpint(envelope_return(&nothing), ==, SENDER_RETURN_DEFAULT);
  g_assert_cmpuint(envelope_notify(&never), ==, SENDER_NOTIFY_NEVER);
  g_assert_cmpint(envelope_return(&never), ==, SENDER_RETURN_HEADER);
  g_assert_cmpuint(envelope_notify(&some), ==, SENDER_NOTIFY_SUCCESS | SENDER_NOTIFY_DELAY);
  g_assert_cmpint(envelope_return(&some), ==, SENDER_RETURN_FULL);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/envelope/read", test_read);
  g_test_add_func("/envelope/asked", test_asked);
  return g_test_run();
}
