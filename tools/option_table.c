#include <string.h>

#include "tools/options.h"

#define DAY (24u * 3600)
#define MAX_BYTES ((uint64_t)INT64_MAX)

static const Option table[] = {
    {"config", OPTION_PATH, offsetof(Options, config), .place = OPTION_COMMAND_LINE,
     .argument = "PATH", .help = "configuration file ($XDG_CONFIG_HOME/mailfs/config)"},

    {"imap", OPTION_IMAP, offsetof(Options, imap), .argument = "URL",
     .help = "mail server: imaps://user@host or imap://"},
    {"pop3", OPTION_POP3, offsetof(Options, pop3), .argument = "URL",
     .help = "mail server: pop3s://user@host or pop3://"},
    {"smtp", OPTION_SMTP, offsetof(Options, smtp), .argument = "URL",
     .help = "server to send by: smtps://user@host or smtp://"},
    {"password_command", OPTION_COMMAND, offsetof(Options, password_command), .argument = "COMMAND",
     .help = "command whose output is the password"},
    {"password_file", OPTION_SECRET_FILE, offsetof(Options, password_file), .argument = "PATH",
     .help = "file whose first line is the password"},
    {"token_command", OPTION_COMMAND, offsetof(Options, token_command), .argument = "COMMAND",
     .help = "command whose output is an OAuth2 token"},
    {"smtp_password_command", OPTION_COMMAND, offsetof(Options, smtp_password_command),
     .argument = "COMMAND", .help = "the same for SMTP (what serves for the mailbox)"},
    {"smtp_password_file", OPTION_SECRET_FILE, offsetof(Options, smtp_password_file),
     .argument = "PATH", .help = "the same for SMTP"},
    {"smtp_token_command", OPTION_COMMAND, offsetof(Options, smtp_token_command),
     .argument = "COMMAND", .help = "the same for SMTP"},
    {"auth", OPTION_WORD, offsetof(Options, auth), .argument = "MECHANISM",
     .help = "SASL mechanism (automatic)"},
    {"tls", OPTION_SWITCH, offsetof(Options, tls), .initial = "on", .argument = "on|off",
     .help = "off: plain text over imap://, pop3:// and smtp:// (on)"},
    {"ca_file", OPTION_PATH, offsetof(Options, ca_file), .argument = "PATH",
     .help = "trusted certificates (the system's)"},
    {"tls_pin", OPTION_TEXT, offsetof(Options, tls_pin), .argument = "sha256//...",
     .help = "the server's public key"},
    {"client_cert", OPTION_PATH, offsetof(Options, client_cert), .argument = "PATH",
     .help = "certificate to show the server"},
    {"client_key", OPTION_PATH, offsetof(Options, client_key), .argument = "PATH",
     .help = "its private key"},
    {"proxy", OPTION_TEXT, offsetof(Options, proxy), .argument = "URL",
     .help = "proxy to connect through"},
    {"timeout", OPTION_DURATION, offsetof(Options, timeout), .initial = "60", .least = 1,
     .most = 3600, .argument = "TIME", .help = "longest wait without a byte of progress (60)"},
    {"connections", OPTION_COUNT, offsetof(Options, connections), .initial = "4", .least = 1,
     .most = 32, .argument = "N", .help = "connections to the mail server, at most (4)"},

    {"cache_dir", OPTION_PATH, offsetof(Options, cache_dir), .argument = "PATH",
     .help = "what can be fetched again ($XDG_CACHE_HOME/mailfs)"},
    {"cache_size", OPTION_SIZE, offsetof(Options, cache_size), .initial = "5G", .most = MAX_BYTES,
     .argument = "SIZE", .help = "bytes of messages to keep (5G)"},
    {"state_dir", OPTION_PATH, offsetof(Options, state_dir), .argument = "PATH",
     .help = "what must survive ($XDG_STATE_HOME/mailfs)"},
    {"keep", OPTION_CHOICE, offsetof(Options, keep), .initial = "server",
     .choices = {"server", "forever"}, .argument = "server|forever",
     .help = "whether mail that left the server stays (server)"},
    {"names", OPTION_CHOICE, offsetof(Options, names), .initial = "pretty",
     .choices = {"pretty", "uid"}, .argument = "pretty|uid", .help = "message file names (pretty)"},
    {"folders", OPTION_GLOBS, offsetof(Options, folders), .argument = "GLOBS",
     .help = "folders to show; ! excludes (all)"},
    {"refresh", OPTION_DURATION, offsetof(Options, refresh), .initial = "30", .most = 7 * DAY,
     .argument = "TIME", .help = "how old a listing may be (30)"},
    {"prefetch", OPTION_SIZE, offsetof(Options, prefetch), .initial = "64M", .most = MAX_BYTES,
     .argument = "SIZE", .help = "bytes to read ahead across files (64M)"},
    {"delete", OPTION_CHOICE, offsetof(Options, delete), .choices = {"trash", "expunge", "refuse"},
     .argument = "trash|expunge|refuse", .help = "what rm does (trash; POP3: refuse)"},
    {"ro", OPTION_SWITCH, offsetof(Options, ro), .initial = "off", .help = "read-only"},

    {"outbox", OPTION_FILE_NAME, offsetof(Options, outbox), .initial = "outbox", .argument = "NAME",
     .help = "directory whose files are sent; empty: none (outbox)"},
    {"send_delay", OPTION_DURATION, offsetof(Options, send_delay), .initial = "2", .most = DAY,
     .argument = "TIME", .help = "how long a letter can be changed or cancelled (2)"},
    {"send_lifetime", OPTION_DURATION, offsetof(Options, send_lifetime), .initial = "5d",
     .least = 1, .most = 365 * DAY, .argument = "TIME", .help = "how long sending is tried (5d)"},
    {"save_sent", OPTION_TEXT, offsetof(Options, save_sent), .initial = "auto",
     .argument = "auto|FOLDER|no", .help = "where sent letters are kept (auto)"},
    {"from", OPTION_ADDRESS, offsetof(Options, from), .argument = "ADDRESS",
     .help = "sender of letters without one (the user, or user@host)"},

    {"allow_other", OPTION_SWITCH, offsetof(Options, allow_other), .initial = "off",
     .help = "other users may look, as far as permissions let them"},
    {"uid", OPTION_COUNT, offsetof(Options, uid), .most = UINT32_MAX - 1, .argument = "N",
     .help = "owner of all files"},
    {"gid", OPTION_COUNT, offsetof(Options, gid), .most = UINT32_MAX - 1, .argument = "N",
     .help = "group of all files"},
    {"umask", OPTION_OCTAL, offsetof(Options, umask), .initial = "077", .most = 0777,
     .argument = "OCTAL", .help = "permission bits that no file has (077)"},
    {"allow_root", OPTION_SWITCH, offsetof(Options, allow_root), .place = OPTION_FUSE,
     .initial = "off", .help = "root may look"},
    {"auto_unmount", OPTION_SWITCH, offsetof(Options, auto_unmount), .place = OPTION_FUSE,
     .initial = "off", .help = "unmount when the program dies"},
    {"default_permissions", OPTION_SWITCH, offsetof(Options, default_permissions),
     .place = OPTION_FUSE, .initial = "off", .help = "the kernel checks permissions"},
    {"fsname", OPTION_TEXT, offsetof(Options, fsname), .argument = "TEXT",
     .help = "source that mount shows (the URL)"},
    {"max_read", OPTION_SIZE, offsetof(Options, max_read), .place = OPTION_FUSE, .most = UINT32_MAX,
     .argument = "SIZE", .help = "largest read request"},
    {"nodev", OPTION_SWITCH, offsetof(Options, nodev), .place = OPTION_FUSE, .initial = "off",
     .help = "as in mount(8)"},
    {"noexec", OPTION_SWITCH, offsetof(Options, noexec), .place = OPTION_FUSE, .initial = "off",
     .help = "as in mount(8)"},
    {"nosuid", OPTION_SWITCH, offsetof(Options, nosuid), .place = OPTION_FUSE, .initial = "off",
     .help = "as in mount(8)"},
    {"subtype", OPTION_TEXT, offsetof(Options, subtype), .place = OPTION_FUSE, .argument = "TEXT",
     .help = "file system type that mount shows"},
};

// What fstab and mount(8) add for themselves, or what goes without saying here.
static const char *const ignored[] = {
    "_netdev",     "async",      "atime",         "auto",    "comment", "defaults",   "dev",
    "diratime",    "exec",       "group",         "noatime", "noauto",  "nodiratime", "nofail",
    "nonempty",    "norelatime", "nostrictatime", "nouser",  "owner",   "relatime",   "rw",
    "strictatime", "suid",       "sync",          "user",    "users",   NULL};

const Option *options_table(size_t *n_options) {
  *n_options = G_N_ELEMENTS(table);
  return table;
}

const char *const *options_ignored(void) {
  return ignored;
}

bool option_is_ignored(const char *name) {
  return g_strv_contains(ignored, name) || g_str_has_prefix(name, "x-");
}

const Option *option_find(const char *name) {
  for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
    if (strcmp(table[i].name, name) == 0) return &table[i];
  }
  return NULL;
}

// Where the help lines begin; a longer key has its line below it.
#define HELP_COLUMN 26
#define HELP_WIDTH 74

static void append_option(GString *help, const Option *option) {
  g_autofree char *key = option->argument != NULL
                             ? g_strdup_printf("  %s=%s", option->name, option->argument)
                             : g_strdup_printf("  %s", option->name);
  if (strlen(key) + 1 < HELP_COLUMN)
    g_string_append_printf(help, "%-*s%s\n", HELP_COLUMN, key, option->help);
  else
    g_string_append_printf(help, "%s\n%*s%s\n", key, HELP_COLUMN, "", option->help);
}

char *options_help(void) {
  GString *help = g_string_new("Keys of -o and of the configuration file:\n");
  for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
    append_option(help, &table[i]);
  g_string_append(help, "\nIgnored in -o, where mount(8) puts them:\n ");
  size_t column = 1;
  for (const char *const *word = ignored; *word != NULL; word++) {
    column += strlen(*word) + 1;
    if (column > HELP_WIDTH) {
      g_string_append(help, "\n ");
      column = strlen(*word) + 2;
    }
    g_string_append_printf(help, " %s", *word);
  }
  g_string_append(help, " x-*\n");
  return g_string_free(help, FALSE);
}
