// Whatever a mail calls its sender and subject, and a server its folders, the names obey their
// rules, and a message's name made again from its own parts is the same. Input: name, address and
// subject, parted by NUL.
#include "tests/cache/name_rule.h"
#include "tests/fuzz/fuzz.h"

// As the index does it: from raw header text.
static char *name_of(int64_t internaldate, const char *from_name, const char *from_address,
                     const char *subject, const char *id) {
  g_autofree char *name = name_header_text(from_name);
  g_autofree char *address = name_header_text(from_address);
  g_autofree char *text = name_header_text(subject);
  return name_message(internaldate, name, address, text, id);
}

static void check_message(const char *from_name, const char *from_address, const char *subject) {
  int64_t internaldate = (int64_t)((uint64_t)strlen(subject) << (strlen(from_name) % 64));
  g_autofree char *name = name_of(internaldate, from_name, from_address, subject, "4711");
  name_rule_check(name);
  g_auto(GStrv) parts = name_rule_split(name);
  g_autofree char *again = name_of(internaldate, parts[0], NULL, parts[1], "4711");
  g_assert_cmpstr(again, ==, name);
}

static void check_header_text(const char *raw) {
  g_autofree char *text = name_header_text(raw);
  g_assert_true(g_utf8_validate(text, -1, NULL));
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char(at))
    g_assert_false(g_unichar_iscntrl(g_utf8_get_char(at)));
}

static void check_folder(const char *raw) {
  g_autofree char *name = name_folder(raw, "outbox");
  g_autofree char *distinct = name_folder_distinct(raw);
  g_autofree char *display = name_folder_display(raw);
  const char *const names[] = {name, distinct};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_assert_cmpstr(names[i], !=, "");
    g_assert_cmpstr(names[i], !=, ".");
    g_assert_cmpstr(names[i], !=, "..");
    g_assert_cmpstr(names[i], !=, "outbox");
    g_assert_null(strchr(names[i], '/'));
    g_assert_cmpuint(strlen(names[i]), <=, NAME_FOLDER_MAX);
  }
  g_assert_true(g_utf8_validate(display, -1, NULL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *fields[] = {"", "", ""};
  g_autofree char *text = g_malloc(size + 1);
  if (size > 0) memcpy(text, data, size);
  text[size] = '\0';
  const char *at = text;
  for (size_t i = 0; i < G_N_ELEMENTS(fields) && at <= text + size; i++) {
    fields[i] = at;
    at += strlen(at) + 1;
  }
  check_message(fields[0], fields[1], fields[2]);
  for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
    check_header_text(fields[i]);
    check_folder(fields[i]);
  }
  return 0;
}
