#include "cache/mime.h"

#include <pthread.h>
#include <string.h>

// The classes that we look at, too: GLib makes them at their first use, under locks of its own that
// ThreadSanitizer does not see.
static void make_ready(void) {
  g_mime_init();
  g_type_class_ref(INTERNET_ADDRESS_TYPE_MAILBOX);
  g_type_class_ref(INTERNET_ADDRESS_TYPE_GROUP);
}

void mime_init(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_ready);
}

GMimeParserOptions *mime_options_new(void) {
  const char *guesses[] = {"utf-8", "windows-1252", "iso-8859-1", NULL};
  mime_init();
  GMimeParserOptions *options = g_mime_parser_options_new();
  g_mime_parser_options_set_fallback_charsets(options, guesses);
  return options;
}

char *mime_without_locale_charsets(const char *raw) {
  char *text = g_strdup(raw);
  for (char *word = text; (word = strstr(word, "=?")) != NULL; word += 2) {
    if (word[2] == '/') word[2] = '-';
    if (g_ascii_strncasecmp(word + 2, "x-unknown", strlen("x-unknown")) == 0) word[2] = 'z';
  }
  return text;
}
