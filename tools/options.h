// The Options are all that a user can set about one account and its mount. One table says for each
// key what it is called, what it may hold, its default and its line of help; `-o`, the
// configuration file and `--help` are all made of it, and a test holds the manual page against it.
//
// An Options is a plain value, filled at start by one thread and read-only from then on. Text that
// was never set, or was set to nothing, is NULL.
//
// All errors here are an EXIT_ERROR with EX_CONFIG. They name the key and what is wrong, never the
// value of a key that could hold a secret; where it stood is for the caller to prefix.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct {
  bool needs_no_secrets;  // nobody logs in: secret files are not looked at

  char *config;

  char *imap, *pop3, *smtp;  // valid URLs
  char *password_command, *password_file, *token_command;
  char *smtp_password_command, *smtp_password_file, *smtp_token_command;
  char *auth;
  bool tls;
  char *ca_file, *tls_pin, *client_cert, *client_key, *proxy;
  uint64_t timeout;  // seconds
  uint64_t connections;

  char *cache_dir, *state_dir;  // NULL: the XDG directories
  uint64_t cache_size;          // bytes
  char *keep;
  char *names;
  char **folders;     // NULL: all
  uint64_t refresh;   // seconds
  uint64_t prefetch;  // bytes
  char *delete;       // NULL: as the protocol has it
  bool ro;

  char *outbox;            // NULL: none
  uint64_t send_delay;     // seconds
  uint64_t send_lifetime;  // seconds
  char *save_sent;
  char *from;  // NULL: made of the user and the host

  bool allow_other;
  uint64_t uid, gid, umask;
  bool allow_root, auto_unmount, default_permissions, nodev, noexec, nosuid;
  char *fsname, *subtype;
  uint64_t max_read;
} Options;

typedef enum {
  OPTION_TEXT,         // without control characters
  OPTION_WORD,         // letters, digits, - and _
  OPTION_COMMAND,      // for /bin/sh -c
  OPTION_PATH,         // made absolute; ~/ is the home directory
  OPTION_SECRET_FILE,  // a path that only its owner may read
  OPTION_IMAP,         // a server's URL
  OPTION_POP3,
  OPTION_SMTP,
  OPTION_ADDRESS,    // user@host
  OPTION_FILE_NAME,  // one that starts with neither dot nor hyphen
  OPTION_GLOBS,      // separated by spaces or colons
  OPTION_CHOICE,     // one of a list
  OPTION_SWITCH,     // on or off; the key alone means on
  OPTION_COUNT,
  OPTION_DURATION,  // seconds, or 2s, 15m, 6h, 5d
  OPTION_SIZE,      // bytes, or 64K, 64M, 5G, 1T
  OPTION_OCTAL,
} OptionKind;

typedef enum {
  OPTION_ANYWHERE,
  OPTION_COMMAND_LINE,  // only in -o
  OPTION_FUSE,          // anywhere, and handed on to libfuse
} OptionPlace;

typedef struct {
  const char *name;
  OptionKind kind;
  size_t offset;  // of the value in Options
  OptionPlace place;
  const char *initial;     // the default as a user would write it; NULL: none
  uint64_t least, most;    // of a number
  const char *choices[4];  // of an OPTION_CHOICE, ended by NULL
  const char *argument;    // how help calls the value; NULL: none
  const char *help;
} Option;

// The table, in the order of the manual page.
const Option *options_table(size_t *n_options);
// NULL: there is no such key.
const Option *option_find(const char *name);
// Words of fstab and mount(8) that mean nothing here and may stand in -o, ended by NULL; and that
// or one that begins with x-.
const char *const *options_ignored(void);
bool option_is_ignored(const char *name);
// The table as text for --help.
char *options_help(void);

// All defaults; uid and gid are ours.
Options *options_new(void);
void options_free(Options *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)

// Is there such a key, and may it stand here?
bool option_check_name(const char *name, OptionPlace place, GError **error);
// Sets a key. `value` NULL: the key stood alone. Relative paths start at `directory`. A secret file
// is looked at, if secrets are needed. On error the old value stays.
bool options_set(Options *options, const char *name, const char *value, OptionPlace place,
                 const char *directory, GError **error);
// Sets what the argument of -o says: key[=value],... where `\,` is a comma in a value.
bool options_set_list(Options *options, const char *list, const char *directory, GError **error);

// Makes the account the one of a URL, imap or pop3. EX_USAGE where it is none, or not the only one.
bool options_set_url(Options *options, const char *url, GError **error);

// What libfuse is to be told, comma separated; NULL: nothing.
char *options_for_fuse(const Options *options);
