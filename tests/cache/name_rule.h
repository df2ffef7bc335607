// What every message name obeys, whatever the mail says: checked by the unit test on its tables and
// by the fuzz target on anything.
#pragma once

#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "cache/name.h"

static inline bool name_rule_allows(gunichar c) {
  if (c < 0x80) return g_ascii_isalnum((char)c) || strchr("_,.@+=-", (int)c) != NULL;
  switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:  // all that steers bidirectional text is here
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SPACE_SEPARATOR:
      return false;
    default:
      return !g_unichar_ispunct(c);
  }
}

static inline void name_rule_check(const char *name) {
  g_assert_cmpuint(strlen(name), <=, NAME_MESSAGE_MAX);
  g_assert_true(g_utf8_validate(name, -1, NULL));
  g_autofree char *composed = g_utf8_normalize(name, -1, G_NORMALIZE_NFC);
  g_assert_cmpstr(name, ==, composed);
  g_assert_true(g_ascii_isdigit(name[0]));
  g_assert_true(g_str_has_suffix(name, ".eml"));
  g_assert_null(strstr(name, "--"));
  for (const char *at = name; *at != '\0'; at = g_utf8_next_char(at))
    g_assert_true(name_rule_allows(g_utf8_get_char(at)));
}

// The three parts of a name: its sender, its subject and its ID, as they stand in it.
static inline char **name_rule_split(const char *name) {
  g_auto(GStrv) parts = g_strsplit(name + strlen("YYYY-MM-DD_HHMM_"), "_", 2);
  g_assert_cmpuint(g_strv_length(parts), ==, 2);
  g_auto(GStrv) tail = g_strsplit(parts[1], ",", 2);
  g_assert_cmpuint(g_strv_length(tail), ==, 2);
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
  g_strv_builder_add_many(builder, parts[0], tail[0], tail[1], NULL);
  return g_strv_builder_end(builder);
}
