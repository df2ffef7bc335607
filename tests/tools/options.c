// A list of -o sets what its keys say, with units, lists and paths understood; anything else is
// refused with one line that names the key, and changes nothing.
#include "tools/options.h"

#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tools/exit_code.h"

// -- What is refused.

typedef struct {
  const char *list;
  const char *message;
} Refusal;

static const Refusal refusals[] = {
    {"colour=blue", "-o colour: there is no such option"},
    {"ro,colour", "-o colour: there is no such option"},
    {"Imap=imaps://alice@example.org", "-o Imap: there is no such option"},
    {"=4", "-o : there is no such option"},
    {"x=1", "-o x: there is no such option"},
    {"connections", "-o connections: needs a value"},
    {"connections=", "-o connections: '' is not a number from 1 to 32"},
    {"connections=0", "-o connections: '0' is not a number from 1 to 32"},
    {"connections=33", "-o connections: '33' is not a number from 1 to 32"},
    {"connections=4s", "-o connections: '4s' is not a number from 1 to 32"},
    {"connections=-4", "-o connections: '-4' is not a number from 1 to 32"},
    {"connections= 4", "-o connections: ' 4' is not a number from 1 to 32"},
    {"connections=18446744073709551617",
     "-o connections: '18446744073709551617' is not a number from 1 to 32"},
    {"refresh=often",
     "-o refresh: 'often' is not a time from 0 to 604800 seconds, like 30, 2s or 5d"},
    {"refresh=8d", "-o refresh: '8d' is not a time from 0 to 604800 seconds, like 30, 2s or 5d"},
    {"timeout=0", "-o timeout: '0' is not a time from 1 to 3600 seconds, like 30, 2s or 5d"},
    {"send_lifetime=5dd",
     "-o send_lifetime: '5dd' is not a time from 1 to 31536000 seconds, like 30, 2s or 5d"},
    {"cache_size=big", "-o cache_size: 'big' is not a number of bytes like 64M or 5G"},
    {"cache_size=99999999T", "-o cache_size: '99999999T' is not a number of bytes like 64M or 5G"},
    {"prefetch=1P", "-o prefetch: '1P' is not a number of bytes like 64M or 5G"},
    {"umask=08", "-o umask: '08' is not an octal number up to 0777"},
    {"umask=1000", "-o umask: '1000' is not an octal number up to 0777"},
    {"tls=maybe", "-o tls: 'maybe' is neither on nor off"},
    {"names=ugly", "-o names: 'ugly' is none of pretty, uid"},
    {"delete=", "-o delete: '' is none of trash, expunge, refuse"},
    {"auth=PLAIN;AUTH", "-o auth: 'PLAIN;AUTH' is not a word of letters, digits, - and _"},
    {"from=alice", "-o from: 'alice' is not an address like alice@example.org"},
    {"from=Alice <alice@example.org>",
     "-o from: 'Alice <alice@example.org>' is not an address like alice@example.org"},
    {"outbox=../evil",
     "-o outbox: '../evil' is not a directory's name: at most 255 bytes, no /, "
     "no . or - in front"},
    {"outbox=a/b",
     "-o outbox: 'a/b' is not a directory's name: at most 255 bytes, no /, no . or - in front"},
    {"proxy=socks5h://a\nb", "-o proxy: has a control character in its value"},
    {"proxy=\xff", "-o proxy: is not UTF-8"},
    {"subtype=a\\,b", "-o subtype: must not hold a comma or a backslash"},
    {"imap=gopher://alice@example.org",
     "-o imap: gopher://...: the server URL must begin with imaps://, imap://, pop3s://, pop3://, "
     "smtps:// or smtp://"},
    {"imap=smtp://alice@example.org",
     "-o imap: smtp://... will not do here: write imaps://user@host or imap://user@host"},
    {"smtp=imaps://alice@example.org",
     "-o smtp: imaps://... will not do here: write smtps://user@host or smtp://user@host"},
    {"password_file=/nowhere/secret",
     "-o password_file: the password file /nowhere/secret cannot be read: No such file or "
     "directory"},
    {"password=hunter2",
     "-o password: there is no such option (a password comes from "
     "password_command or password_file)"},
};

static void test_refusal(gconstpointer data) {
  const Refusal *refusal = data;
  g_autoptr(Options) options = options_new();
  g_autoptr(GError) error = NULL;
  g_assert_false(options_set_list(options, refusal->list, "/base", &error));
  g_assert_error(error, EXIT_ERROR, EX_CONFIG);
  g_assert_cmpstr(error->message, ==, refusal->message);
  // What it was before, it still is.
  g_assert_cmpuint(options->connections, ==, 4);
  g_assert_cmpuint(options->refresh, ==, 30);
  g_assert_null(options->from);
  g_assert_null(options->imap);
  g_assert_cmpstr(options->outbox, ==, "outbox");
}

// The words for a URL with a password in it do not repeat the password.
static void test_secret_url(void) {
  g_autoptr(Options) options = options_new();
  g_autoptr(GError) error = NULL;
  g_assert_false(options_set_list(options, "imap=imaps://alice:hunter2@example.org", "/", &error));
  g_assert_null(strstr(error->message, "hunter2"));
  g_assert_nonnull(strstr(error->message, "password"));
}

// -- What is understood.

typedef struct {
  const char *list;
  size_t offset;
  uint64_t value;
} Number;

static const Number numbers[] = {
    {"connections=32", offsetof(Options, connections), 32},
    {"refresh=0", offsetof(Options, refresh), 0},
    {"refresh=2s", offsetof(Options, refresh), 2},
    {"refresh=15m", offsetof(Options, refresh), 900},
    {"refresh=6H", offsetof(Options, refresh), 21600},
    {"send_lifetime=5d", offsetof(Options, send_lifetime), 432000},
    {"cache_size=1000", offsetof(Options, cache_size), 1000},
    {"cache_size=1k", offsetof(Options, cache_size), 1024},
    {"cache_size=64M", offsetof(Options, cache_size), 64 << 20},
    {"cache_size=2T", offsetof(Options, cache_size), 2ull << 40},
    {"umask=022", offsetof(Options, umask), 022},
    {"uid=4294967294", offsetof(Options, uid), 4294967294},
    {"connections=2,,connections=3,", offsetof(Options, connections), 3},
};

static void test_number(gconstpointer data) {
  const Number *number = data;
  g_autoptr(Options) options = options_new();
  g_autoptr(GError) error = NULL;
  g_assert_true(options_set_list(options, number->list, "/", &error));
  g_assert_no_error(error);
  g_assert_cmpuint(*(uint64_t *)((char *)options + number->offset), ==, number->value);
}

typedef struct {
  const char *list;
  size_t offset;
  const char *value;  // NULL: unset
} Text;

static const Text texts[] = {
    {"imap=imaps://alice%40example.org@mail.example.org:1993", offsetof(Options, imap),
     "imaps://alice%40example.org@mail.example.org:1993"},
    {"smtp=smtp://relay.example.org", offsetof(Options, smtp), "smtp://relay.example.org"},
    {"ca_file=certs/../ca.pem", offsetof(Options, ca_file), "/base/ca.pem"},
    {"ca_file=/etc/ca.pem", offsetof(Options, ca_file), "/etc/ca.pem"},
    {"ca_file=~/ca.pem", offsetof(Options, ca_file), "/home/alice/ca.pem"},
    {"ca_file=~bob/ca.pem", offsetof(Options, ca_file), "/base/~bob/ca.pem"},
    {"password_command=printf 'a\\,b' | cut -d\\, -f1", offsetof(Options, password_command),
     "printf 'a,b' | cut -d, -f1"},
    {"password_command=printf 'a\\\\nb\\n'", offsetof(Options, password_command),
     "printf 'a\\nb\\n'"},
    {"outbox=", offsetof(Options, outbox), NULL},
    {"outbox=Versand", offsetof(Options, outbox), "Versand"},
    {"from=alice@example.org,from=", offsetof(Options, from), NULL},
    {"names=uid", offsetof(Options, names), "uid"},
    {"auth=CRAM-MD5", offsetof(Options, auth), "CRAM-MD5"},
    {"proxy=socks5h://localhost:9050", offsetof(Options, proxy), "socks5h://localhost:9050"},
};

static void test_text(gconstpointer data) {
  const Text *text = data;
  g_autoptr(Options) options = options_new();
  g_autoptr(GError) error = NULL;
  g_assert_true(options_set_list(options, text->list, "/base", &error));
  g_assert_no_error(error);
  g_assert_cmpstr(*(char **)((char *)options + text->offset), ==, text->value);
}

static void test_switches(void) {
  g_autoptr(Options) options = options_new();
  g_assert_true(options->tls);
  g_assert_false(options->ro);
  g_assert_true(options_set_list(options, "tls=off,ro,allow_other=yes", "/", NULL));
  g_assert_false(options->tls);
  g_assert_true(options->ro);
  g_assert_true(options->allow_other);
  g_assert_true(options_set_list(options, "ro=false,allow_other=0", "/", NULL));
  g_assert_false(options->ro);
  g_assert_false(options->allow_other);
}

static void test_globs(void) {
  g_autoptr(Options) options = options_new();
  g_assert_null(options->folders);
  g_assert_true(options_set_list(options, "folders=INBOX: Archive/* !Archive/old", "/", NULL));
  g_autofree char *folders = g_strjoinv("|", options->folders);
  g_assert_cmpstr(folders, ==, "INBOX|Archive/*|!Archive/old");
  g_assert_true(options_set_list(options, "folders=", "/", NULL));
  g_assert_null(options->folders);
}

// What fstab and mount(8) say is not an error in -o, but has no place in the configuration file.
static void test_mount_words(void) {
  g_autoptr(Options) options = options_new();
  g_autoptr(GError) error = NULL;
  g_assert_true(options_set_list(options,
                                 "rw,user,nofail,_netdev,noauto,x-systemd.automount,dev,suid,exec,"
                                 "x-gvfs-name=Mail,noatime,defaults",
                                 "/", &error));
  g_assert_no_error(error);
  g_assert_false(options_set(options, "nofail", "1", OPTION_ANYWHERE, "/", NULL));
  g_assert_false(options_set(options, "config", "/x", OPTION_ANYWHERE, "/", &error));
  g_assert_cmpstr(error->message, ==, "config: this belongs to -o only");
}

static void test_for_fuse(void) {
  g_autoptr(Options) options = options_new();
  g_assert_null(options_for_fuse(options));
  g_assert_true(
      options_set_list(options, "subtype=mail,noexec,max_read=64K,nodev=off,ro,uid=7", "/", NULL));
  g_autofree char *list = options_for_fuse(options);
  g_assert_cmpstr(list, ==, "max_read=65536,noexec,subtype=mail");
}

int main(int argc, char **argv) {
  // Before GLib looks for it.
  g_setenv("HOME", "/home/alice", TRUE);
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
    g_autofree char *path = g_strdup_printf("/options/refused/%zu", i);
    g_test_add_data_func(path, &refusals[i], test_refusal);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
    g_autofree char *path = g_strdup_printf("/options/number/%zu", i);
    g_test_add_data_func(path, &numbers[i], test_number);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autofree char *path = g_strdup_printf("/options/text/%zu", i);
    g_test_add_data_func(path, &texts[i], test_text);
  }
  g_test_add_func("/options/secret-url", test_secret_url);
  g_test_add_func("/options/switches", test_switches);
  g_test_add_func("/options/globs", test_globs);
  g_test_add_func("/options/mount-words", test_mount_words);
  g_test_add_func("/options/for-fuse", test_for_fuse);
  return g_test_run();
}
