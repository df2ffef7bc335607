// What the options come to: which servers, which directories, which sender; and which options
// contradict each other.
#include "tools/settings.h"

#include <string.h>

#include "tools/exit_code.h"

static Options *options_of(const char *list) {
  g_autoptr(GError) error = NULL;
  Options *options = options_new();
  options_set_list(options, list, "/", &error);
  g_assert_no_error(error);
  return options;
}

typedef struct {
  const char *list;
  const char *section;  // NULL: by URL
  const char *cache_directory, *state_directory, *from;
} Row;

static const Row rows[] = {
    {"imap=imaps://alice@mail.example.org", NULL,
     "/home/alice/.cache/mailfs/imaps_alice@mail.example.org",
     "/home/alice/.local/state/mailfs/imaps_alice@mail.example.org", "alice@mail.example.org"},
    {"imap=imap://alice%40example.org@mail.example.org:1143,cache_dir=/c,state_dir=/s", NULL,
     "/c/imap_alice@example.org@mail.example.org_1143",
     "/s/imap_alice@example.org@mail.example.org_1143", "alice@example.org"},
    {"imap=imaps://alice@mail.example.org,cache_dir=/c,state_dir=/s,from=bob@example.org",
     "my work/..", "/c/my%20work%2F..", "/s/my%20work%2F..", "bob@example.org"},
    {"pop3=pop3s://alice@mail.example.org,cache_dir=/c,state_dir=/s", "..", "/c/%2E%2E",
     "/s/%2E%2E", "alice@mail.example.org"},
    {"pop3=pop3://alice@mail.example.org,cache_dir=/c,state_dir=/s,delete=expunge,keep=forever,"
     "save_sent=no",
     NULL, "/c/pop3_alice@mail.example.org", "/s/pop3_alice@mail.example.org",
     "alice@mail.example.org"},
};

static void test_row(gconstpointer data) {
  const Row *row = data;
  g_autoptr(Options) options = options_of(row->list);
  g_autoptr(GError) error = NULL;
  g_autoptr(Settings) settings = settings_new(row->section, "/", options, &error);
  g_assert_no_error(error);
  g_assert_cmpstr(settings->cache_directory, ==, row->cache_directory);
  g_assert_cmpstr(settings->state_directory, ==, row->state_directory);
  g_assert_cmpstr(settings->from, ==, row->from);
  g_assert_cmpstr(settings->mountpoint, ==, "/");
  g_assert_null(settings->smtp);
  g_assert_null(settings->outbox_name);
}

typedef struct {
  const char *list;
  const char *mountpoint;
  int code;
  const char *message;
} Refusal;

static const Refusal refusals[] = {
    {"ro", "/", EX_CONFIG, "the account has no mail server: set imap or pop3"},
    {"imap=imaps://a@example.org,pop3=pop3s://a@example.org", "/", EX_CONFIG,
     "imap and pop3 are both set: an account has one mail server"},
    {"imap=imaps://a@example.org,tls=off", "/", EX_CONFIG,
     "tls=off contradicts the URL: plain text is imap://, pop3:// or smtp://"},
    {"imap=imaps://a@example.org,cache_dir=/x,state_dir=/y/../x", "/", EX_CONFIG,
     "cache_dir and state_dir are the same directory; the cache may be deleted at any time, the "
     "state may not"},
    {"imap=imaps://a%20b@example.org,smtp=smtps://a@example.org", "/", EX_CONFIG,
     "the user's name makes no sender address: set from"},
    {"pop3=pop3s://a@example.org,delete=trash", "/", EX_CONFIG,
     "delete=trash: a POP3 server has no trash; set expunge or refuse"},
    {"imap=imaps://a@example.org,keep=forever", "/", EX_CONFIG,
     "keep=forever: only a POP3 account is archived"},
    {"pop3=pop3s://a@example.org,folders=INBOX", "/", EX_CONFIG,
     "folders: a POP3 account has no folder but INBOX"},
    {"pop3=pop3s://a@example.org,save_sent=Sent", "/", EX_CONFIG,
     "save_sent: a POP3 server takes no mail into a folder; set auto or no"},
    {"imap=imaps://a@example.org", "/nowhere", EX_USAGE,
     "cannot mount at /nowhere: No such file or directory"},
    {"imap=imaps://a@example.org", "/dev/null", EX_USAGE,
     "cannot mount at /dev/null: Not a directory"},
};

static void test_refusal(gconstpointer data) {
  const Refusal *refusal = data;
  g_autoptr(Options) options = options_of(refusal->list);
  g_autoptr(GError) error = NULL;
  g_assert_null(settings_new(NULL, refusal->mountpoint, options, &error));
  g_assert_error(error, EXIT_ERROR, refusal->code);
  g_assert_cmpstr(error->message, ==, refusal->message);
}

// Both servers are reached in the same way; tls=off is only for what is not TLS from the start.
static void test_servers(void) {
  g_autoptr(Options) options = options_of(
      "imap=imaps://alice@mail.example.org,smtp=smtp://relay.example.org,tls=off,timeout=5,"
      "ca_file=/ca.pem,auth=PLAIN,tls_pin=sha256//AAAA,proxy=http://proxy.example.org,"
      "client_cert=/cert,client_key=/key,outbox=out,fsname=mail");
  g_autoptr(Settings) settings = settings_new(NULL, "/dev/fd/7", options, NULL);
  g_assert_nonnull(settings);
  g_assert_false(settings->mailbox->tls_off);
  g_assert_true(settings->smtp->tls_off);
  g_assert_null(settings->smtp->user);
  g_assert_cmpstr(settings->outbox_name, ==, "out");
  g_assert_cmpstr(settings->source, ==, "mail");
  g_assert_cmpstr(settings->mountpoint, ==, "/dev/fd/7");
  const Account *accounts[] = {settings->mailbox, settings->smtp};
  for (size_t i = 0; i < G_N_ELEMENTS(accounts); i++) {
    g_assert_cmpuint(accounts[i]->timeout_ms, ==, 5000);
    g_assert_cmpstr(accounts[i]->ca_file, ==, "/ca.pem");
    g_assert_cmpstr(accounts[i]->auth, ==, "PLAIN");
    g_assert_cmpstr(accounts[i]->tls_pin, ==, "sha256//AAAA");
    g_assert_cmpstr(accounts[i]->proxy, ==, "http://proxy.example.org");
    g_assert_cmpstr(accounts[i]->client_cert, ==, "/cert");
    g_assert_cmpstr(accounts[i]->client_key, ==, "/key");
    g_assert_null(accounts[i]->secret);
  }
}

typedef struct {
  const char *list;
  bool is_kept;
  const char *folder;
} SentRow;

static const SentRow sent_rows[] = {
    {"imap=imaps://a@example.org", true, NULL},
    {"imap=imaps://a@example.org,save_sent=", true, NULL},
    {"imap=imaps://a@example.org,save_sent=Old/Sent", true, "Old/Sent"},
    {"imap=imaps://a@example.org,save_sent=no", false, NULL},
    {"imap=imaps://a@example.org,ro", false, NULL},
    {"pop3=pop3s://a@example.org", false, NULL},
    {"pop3=pop3s://a@example.org,save_sent=no", false, NULL},
};

// What was sent is kept where the options say, if the server can take it and may be changed.
static void test_sent(gconstpointer data) {
  const SentRow *row = data;
  g_autoptr(Options) options = options_of(row->list);
  g_autoptr(Settings) settings = settings_new(NULL, "/", options, NULL);
  g_assert_nonnull(settings);
  g_assert_cmpint(settings->keeps_sent, ==, row->is_kept);
  g_assert_cmpstr(settings->sent_folder, ==, row->folder);
}

// Without a name for it, or without a server, there is no outbox.
static void test_no_outbox(void) {
  g_autoptr(Options) options =
      options_of("imap=imaps://alice@example.org,smtp=smtps://alice@example.org,outbox=");
  g_autoptr(Settings) settings = settings_new(NULL, "/", options, NULL);
  g_assert_null(settings->smtp);
  g_assert_null(settings->outbox_name);
}

int main(int argc, char **argv) {
  g_setenv("HOME", "/home/alice", TRUE);
  g_unsetenv("XDG_CACHE_HOME");
  // Not absolute: as if it were not set.
  g_setenv("XDG_STATE_HOME", "state", TRUE);
  g_test_init(&argc, &argv, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/settings/row/%zu", i);
    g_test_add_data_func(path, &rows[i], test_row);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
    g_autofree char *path = g_strdup_printf("/settings/refused/%zu", i);
    g_test_add_data_func(path, &refusals[i], test_refusal);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(sent_rows); i++) {
    g_autofree char *path = g_strdup_printf("/settings/sent/%zu", i);
    g_test_add_data_func(path, &sent_rows[i], test_sent);
  }
  g_test_add_func("/settings/servers", test_servers);
  g_test_add_func("/settings/no-outbox", test_no_outbox);
  return g_test_run();
}
