#include "net/account.h"

#include <string.h>

#include "net/error.h"

static const struct {
  const char *url;
  AccountProtocol protocol;
  bool implicit_tls;
  const char *user, *host;
  uint16_t port;
  const char *server, *directory;
} good[] = {
    {"imaps://alice@mail.example.org", ACCOUNT_IMAP, true, "alice", "mail.example.org", 993,
     "imaps://mail.example.org:993", "imaps_alice@mail.example.org"},
    {"imap://alice@mail.example.org", ACCOUNT_IMAP, false, "alice", "mail.example.org", 143,
     "imap://mail.example.org:143", "imap_alice@mail.example.org"},
    {"pop3s://bob@mail.example.org", ACCOUNT_POP3, true, "bob", "mail.example.org", 995,
     "pop3s://mail.example.org:995", "pop3s_bob@mail.example.org"},
    {"pop3://bob@mail.example.org", ACCOUNT_POP3, false, "bob", "mail.example.org", 110,
     "pop3://mail.example.org:110", "pop3_bob@mail.example.org"},
    {"smtps://bob@mail.example.org", ACCOUNT_SMTP, true, "bob", "mail.example.org", 465,
     "smtps://mail.example.org:465", "smtps_bob@mail.example.org"},
    {"smtp://mail.example.org", ACCOUNT_SMTP, false, NULL, "mail.example.org", 587,
     "smtp://mail.example.org:587", "smtp_mail.example.org"},
    // An @ in the user name is written %40.
    {"imaps://alice%40example.org@mail.example.org:1993", ACCOUNT_IMAP, true, "alice@example.org",
     "mail.example.org", 1993, "imaps://mail.example.org:1993",
     "imaps_alice@example.org@mail.example.org_1993"},
    // Scheme and host have no case, the user has.
    {"IMAPS://Alice@Mail.Example.ORG:993/", ACCOUNT_IMAP, true, "Alice", "mail.example.org", 993,
     "imaps://mail.example.org:993", "imaps_Alice@mail.example.org"},
    {"imaps://alice@[2001:DB8::1]", ACCOUNT_IMAP, true, "alice", "2001:db8::1", 993,
     "imaps://[2001:db8::1]:993", "imaps_alice@2001%3Adb8%3A%3A1"},
    {"imaps://alice@[fe80::1%25eth0]:65535", ACCOUNT_IMAP, true, "alice", "fe80::1%25eth0", 65535,
     "imaps://[fe80::1%25eth0]:65535", "imaps_alice@fe80%3A%3A1%2525eth0_65535"},
    // What a directory's name cannot hold is escaped: no way out of the cache.
    {"imaps://..%2F..%2Fetc@mail.example.org", ACCOUNT_IMAP, true, "../../etc", "mail.example.org",
     993, "imaps://mail.example.org:993", "imaps_..%2F..%2Fetc@mail.example.org"},
    {"imaps://j%C3%B6rg@b\303\274cher.example", ACCOUNT_IMAP, true, "j\303\266rg",
     "b\303\274cher.example", 993, "imaps://b\303\274cher.example:993",
     "imaps_j%C3%B6rg@b%C3%BCcher.example"},
};

// A URL gives its parts, the defaults of its scheme, and the names made of them.
static void test_good(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  g_autoptr(GError) error = NULL;
  g_autoptr(Account) account = account_new_from_url(good[row].url, &error);
  g_assert_no_error(error);
  g_assert_cmpint(account->protocol, ==, good[row].protocol);
  g_assert_true(account->implicit_tls == good[row].implicit_tls);
  g_assert_cmpstr(account->user, ==, good[row].user);
  g_assert_cmpstr(account->host, ==, good[row].host);
  g_assert_cmpuint(account->port, ==, good[row].port);
  g_assert_cmpuint(account->timeout_ms, ==, 60000);
  g_assert_null(account->secret);
  g_autofree char *server = account_server(account);
  g_assert_cmpstr(server, ==, good[row].server);
  g_autofree char *directory = account_directory_name(account);
  g_assert_cmpstr(directory, ==, good[row].directory);
}

static const char *const bad[] = {
    "",
    "mail.example.org",
    "alice@mail.example.org",
    "http://alice@mail.example.org",
    "imapss://alice@mail.example.org",
    "imaps:alice@mail.example.org",
    "imaps://",
    "imaps://mail.example.org",
    "imaps://@mail.example.org",
    "imaps://alice@",
    "imaps://alice@:993",
    "imaps://alice:hunter2@mail.example.org",
    "imaps://alice:hun/ter2@mail.example.org",
    "smtp://alice:@mail.example.org",
    "imaps://alice@example.org@mail.example.org",
    "imaps://alice@mail.example.org/INBOX",
    "imaps://alice@mail.example.org?hunter2",
    "imaps://alice@mail.example.org#hunter2",
    "imaps://alice@mail.example.org:0",
    "imaps://alice@mail.example.org:65536",
    "imaps://alice@mail.example.org:",
    "imaps://alice@mail.example.org:99x",
    "imaps://alice@mail.example.org:-1",
    "imaps://alice@mail.example.org:993:hunter2",
    "imaps://alice@mail example.org",
    "imaps://alice@mail.example.org\r\nX",
    "imaps://alice@-option",
    "imaps://alice@mail%2eexample.org",
    "imaps://alice@[::1",
    "imaps://alice@[mail.example.org]",
    "imaps://alice@[::1]x",
    "imaps://alice@[::1%25e/h]",
    "imaps://al%0d%0aice@mail.example.org",
    "imaps://al%00ice@mail.example.org",
    "imaps://al%zzice@mail.example.org",
    "imaps://al%ffice@mail.example.org",
    "imaps://al\001ice@mail.example.org",
    "imaps://alice@mail.exam\377ple.org",
};

// What is not such a URL is refused in one line that repeats nothing of it: it may hold a password.
static void test_bad(gconstpointer data) {
  g_autoptr(GError) error = NULL;
  g_autoptr(Account) account = account_new_from_url(bad[GPOINTER_TO_SIZE(data)], &error);
  g_assert_null(account);
  g_assert_error(error, NET_ERROR, NET_ERROR_REFUSED);
  g_assert_null(strstr(error->message, "hun"));
  g_assert_null(strchr(error->message, '\n'));
}

static const struct {
  const char *name, *escaped;
} directories[] = {
    {"work", "work"},
    {"My Mail", "My%20Mail"},
    {".", "%2E"},
    {"..", "%2E%2E"},
    {"a/b", "a%2Fb"},
    {"...", "..."},
    {"", "%"},
    {"100%", "100%25"},
    {"\n", "%0A"},
    {"alice@x.org", "alice@x.org"},
    {".a", ".a"},
    {"a_b+c-d", "a_b+c-d"},
    {"\303\244", "%C3%A4"},
};

// A section's name becomes one directory name, and different names different ones.
static void test_directories(void) {
  for (size_t i = 0; i < G_N_ELEMENTS(directories); i++) {
    g_autofree char *escaped = account_escape_directory(directories[i].name);
    g_assert_cmpstr(escaped, ==, directories[i].escaped);
  }
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
    g_autofree char *path = g_strdup_printf("/account/good/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_good);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
    g_autofree char *path = g_strdup_printf("/account/bad/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_bad);
  }
  g_test_add_func("/account/directories", test_directories);
  return g_test_run();
}
