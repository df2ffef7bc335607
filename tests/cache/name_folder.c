// A folder's name on disk is what its owner calls it, leads nowhere else whatever the server says,
// and can be turned back; no two folders have the same one.
#include <string.h>

#include "cache/name.h"

static const struct {
  const char *path;
  const char *raw;
  const char *want;
} rows[] = {
    {"plain", "Archive 2025", "Archive 2025"},
    {"decoded", "Entw&APw-rfe", "Entw\u00FCrfe"},
    {"decoded-and-escaped", "Entw&APw-rfe/&AOk- &- co", "Entw\u00FCrfe%2F\u00E9 & co"},
    {"not-normalised", "e&AwE-", "e\u0301"},
    {"percent", "100% %2F", "100%25 %252F"},
    {"dot", ".", "%2E"},
    {"dot-dot", "..", "%2E."},
    {"three-dots", "...", "..."},
    {"hidden", ".hidden", ".hidden"},
    {"parent", "../../etc", "..%2F..%2Fetc"},
    {"encoded-parent", "..&AC8-..", "..%26AC8-.."},
    {"encoded-nul", "a&AAA-b", "a%26AAA-b"},
    {"lone-ampersand", "Tom & Eva", "Tom %26 Eva"},
    {"broken-base64", "Entw&APw", "Entw%26APw"},
    {"needless-base64", "&AGE-", "%26AGE-"},
    {"raw-utf8", "Entw\u00FCrfe & co", "Entw\u00FCrfe %26 co"},
    {"raw-latin1", "Entw\xFCrfe", "Entw\xFCrfe"},
    {"empty", "", "%~e3b0c44298fc1c14"},
    {"reserved", "outbox", "%6Futbox"},
    {"reserved-only-whole", "outbox2", "outbox2"},
    {"like-a-message", "4711.eml", "%34711.eml"},
    {"like-a-pretty-message", "2026-11-23_0343_A_b,1.eml", "%32026-11-23_0343_A_b,1.eml"},
    {"like-a-message-in-utf8", "&AOk-1.eml", "%C3%A91.eml"},
    {"like-no-message", "mail.eml", "mail.eml"},
    {"like-a-message-but-escaped", "%1.eml", "%251.eml"},
    {"suffix-alone", ".eml", ".eml"},
};

static void is_shown_as(gconstpointer data) {
  size_t i = GPOINTER_TO_SIZE(data);
  g_autofree char *name = name_folder(rows[i].raw, "outbox");
  g_assert_cmpstr(name, ==, rows[i].want);
}

// Every byte that a server may send alone and between letters: a name that is one level, not a
// special one, and not another byte's.
static void no_byte_leaves_the_folder(void) {
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (int byte = 1; byte <= 0xFF; byte++) {
    const char alone[] = {(char)byte, '\0'};
    const char between[] = {'a', (char)byte, 'b', '\0'};
    const char *const raw[] = {alone, between};
    for (size_t i = 0; i < G_N_ELEMENTS(raw); i++) {
      char *name = name_folder(raw[i], NULL);
      g_assert_null(strchr(name, '/'));
      g_assert_cmpstr(name, !=, "");
      g_assert_cmpstr(name, !=, ".");
      g_assert_cmpstr(name, !=, "..");
      g_assert_true(g_hash_table_add(seen, name));
    }
  }
}

static char *repeat(const char *text, size_t size) {
  GString *repeated = g_string_new(NULL);
  while (repeated->len < size)
    g_string_append(repeated, text);
  return g_string_free(repeated, FALSE);
}

static const char *const pieces[] = {"a", "%", "\u00E9", "\U0001F389", "\x80", "x/"};

static void long_names_are_cut_and_stay_distinct(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(pieces); i++) {
    for (size_t shift = 0; shift < 4; shift++) {
      g_autofree char *pad = g_strnfill(shift, 'p');
      g_autofree char *text = repeat(pieces[i], 1000);
      g_autofree char *first = g_strconcat(pad, text, "1", NULL);
      g_autofree char *second = g_strconcat(pad, text, "2", NULL);
      g_autofree char *first_name = name_folder(first, NULL);
      g_autofree char *second_name = name_folder(second, NULL);
      g_assert_cmpuint(strlen(first_name), <=, NAME_FOLDER_MAX);
      g_assert_cmpstr(first_name, !=, second_name);
      if (g_utf8_validate(first, -1, NULL)) g_assert_true(g_utf8_validate(first_name, -1, NULL));
      char *mark = strstr(first_name, "%~");
      g_assert_nonnull(mark);
      *mark = '\0';
      g_autofree char *unescaped = g_uri_unescape_string(first_name, NULL);
      if (g_utf8_validate(first, -1, NULL)) g_assert_true(g_str_has_prefix(first, unescaped));
    }
  }
}

static void the_longest_name_is_whole(void) {
  g_autofree char *raw = repeat("a", NAME_FOLDER_MAX);
  g_autofree char *name = name_folder(raw, NULL);
  g_assert_cmpstr(name, ==, raw);
}

static void a_reserved_escape_is_marked(void) {
  g_autofree char *name = name_folder("%", "%25");
  g_assert_true(g_str_has_prefix(name, "%25%~"));
}

static void the_second_of_a_name_is_marked(void) {
  g_autofree char *encoded = name_folder("Entw&APw-rfe", NULL);
  g_autofree char *raw = name_folder("Entw\u00FCrfe", NULL);
  g_autofree char *distinct = name_folder_distinct("Entw\u00FCrfe");
  g_assert_cmpstr(encoded, ==, raw);
  g_assert_cmpstr(distinct, ==, "Entw\u00FCrfe%~ab5ee80993a44ac8");
}

static const struct {
  const char *raw;
  const char *want;
} displays[] = {
    {"Entw&APw-rfe/&AOk- &- co", "Entw\u00FCrfe/\u00E9 & co"},
    {"Entw\u00FCrfe", "Entw\u00FCrfe"},
    {"Entw\xFCrfe", "Entw\uFFFDrfe"},
    {"Tom & Eva", "Tom & Eva"},
};

static void is_displayed_as(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(displays); i++) {
    g_autofree char *name = name_folder_display(displays[i].raw);
    g_assert_cmpstr(name, ==, displays[i].want);
  }
}

static const struct {
  const char *path;
  const char *globs;  // separated by spaces
  bool want;
} choices[] = {
    {"Archive/2025", "", true},
    {"INBOX", "INBOX", true},
    {"Inbox", "INBOX", true},
    {"INBOX", "inbox", true},
    {"Inbox/Work", "INBOX/*", true},
    {"INBOX", "!inbox", false},
    {"INBOXES", "inboxes", false},
    {"Archive", "INBOX", false},
    {"Archive", "INBOX Archive", true},
    {"archive", "Archive", false},
    {"Archive/2025", "Archive", false},
    {"Archive/2025/May", "Archive/*", true},
    {"Archive/2025/May", "*/May", true},
    {"Archive/2025", "Archive/202?", true},
    {"Entw\u00FCrfe", "Entw?rfe", true},
    {"Spam", "!Spam", false},
    {"Work", "!Spam", true},
    {"Work", "!Spam INBOX", false},
    {"Archive/2024", "Archive/* !*/2024", false},
    {"Archive/2024", "!*/2024 Archive/*", false},
    {"Archive/2025", "!*/2024 Archive/*", true},
};

static void is_wanted_by_globs(void) {
  g_assert_true(name_folder_wanted("Archive", NULL));
  for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
    g_auto(GStrv) globs = g_strsplit(choices[i].globs, " ", -1);
    bool wanted = name_folder_wanted(choices[i].path, (const char *const *)globs);
    if (wanted != choices[i].want) g_error("%s by \"%s\"", choices[i].path, choices[i].globs);
  }
}

// A server without a hierarchy has folders of one level, whatever is in their names.
static void test_levels(void) {
  g_auto(GStrv) three = name_folder_levels("a.b/c.d", '.'), one = name_folder_levels("a/b.c", '\0');
  g_autofree char *joined = g_strjoinv("|", three), *alone = g_strjoinv("|", one);
  g_assert_cmpstr(joined, ==, "a|b/c|d");
  g_assert_cmpstr(alone, ==, "a/b.c");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strconcat("/name-folder/", rows[i].path, NULL);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), is_shown_as);
  }
  g_test_add_func("/name-folder/every-byte", no_byte_leaves_the_folder);
  g_test_add_func("/name-folder/long", long_names_are_cut_and_stay_distinct);
  g_test_add_func("/name-folder/longest", the_longest_name_is_whole);
  g_test_add_func("/name-folder/reserved-escape", a_reserved_escape_is_marked);
  g_test_add_func("/name-folder/distinct", the_second_of_a_name_is_marked);
  g_test_add_func("/name-folder/display", is_displayed_as);
  g_test_add_func("/name-folder/wanted", is_wanted_by_globs);
  g_test_add_func("/name-folder/levels", test_levels);
  return g_test_run();
}
