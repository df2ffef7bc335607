#include "tools/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "net/mailbox.h"
#include "tools/directories.h"
#include "tools/exit_code.h"

static bool refuse(GError **error, int code, const char *why) {
  g_set_error_literal(error, EXIT_ERROR, code, why);
  return false;
}

// -- Servers.

// The URL was checked when the option was set; what is left is how to go there.
static Account *account_new(const char *url, const Options *options, GError **error) {
  Account *account = account_new_from_url(url, error);
  if (account == NULL) return NULL;
  account->tls_off = !options->tls && !account->implicit_tls;
  account->auth = g_strdup(options->auth);
  account->ca_file = g_strdup(options->ca_file);
  account->tls_pin = g_strdup(options->tls_pin);
  account->client_cert = g_strdup(options->client_cert);
  account->client_key = g_strdup(options->client_key);
  account->proxy = g_strdup(options->proxy);
  account->timeout_ms = (unsigned)options->timeout * 1000;
  return account;
}

static bool set_accounts(Settings *settings, GError **error) {
  const Options *options = settings->options;
  if (options->imap != NULL && options->pop3 != NULL)
    return refuse(error, EX_CONFIG, "imap and pop3 are both set: an account has one mail server");
  const char *url = options->imap != NULL ? options->imap : options->pop3;
  if (url == NULL)
    return refuse(error, EX_CONFIG, "the account has no mail server: set imap or pop3");
  settings->mailbox = account_new(url, options, error);
  if (settings->mailbox == NULL) return false;
  settings->source = g_strdup(options->fsname != NULL ? options->fsname : url);
  if (options->smtp != NULL && options->outbox != NULL) {
    settings->smtp = account_new(options->smtp, options, error);
    if (settings->smtp == NULL) return false;
    settings->outbox_name = options->outbox;
  }
  bool is_plain = settings->mailbox->tls_off || (settings->smtp != NULL && settings->smtp->tls_off);
  if (!options->tls && !is_plain)
    return refuse(error, EX_CONFIG,
                  "tls=off contradicts the URL: plain text is imap://, pop3:// or smtp://");
  return true;
}

// What only a store of another kind could do is said now, not when it is asked for.
static bool check_abilities(const Settings *settings, GError **error) {
  const Options *options = settings->options;
  bool is_pop3 = settings->mailbox->protocol == ACCOUNT_POP3;
  if (is_pop3 && g_strcmp0(options->delete, "trash") == 0)
    return refuse(error, EX_CONFIG,
                  "delete=trash: a POP3 server has no trash; set expunge or refuse");
  if (is_pop3 && options->folders != NULL)
    return refuse(error, EX_CONFIG, "folders: a POP3 account has no folder but INBOX");
  if (!is_pop3 && strcmp(options->keep, "forever") == 0)
    return refuse(error, EX_CONFIG, "keep=forever: only a POP3 account is archived");
  if (settings->sent_folder != NULL && !mailbox_traits(settings->mailbox)->can_append)
    return refuse(error, EX_CONFIG,
                  "save_sent: a POP3 server takes no mail into a folder; set auto or no");
  return true;
}

static void set_sent(Settings *settings) {
  const Options *options = settings->options;
  bool is_auto = options->save_sent == NULL || strcmp(options->save_sent, "auto") == 0;
  bool is_none = !is_auto && strcmp(options->save_sent, "no") == 0;
  settings->sent_folder = is_auto || is_none ? NULL : options->save_sent;
  settings->keeps_sent = !is_none && !options->ro && mailbox_traits(settings->mailbox)->can_append;
}

static bool set_from(Settings *settings, GError **error) {
  const Account *mailbox = settings->mailbox;
  if (settings->options->from != NULL)
    settings->from = g_strdup(settings->options->from);
  else if (strchr(mailbox->user, '@') != NULL)
    settings->from = g_strdup(mailbox->user);
  else
    settings->from = g_strdup_printf("%s@%s", mailbox->user, mailbox->host);
  if (settings->smtp == NULL || strpbrk(settings->from, " <>(),;:\\\"") == NULL) return true;
  return refuse(error, EX_CONFIG, "the user's name makes no sender address: set from");
}

// -- Places.

static bool set_directories(Settings *settings, const char *section, GError **error) {
  const Options *options = settings->options;
  g_autofree char *cache =
      options->cache_dir != NULL ? g_strdup(options->cache_dir) : directories_cache();
  settings->state_root =
      options->state_dir != NULL ? g_strdup(options->state_dir) : directories_state();
  g_autofree char *account = section != NULL ? account_escape_directory(section)
                                             : account_directory_name(settings->mailbox);
  settings->cache_directory = g_build_filename(cache, account, NULL);
  settings->state_directory = g_build_filename(settings->state_root, account, NULL);
  if (strcmp(settings->cache_directory, settings->state_directory) != 0) return true;
  return refuse(error, EX_CONFIG,
                "cache_dir and state_dir are the same directory; the cache may be deleted at any "
                "time, the state may not");
}

static char *absolute_mountpoint(const char *mountpoint, GError **error) {
  // Handed to us already open, by mount.fuse3.
  if (g_str_has_prefix(mountpoint, "/dev/fd/")) return g_strdup(mountpoint);
  g_autofree char *resolved = realpath(mountpoint, NULL);
  if (resolved == NULL && errno == ENOTCONN) return g_canonicalize_filename(mountpoint, NULL);
  struct stat status;
  int code = resolved == NULL || stat(resolved, &status) < 0 ? errno : 0;
  if (code == ENOTCONN) return g_steal_pointer(&resolved);
  if (code == 0 && !S_ISDIR(status.st_mode)) code = ENOTDIR;
  if (code == 0) return g_steal_pointer(&resolved);
  g_set_error(error, EXIT_ERROR, EX_USAGE, "cannot mount at %s: %s", mountpoint, g_strerror(code));
  return NULL;
}

Settings *settings_new(const char *section, const char *mountpoint, const Options *options,
                       GError **error) {
  g_autoptr(Settings) settings = g_new0(Settings, 1);
  settings->options = options;
  settings->fuse_options = options_for_fuse(options);
  if (!set_accounts(settings, error)) return NULL;
  set_sent(settings);
  if (!check_abilities(settings, error) || !set_from(settings, error) ||
      !set_directories(settings, section, error))
    return NULL;
  if (mountpoint == NULL) return g_steal_pointer(&settings);
  settings->mountpoint = absolute_mountpoint(mountpoint, error);
  return settings->mountpoint != NULL ? g_steal_pointer(&settings) : NULL;
}

void settings_free(Settings *settings) {
  if (settings == NULL) return;
  account_free(settings->mailbox);
  account_free(settings->smtp);
  g_free(settings->from);
  g_free(settings->cache_directory);
  g_free(settings->state_directory);
  g_free(settings->state_root);
  g_free(settings->source);
  g_free(settings->mountpoint);
  g_free(settings->fuse_options);
  g_free(settings);
}
