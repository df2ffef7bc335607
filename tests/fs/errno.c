// Each error of the rooms below is one errno, as the manual page lists them.
#include "fs/errno.h"

#include <errno.h>

#include "cache/outbox.h"
#include "net/error.h"

static const struct {
  int code, expected;
} net_rows[] = {
    {NET_ERROR_HOST, EHOSTUNREACH},
    {NET_ERROR_OFFLINE, EHOSTUNREACH},
    {NET_ERROR_TIMEOUT, ETIMEDOUT},
    {NET_ERROR_UNTRUSTED, EHOSTUNREACH},
    {NET_ERROR_DENIED, EACCES},
    {NET_ERROR_FORBIDDEN, EACCES},
    {NET_ERROR_GONE, ENOENT},
    {NET_ERROR_BUSY, EHOSTUNREACH},
    {NET_ERROR_REFUSED, EIO},
    {NET_ERROR_PROTOCOL, EIO},
    {NET_ERROR_LIMIT, EIO},
    {NET_ERROR_UNSUPPORTED, ENOTSUP},
    {NET_ERROR_CANCELLED, EHOSTUNREACH},
};

static void test_net(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(net_rows); i++) {
    g_autoptr(GError) error = g_error_new(NET_ERROR, net_rows[i].code, "row %zu", i);
    g_assert_cmpint(errno_from_error(error), ==, net_rows[i].expected);
  }
}

// The outbox says the errno itself. Whatever else comes, it is never 0, which would mean success.
static void test_others(void) {
  const struct {
    GQuark domain;
    int code, expected;
  } rows[] = {
      {OUTBOX_ERROR, EINVAL, EINVAL}, {OUTBOX_ERROR, EMSGSIZE, EMSGSIZE},
      {OUTBOX_ERROR, 0, EIO},         {G_FILE_ERROR, G_FILE_ERROR_NOENT, EIO},
      {OUTBOX_ERROR, -1, EIO},        {OUTBOX_ERROR, 5000, EIO},
      {NET_ERROR, -1, EIO},           {NET_ERROR, 1000, EIO},
      {G_MARKUP_ERROR, 1, EIO},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autoptr(GError) error = g_error_new(rows[i].domain, rows[i].code, "row %zu", i);
    g_assert_cmpint(errno_from_error(error), ==, rows[i].expected);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/errno/net", test_net);
  g_test_add_func("/errno/others", test_others);
  return g_test_run();
}
