// The manual page and --help name every option of the table, and no others.
#include <string.h>

#include <glib.h>

#include "tools/options.h"

static char *read_manual(void) {
  g_autofree char *path = g_test_build_filename(G_TEST_DIST, "..", "..", "tools", "mailfs.1", NULL);
  char *text = NULL;
  g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
  return text;
}

// The lines between `first` (after it) and the next that begins with `end`.
static char **lines_between(const char *text, const char *first, const char *end) {
  const char *begin = strstr(text, first);
  g_assert_nonnull(begin);
  begin += strlen(first);
  const char *stop = strstr(begin, end);
  g_autofree char *part = stop != NULL ? g_strndup(begin, (gsize)(stop - begin)) : g_strdup(begin);
  return g_strsplit(part, "\n", -1);
}

// The first word after `prefix`, newly allocated; NULL where the line does not begin so.
static char *word_after(const char *line, const char *prefix) {
  if (!g_str_has_prefix(line, prefix)) return NULL;
  const char *word = line + strlen(prefix);
  size_t length = strcspn(word, " =\n");
  return length > 0 ? g_strndup(word, length) : NULL;
}

// Holds the words found against the table: each row once.
static void assert_is_table(GHashTable *found) {
  size_t n_options;
  const Option *table = options_table(&n_options);
  for (size_t i = 0; i < n_options; i++) {
    if (!g_hash_table_remove(found, table[i].name))
      g_error("%s is in the table and not in the text", table[i].name);
  }
  GHashTableIter iter;
  gpointer word;
  g_hash_table_iter_init(&iter, found);
  if (g_hash_table_iter_next(&iter, &word, NULL))
    g_error("%s is in the text and not in the table", (char *)word);
}

static GHashTable *words_of(char **lines, const char *prefix) {
  GHashTable *words = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (char **line = lines; *line != NULL; line++) {
    char *word = word_after(*line, prefix);
    if (word != NULL && !g_hash_table_add(words, word)) g_error("%s stands twice", *line);
  }
  return words;
}

static void test_manual(void) {
  g_autofree char *manual = read_manual();
  g_auto(GStrv) lines = lines_between(manual, ".Sh CONFIGURATION KEYS\n", "\n.Sh ");
  g_autoptr(GHashTable) words = words_of(lines, ".It Cm ");
  assert_is_table(words);
}

static void test_help(void) {
  g_autofree char *help = options_help();
  g_auto(GStrv) lines = lines_between(help, ":\n", "\n\n");
  g_autoptr(GHashTable) words = words_of(lines, "  ");
  assert_is_table(words);
}

// Eighty columns are enough for --help.
static void test_width(void) {
  g_autofree char *help = options_help();
  g_auto(GStrv) lines = g_strsplit(help, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    if (strlen(*line) > 80) g_error("too wide: %s", *line);
  }
}

static void test_ignored(void) {
  g_autofree char *manual = read_manual();
  g_autofree char *help = options_help();
  g_auto(GStrv) lines = lines_between(manual, ".\\\" ignored\n", ".\\\" end of ignored");
  g_autoptr(GHashTable) words = words_of(lines, ".Cm ");
  g_auto(GStrv) shown = lines_between(help, "mount(8) puts them:\n", "\n\n");
  g_autofree char *joined = g_strjoinv(" ", shown);
  g_auto(GStrv) in_help = g_strsplit_set(joined, " ", -1);
  for (const char *const *word = options_ignored(); *word != NULL; word++) {
    if (!g_hash_table_remove(words, *word)) g_error("%s is not in the manual", *word);
    g_assert_true(g_strv_contains((const char *const *)in_help, *word));
    g_assert_null(option_find(*word));
  }
  g_assert_true(g_hash_table_remove(words, "x-*"));
  g_assert_cmpuint(g_hash_table_size(words), ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/manual/manual", test_manual);
  g_test_add_func("/manual/help", test_help);
  g_test_add_func("/manual/width", test_width);
  g_test_add_func("/manual/ignored", test_ignored);
  return g_test_run();
}
