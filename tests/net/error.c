#include "net/error.h"

static const struct {
  NetError code;
  bool ends_connection;
} rows[] = {
    {NET_ERROR_HOST, true},         {NET_ERROR_OFFLINE, true},    {NET_ERROR_TIMEOUT, true},
    {NET_ERROR_UNTRUSTED, true},    {NET_ERROR_DENIED, true},     {NET_ERROR_PROTOCOL, true},
    {NET_ERROR_CANCELLED, true},    {NET_ERROR_FORBIDDEN, false}, {NET_ERROR_GONE, false},
    {NET_ERROR_BUSY, false},        {NET_ERROR_REFUSED, false},   {NET_ERROR_LIMIT, false},
    {NET_ERROR_UNSUPPORTED, false},
};

// An error ends the connection or this request, as net/mailbox.h lists them; one of another domain
// ends no connection, nor does none.
static void test_ends_connection(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = g_error_new_literal(NET_ERROR, (int)rows[i].code, "test");
    g_assert_true(net_error_ends_connection(error) == rows[i].ends_connection);
  }
  g_autoptr(GError) foreign = g_error_new_literal(G_FILE_ERROR, (int)NET_ERROR_OFFLINE, "test");
  g_assert_false(net_error_ends_connection(foreign));
  g_assert_false(net_error_ends_connection(NULL));
}

// How long a server wants to be left alone is read from its words, within reason.
static void test_backoff(void) {
  static const struct {
    const char *words;
    unsigned ms;
  } waits[] = {
      {"the server says BAD Request is throttled. Suggested Backoff Time: 2500 milliseconds", 2500},
      {"Suggested Backoff Time: 99999999999999999999 milliseconds", 600000},
      {"Suggested Backoff Time: soon", 0},
      {"the server says NO [THROTTLED] slow down", 0},
      {"the server says -ERR [LOGIN-DELAY] minimum time between mail checks", 60000},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(waits); i++) {
    g_autoptr(GError) error = g_error_new_literal(NET_ERROR, NET_ERROR_BUSY, waits[i].words);
    g_assert_cmpuint(net_error_backoff_ms(error), ==, waits[i].ms);
  }
  g_assert_cmpuint(net_error_backoff_ms(NULL), ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/error/ends-connection", test_ends_connection);
  g_test_add_func("/error/backoff", test_backoff);
  return g_test_run();
}
