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

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/error/ends-connection", test_ends_connection);
  return g_test_run();
}
