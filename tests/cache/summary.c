// A header says the same as an IMAP server would say of it, whatever it looks like: the first field
// of a name counts, what is no field is passed over, and its dates are those that can be.

#include "cache/summary.h"

#include <string.h>

typedef struct {
  const char *path, *header;
  const char *from_name, *from_address, *subject, *message_id;
} Row;

static const Row rows[] = {
    {"plain", "From: Alice Smith <alice@example.org>\r\nSubject: Hi\r\nMessage-ID: <1@x>\r\n\r\n",
     "Alice Smith", "alice@example.org", "Hi", "<1@x>"},
    {"lf-only", "From: alice@example.org\nSubject: Hi\n\n", NULL, "alice@example.org", "Hi", NULL},
    {"no-final-line-end", "Subject: Hi", NULL, NULL, "Hi", NULL},
    {"empty", "", NULL, NULL, NULL, NULL},
    {"case-and-white-space", "sUBJECT \t: \t Hi \t\r\nmessage-id:<1@x>\r\n\r\n", NULL, NULL, "Hi",
     "<1@x>"},
    {"folded", "Subject: one\r\n two\r\n\tthree\r\nFrom:\r\n a@x.org\r\n\r\n", NULL, "a@x.org",
     "one two\tthree", NULL},
    {"lone-cr", "Subject: one\rtwo\r\n\r\n", NULL, NULL, "one two", NULL},
    {"first-counts", "Subject: one\r\nSubject: two\r\n\r\n", NULL, NULL, "one", NULL},
    {"only-the-header", "Subject: one\r\n\r\nFrom: b@x.org\r\n", NULL, NULL, "one", NULL},
    {"mbox-line", "From a@x.org Mon Nov 23 03:43:00 2026\r\nFrom: b@x.org\r\n\r\n", NULL, "b@x.org",
     NULL, NULL},
    {"quoted-mbox-line", ">From a Mon\r\n continued\r\nSubject: one\r\n\r\n", NULL, NULL, "one",
     NULL},
    {"no-colon", "this is no field\r\nSubject\r\nSubject: one\r\n\r\n", NULL, NULL, "one", NULL},
    {"longer-name", "Subjects: one\r\nX-Subject: two\r\n\r\n", NULL, NULL, NULL, NULL},
    // Subject and Message-ID stay raw, as an ENVELOPE has them.
    {"encoded", "From: =?utf-8?q?J=C3=B6rg?= <j@x.org>\r\nSubject: =?utf-8?q?J=C3=B6rg?=\r\n\r\n",
     "Jörg", "j@x.org", "=?utf-8?q?J=C3=B6rg?=", NULL},
    {"encoded-in-quotes", "From: \"=?utf-8?q?J=C3=B6rg?=\" <j@x.org>\r\n\r\n", "Jörg", "j@x.org",
     NULL, NULL},
    {"raw-8bit", "From: J\xf6rg <j@x.org>\r\nSubject: J\xf6rg\r\n\r\n", "Jörg", "j@x.org",
     "J\xf6rg", NULL},
    {"locale-charset", "From: =?x-unknown?q?J=C3=B6rg?= <j@x.org>\r\n\r\n", "Jörg", "j@x.org", NULL,
     NULL},
    {"locale-charset-latin", "From: =?x-unknown?q?J=F6rg?= <j@x.org>\r\n\r\n", "Jörg", "j@x.org",
     NULL, NULL},
    {"comment", "From: alice@x.org (Alice)\r\n\r\n", "Alice", "alice@x.org", NULL, NULL},
    {"several", "From: Alice <a@x.org>, Bob <b@x.org>\r\n\r\n", "Alice", "a@x.org", NULL, NULL},
    {"group", "From: Friends: Alice <a@x.org>, b@x.org;\r\n\r\n", "Alice", "a@x.org", NULL, NULL},
    {"empty-group", "From: undisclosed-sender:;\r\n\r\n", "undisclosed-sender", NULL, NULL, NULL},
    {"no-address", "From: Alice Smith\r\n\r\n", "Alice Smith", NULL, NULL, NULL},
    {"broken-address", "From: <<>>\r\n\r\n", "<<>>", NULL, NULL, NULL},
    {"nothing", "From: \r\nSubject:\r\n\r\n", NULL, NULL, "", NULL},
};

static void test_texts(gconstpointer data) {
  const Row *row = data;
  g_auto(Summary) summary;
  summary_read(&summary, row->header, strlen(row->header));
  g_assert_cmpstr(summary.from_name, ==, row->from_name);
  g_assert_cmpstr(summary.from_address, ==, row->from_address);
  g_assert_cmpstr(summary.subject, ==, row->subject);
  g_assert_cmpstr(summary.message_id, ==, row->message_id);
}

typedef struct {
  const char *path, *header;
  int64_t sent, received, date;
} DateRow;

#define NOON INT64_C(1795435200)  // 2026-11-23 12:00 UTC
static const DateRow date_rows[] = {
    {"date", "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n", NOON, -1, NOON},
    {"zone", "Date: Mon, 23 Nov 2026 07:00:00 -0500 (EST)\r\n\r\n", NOON, -1, NOON},
    {"no-zone", "Date: 23 Nov 2026 12:00\r\n\r\n", NOON, -1, NOON},
    {"received", "Received: from a (b; 7 Jan 2001) by d; Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n",
     -1, NOON, NOON},
    {"first-received",
     "Received: by d;\r\n Mon, 23 Nov 2026 12:00:00 +0000\r\n"
     "Received: by e; Mon, 23 Nov 2026 11:00:00 +0000\r\n\r\n",
     -1, NOON, NOON},
    {"date-before-received",
     "Received: by d; Mon, 23 Nov 2026 13:00:00 +0000\r\n"
     "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n",
     NOON, NOON + 3600, NOON},
    {"broken-date", "Date: yesterday\r\nReceived: by d; Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n",
     -1, NOON, NOON},
    {"received-without-date", "Received: by d\r\n\r\n", -1, -1, -1},
    {"epoch", "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n", 0, -1, 0},
    {"before-epoch", "Date: Wed, 31 Dec 1969 23:59:00 +0000\r\n\r\n", -1, -1, -1},
    {"far-future", "Date: 1 Jan 9999 00:00:00 +0000\r\n\r\n", INT64_C(253370764800), -1,
     INT64_C(253370764800)},
    {"none", "Subject: x\r\n\r\n", -1, -1, -1},
};

static void test_dates(gconstpointer data) {
  const DateRow *row = data;
  g_auto(Summary) summary;
  summary_read(&summary, row->header, strlen(row->header));
  g_assert_cmpint(summary.sent, ==, row->sent);
  g_assert_cmpint(summary.received, ==, row->received);
  g_assert_cmpint(summary_date(&summary), ==, row->date);
}

// A NUL hides nothing of what follows it.
static void test_nul(void) {
  static const char header[] = "Subject: a\0b\r\nX\0: y\r\nFrom: a@x.org\r\n\r\n";
  g_auto(Summary) summary;
  summary_read(&summary, header, sizeof header - 1);
  g_assert_cmpstr(summary.subject, ==, "a b");
  g_assert_cmpstr(summary.from_address, ==, "a@x.org");
}

static void append_many(GString *header, const char *text, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    g_string_append(header, text);
}

// The largest headers there are cost no time that anybody would notice, whatever they are made of,
// and no more than a field's measure is kept of them.
static void test_huge(void) {
  static const char *const pieces[] = {
      "x", "=?", "=?utf-8?q?=41?= ", "(", "<", "\"", ",", "a@b,", "\r\n ", "g:", ";", "\\", "1 "};
  int64_t began_us = g_get_monotonic_time();
  for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
    g_autoptr(GString) header = g_string_new("");
    const char *const fields[] = {"From: ", "\r\nSubject: ", "\r\nDate: ", "\r\nReceived: ;"};
    for (size_t field = 0; field < G_N_ELEMENTS(fields); field++) {
      g_string_append(header, fields[field]);
      append_many(header, pieces[i], (64 << 10) / (unsigned)strlen(pieces[i]));
    }
    g_auto(Summary) summary;
    summary_read(&summary, header->str, header->len);
    g_assert_cmpuint(strlen(summary.subject), <=, SUMMARY_FIELD_MAX);
  }
  g_test_minimized_result((double)(g_get_monotonic_time() - began_us) / 1e6, "13 huge headers");
  g_assert_cmpint(g_get_monotonic_time() - began_us, <, 20 * G_USEC_PER_SEC);
}

// A folder's listing reads ten thousand of them.
static void test_many(void) {
  g_autoptr(GString) header = g_string_new("");
  append_many(header,
              "Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n"
              "\tby mx.example.net with ESMTPS id 4711; Mon, 23 Nov 2026 12:00:00 +0000\r\n"
              "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=1; h=from:to:subject;\r\n"
              "\tb=0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
              6);
  g_string_append(header,
                  "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
                  "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: a@example.org\r\n"
                  "Subject: =?utf-8?q?Ein_l=C3=A4ngerer_Betreff?= in two\r\n parts\r\n\r\n");
  int64_t began_us = g_get_monotonic_time();
  for (unsigned i = 0; i < 10000; i++) {
    g_auto(Summary) summary;
    summary_read(&summary, header->str, header->len);
    g_assert_cmpint(summary.sent, ==, NOON);
  }
  double seconds = (double)(g_get_monotonic_time() - began_us) / 1e6;
  g_test_minimized_result(seconds, "10,000 headers: %.3f s", seconds);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/summary/texts/", rows[i].path, NULL);
    g_test_add_data_func(path, &rows[i], test_texts);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(date_rows); i++) {
    g_autofree char *path = g_strconcat("/summary/dates/", date_rows[i].path, NULL);
    g_test_add_data_func(path, &date_rows[i], test_dates);
  }
  g_test_add_func("/summary/nul", test_nul);
  g_test_add_func("/summary/huge", test_huge);
  g_test_add_func("/summary/many", test_many);
  return g_test_run();
}
