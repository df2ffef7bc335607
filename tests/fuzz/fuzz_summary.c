// Whatever stands where a header should be, what is made of it are texts on one line and dates that
// can be, the same each time, and the message has a name that obeys the rules.
#include "cache/summary.h"
#include "tests/cache/name_rule.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text) {
  if (text == NULL) return;
  g_assert_cmpuint(strcspn(text, "\r\n"), ==, strlen(text));
}

static void check_date(int64_t date) {
  g_assert_true(date == -1 || (date >= 0 && date < INT64_C(253402300800)));
}

static char *name_of(const Summary *summary) {
  g_autofree char *name = name_header_text(summary->from_name);
  g_autofree char *address = name_header_text(summary->from_address);
  g_autofree char *subject = name_header_text(summary->subject);
  return name_message(summary_date(summary), name, address, subject, "0123456789abcdef-2");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  g_auto(Summary) summary, again;
  summary_read(&summary, (const char *)data, size);
  summary_read(&again, (const char *)data, size);
  check_text(summary.subject);
  check_text(summary.date);
  check_text(summary.message_id);
  check_date(summary.sent);
  check_date(summary.received);
  g_autofree char *name = name_of(&summary), *same = name_of(&again);
  name_rule_check(name);
  g_assert_cmpstr(name, ==, same);
  return 0;
}
