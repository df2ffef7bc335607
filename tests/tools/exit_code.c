// Every error has an exit code of sysexits.h, and none of them is 0.
#include "tools/exit_code.h"

#include "cache/index.h"
#include "net/error.h"

typedef struct {
  int error;
  int code;
} Row;

static const Row rows[] = {
    {NET_ERROR_HOST, 68},      {NET_ERROR_OFFLINE, 69}, {NET_ERROR_TIMEOUT, 69},
    {NET_ERROR_UNTRUSTED, 77}, {NET_ERROR_DENIED, 77},  {NET_ERROR_FORBIDDEN, 77},
    {NET_ERROR_GONE, 69},      {NET_ERROR_BUSY, 75},    {NET_ERROR_REFUSED, 69},
    {NET_ERROR_PROTOCOL, 69},  {NET_ERROR_LIMIT, 69},   {NET_ERROR_UNSUPPORTED, 69},
    {NET_ERROR_CANCELLED, 75},
};

static int code_of(GQuark domain, int error_code) {
  g_autoptr(GError) error = g_error_new_literal(domain, error_code, "words");
  return exit_code(error);
}

static void test_net(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
    g_assert_cmpint(code_of(NET_ERROR, rows[i].error), ==, rows[i].code);
}

static void test_others(void) {
  g_assert_cmpint(code_of(EXIT_ERROR, EX_CONFIG), ==, 78);
  g_assert_cmpint(code_of(EXIT_ERROR, EX_USAGE), ==, 64);
  g_assert_cmpint(code_of(INDEX_ERROR, INDEX_ERROR_SQLITE), ==, 74);
  g_assert_cmpint(code_of(G_FILE_ERROR, G_FILE_ERROR_ACCES), ==, 73);
  g_assert_cmpint(code_of(G_IO_CHANNEL_ERROR, 1), ==, 70);
  g_assert_cmpint(code_of(EXIT_ERROR, 0), ==, 70);
  g_assert_cmpint(code_of(NET_ERROR, 1000), ==, 70);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/exit-code/net", test_net);
  g_test_add_func("/exit-code/others", test_others);
  return g_test_run();
}
