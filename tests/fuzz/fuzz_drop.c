// Any text as the envelope of a drop: it is refused with words, or all that it says is fit to stand
// in an SMTP command and in a directory, and is read the same when it was written again.
#include <string.h>

#include "cache/drop_format.h"
#include "cache/outbox_rules.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text) {
  if (text == NULL) return;
  g_assert_true(g_utf8_validate(text, -1, NULL));
  for (const char *c = text; *c != '\0'; c++)
    g_assert_false(g_ascii_iscntrl(*c));
}

static void check(const Drop *drop) {
  const Envelope *envelope = &drop->envelope;
  if (drop->name != NULL)
    g_assert_true(outbox_name_is_sendable(drop->name) && strchr(drop->name, '/') == NULL &&
                  strlen(drop->name) <= OUTBOX_NAME_MAX);
  check_text(envelope->from);
  check_text(envelope->notify);
  check_text(envelope->ret);
  check_text(envelope->envid);
  g_assert_true(envelope->recipients == NULL || *envelope->recipients != NULL);
  for (char **address = envelope->recipients; address != NULL && *address != NULL; address++) {
    check_text(*address);
    g_assert_nonnull(strchr(*address, '@'));
    g_assert_null(strpbrk(*address, " <>"));
  }
}

static void check_again(const Drop *drop) {
  size_t size;
  g_autofree char *text = drop_format_write(drop->name, &drop->envelope, &size);
  g_autoptr(Drop) again = g_new0(Drop, 1);
  g_autoptr(GError) error = NULL;
  if (!drop_format_read(again, text, size, &error)) g_error("%s: %s", error->message, text);
  g_assert_cmpstr(again->name, ==, drop->name);
  g_assert_cmpstr(again->envelope.from, ==, drop->envelope.from);
  g_assert_cmpstr(again->envelope.notify, ==, drop->envelope.notify);
  g_assert_cmpstr(again->envelope.ret, ==, drop->envelope.ret);
  g_assert_cmpstr(again->envelope.envid, ==, drop->envelope.envid);
  char *none[] = {NULL};
  g_assert_cmpstrv(again->envelope.recipients != NULL ? again->envelope.recipients : none,
                   drop->envelope.recipients != NULL ? drop->envelope.recipients : none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  g_autoptr(Drop) drop = g_new0(Drop, 1);
  g_autoptr(GError) error = NULL;
  bool good = drop_format_read(drop, (const char *)data, size, &error);
  g_assert_true(good == (error == NULL));
  if (!good) return 0;
  check(drop);
  check_again(drop);
  return 0;
}
