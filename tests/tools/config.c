// The configuration file is the user's alone and understood whole; what is wrong in it is told with
// the file's path and the line.
#include "tools/config.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tools/exit_code.h"

typedef struct {
  char *directory;
  char *path;
} Fixture;

static void fixture_set_up(Fixture *fixture, gconstpointer unused) {
  fixture->directory = g_dir_make_tmp("mailfs-config-XXXXXX", NULL);
  g_assert_nonnull(fixture->directory);
  fixture->path = g_build_filename(fixture->directory, "config", NULL);
}

static void fixture_tear_down(Fixture *fixture, gconstpointer unused) {
  g_unlink(fixture->path);
  g_rmdir(fixture->path);
  g_assert_cmpint(g_rmdir(fixture->directory), ==, 0);
  g_free(fixture->path);
  g_free(fixture->directory);
}

static void write_bytes(const Fixture *fixture, const char *bytes, size_t size) {
  g_assert_true(g_file_set_contents(fixture->path, bytes, (gssize)size, NULL));
  g_assert_cmpint(g_chmod(fixture->path, 0644), ==, 0);
}

// Loads the file and applies [work]. NULL or, newly allocated, what was said without the path.
static char *complaint(const Fixture *fixture, Options *options) {
  g_autoptr(GError) error = NULL;
  g_autoptr(Config) config = config_load(fixture->path, &error);
  if (config != NULL && config_apply(config, "work", options, &error)) return NULL;
  g_assert_error(error, EXIT_ERROR, EX_CONFIG);
  g_assert_true(g_str_has_prefix(error->message, fixture->path));
  g_assert_null(strchr(error->message, '\n'));
  return g_strdup(error->message + strlen(fixture->path));
}

typedef struct {
  const char *text;
  const char *complaint;
} Row;

static const Row rows[] = {
    {"[work]\ncolour=blue\n", ":2: colour: there is no such option"},
    {"# mine\n\n[home]\nro=on\n[work]\n\n  names = ugly\n",
     ":7: names: 'ugly' is none of pretty, uid"},
    // The last one counts.
    {"[work]\nnames=ugly\nnames=uid\n", NULL},
    {"[work]\nnames=uid\nnames=ugly\n", ":3: names: 'ugly' is none of pretty, uid"},
    // A section may come in two parts.
    {"[work]\nro=on\n[home]\nro=on\n[work]\nconnections=0\n",
     ":6: connections: '0' is not a number from 1 to 32"},
    // A misspelt key is found in any section; what it should be, only in the section in use.
    {"[work]\nro=on\n[home]\nnames=ugly\nnames_=uid\n", ":5: names_: there is no such option"},
    {"[work]\nro=on\n[home]\nnames=ugly\n", NULL},
    {"[work]\nno equals sign\n", ":2: this line is neither [SECTION] nor KEY=VALUE"},
    {"[work]\nro=on\n\nro on", ":4: this line is neither [SECTION] nor KEY=VALUE"},
    {"ro=on\n[work]\n", ":1: this line is neither [SECTION] nor KEY=VALUE"},
    {"[work\nro=on\n", ":1: this line is neither [SECTION] nor KEY=VALUE"},
    {"[work]\npassword_command=echo \\q\n",
     ":2: password_command: not UTF-8, or a backslash that begins none of \\s \\n \\t \\r \\\\"},
    {"[work]\nfrom=\xff\xfe\n",
     ":2: from: not UTF-8, or a backslash that begins none of \\s \\n \\t \\r \\\\"},
    {"[work]\nconfig=/etc/other\n", ":2: config: this belongs to -o only"},
    {"[work]\nnofail=true\n", ":2: nofail: there is no such option"},
    {"[work]\nimap=imaps://alice:hunter2@example.org\n",
     ":2: imap: imaps://...: the server URL must not hold a password: use password_command or "
     "password_file"},
    {"[work]\nfrom[de]=alice@example.org\n", ":2: from[de]: there is no such option"},
    {"[home]\nro=on\n", ": there is no section [work]"},
    {"", ": there is no section [work]"},
    {"[work]\r\nro=on\r\nnames=ugly\r\n", ":3: names: 'ugly' is none of pretty, uid"},
};

static void test_row(Fixture *fixture, gconstpointer data) {
  const Row *row = data;
  write_bytes(fixture, row->text, strlen(row->text));
  g_autoptr(Options) options = options_new();
  g_autofree char *said = complaint(fixture, options);
  g_assert_cmpstr(said, ==, row->complaint);
}

// The file's values are set, those it does not name stay, paths start at its directory.
static void test_values(Fixture *fixture, gconstpointer unused) {
  const char *text = "[home]\nconnections=7\n[work]\nrefresh=1m\nca_file=ca.pem\n";
  write_bytes(fixture, text, strlen(text));
  g_autoptr(Options) options = options_new();
  g_assert_null(complaint(fixture, options));
  g_autofree char *ca_file = g_build_filename(fixture->directory, "ca.pem", NULL);
  g_assert_cmpstr(options->ca_file, ==, ca_file);
  g_assert_cmpuint(options->refresh, ==, 60);
  g_assert_cmpuint(options->connections, ==, 4);

  g_autoptr(Config) config = config_load(fixture->path, NULL);
  g_autofree char *sections = g_strjoinv(",", (char **)config_sections(config));
  g_assert_cmpstr(sections, ==, "home,work");
}

// A password file that others may read is refused with the line that names it.
static void test_secret_file(Fixture *fixture, gconstpointer unused) {
  g_autofree char *secret = g_build_filename(fixture->directory, "secret", NULL);
  g_assert_true(g_file_set_contents(secret, "hunter2\n", -1, NULL));
  const char *text = "[work]\nro=on\npassword_file=secret\n";
  write_bytes(fixture, text, strlen(text));
  g_autoptr(Options) options = options_new();
  g_assert_cmpint(g_chmod(secret, 0600), ==, 0);
  g_assert_null(complaint(fixture, options));
  g_assert_cmpstr(options->password_file, ==, secret);
  g_assert_cmpint(g_chmod(secret, 0640), ==, 0);
  g_autofree char *said = complaint(fixture, options);
  g_assert_true(g_str_has_prefix(said, ":3: password_file: "));
  g_assert_null(strstr(said, "hunter2"));
  g_unlink(secret);
}

static void assert_refused(const Fixture *fixture, const char *words) {
  g_autoptr(Options) options = options_new();
  g_autofree char *said = complaint(fixture, options);
  g_assert_nonnull(said);
  g_assert_nonnull(strstr(said, words));
}

static void test_file(Fixture *fixture, gconstpointer unused) {
  assert_refused(fixture, "No such file or directory");
  static const unsigned modes[] = {0664, 0646, 0622};
  for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
    write_bytes(fixture, "[work]\nro=on\n", 13);
    g_assert_cmpint(g_chmod(fixture->path, (int)modes[i]), ==, 0);
    assert_refused(fixture, "others may write to this file");
  }
  write_bytes(fixture, "[work]\nro=on\n\0[home]\n", 21);
  assert_refused(fixture, "this is not a text file");
  g_autofree char *large = g_strnfill((1 << 20) + 1, '#');
  write_bytes(fixture, large, (1 << 20) + 1);
  assert_refused(fixture, "this file is too large");
  g_unlink(fixture->path);
  g_assert_cmpint(mkfifo(fixture->path, 0600), ==, 0);
  assert_refused(fixture, "this is not a regular file");
  g_unlink(fixture->path);
  g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
  assert_refused(fixture, "this is not a regular file");
}

// A line is found in a large file without reading it once for each line.
static void test_many_lines(Fixture *fixture, gconstpointer unused) {
  g_autoptr(GString) text = g_string_new("[work]\n");
  for (unsigned i = 0; i < 100000; i++)
    g_string_append(text, "ro=on\n");
  g_string_append(text, "oops\nro=on\n");
  write_bytes(fixture, text->str, text->len);
  assert_refused(fixture, ":100002: this line");
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/config/row/%zu", i);
    g_test_add(path, Fixture, &rows[i], fixture_set_up, test_row, fixture_tear_down);
  }
  g_test_add("/config/values", Fixture, NULL, fixture_set_up, test_values, fixture_tear_down);
  g_test_add("/config/secret-file", Fixture, NULL, fixture_set_up, test_secret_file,
             fixture_tear_down);
  g_test_add("/config/file", Fixture, NULL, fixture_set_up, test_file, fixture_tear_down);
  g_test_add("/config/many-lines", Fixture, NULL, fixture_set_up, test_many_lines,
             fixture_tear_down);
  return g_test_run();
}
