#include "net/imap_date.h"

#include <stddef.h>

#include <glib.h>

// The seconds were computed with date(1).
static const struct {
  const char *text;
  int64_t seconds;
} rows[] = {
    {"17-Jul-1996 02:44:25 -0700", 837596665},
    {" 1-Jan-1970 00:00:00 +0000", 0},
    {"1-Jan-1970 00:00:00 +0000", 0},
    {"01-jan-1970 01:00:00 +0100", 0},
    {"31-DEC-1969 23:59:59 -0001", 59},
    {"29-Feb-2024 12:00:00 +0000", 1709208000},
    {"29-Feb-2000 23:59:60 +0000", 951868800},
    {"19-Jan-2038 03:14:08 +0000", INT64_C(2147483648)},
    {"31-Dec-9999 23:59:59 +0000", INT64_C(253402300799)},
    {" 7-Feb-1994 21:52:25 +1345", 760608445},
    // No date, or one that was told in no second of ours.
    {NULL, -1},
    {"", -1},
    {"17-Jul-1996", -1},
    {"17-Jul-1996 02:44:25", -1},
    {"17-Jul-1996 02:44:25 GMT", -1},
    {"17-Jul-1996 02:44:25 +070", -1},
    {"17-Jul-1996 02:44:25 +0760", -1},
    {"17-Jul-1996 02:44:25 +07000", -1},
    {"17-Jul-1996 2:44:25 +0700", -1},
    {"17-Jul-1996 24:00:00 +0000", -1},
    {"17-Jul-1996 23:60:00 +0000", -1},
    {"17-Jul-96 23:00:00 +0000", -1},
    {"29-Feb-2023 00:00:00 +0000", -1},
    {"31-Apr-2023 00:00:00 +0000", -1},
    {"00-Apr-2023 00:00:00 +0000", -1},
    {"01-Foo-2023 00:00:00 +0000", -1},
    {"01-Jan-0000 00:00:00 +0000", -1},
    {"01-Jan-1904 00:00:00 +0000", -1},
    {"  1-Jan-2023 00:00:00 +0000", -1},
    {"Fri, 21 Nov 1997 09:55:06 -0600", -1},
};

// INTERNALDATE of any zone is seconds since 1970, and anything else is none.
static void test_rows(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_test_message("%s", rows[i].text ? rows[i].text : "NULL");
    g_assert_cmpint(imap_date_parse(rows[i].text), ==, rows[i].seconds);
  }
}

// What is printed is the grammar's, and read as the same second.
static void test_print(void) {
  g_autofree char *first = imap_date_print(0), *leap = imap_date_print(1709208000);
  g_autofree char *last = imap_date_print(INT64_C(253402300799));
  g_assert_cmpstr(first, ==, " 1-Jan-1970 00:00:00 +0000");
  g_assert_cmpstr(leap, ==, "29-Feb-2024 12:00:00 +0000");
  g_assert_cmpstr(last, ==, "31-Dec-9999 23:59:59 +0000");
  g_assert_cmpint(imap_date_parse(last), ==, INT64_C(253402300799));
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/imap-date/rows", test_rows);
  g_test_add_func("/imap-date/print", test_print);
  return g_test_run();
}
