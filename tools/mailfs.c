// mailfs [options] ACCOUNT MOUNTPOINT: the program, from its arguments to its exit code. What it
// does at each step is in the files named here; this one has only their order.
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <glib.h>

#include "tools/config.h"
#include "tools/credentials.h"
#include "tools/daemon.h"
#include "tools/exit_code.h"
#include "tools/log.h"
#include "tools/mount.h"
#include "tools/options.h"
#include "tools/settings.h"

#define MAX_DESCRIPTORS 65536

typedef struct {
  gboolean shows_version, stays_in_foreground, shows_debug;
  char **lists;   // the arguments of -o
  char *account;  // a section's name or a URL; NULL: the configuration's only section
  char *mountpoint;
} CommandLine;

static bool refuse_usage(GError **error, const char *why) {
  g_set_error(error, EXIT_ERROR, EX_USAGE, "%s (mailfs --help tells more)", why);
  return false;
}

// Takes the options out of argv; what is left are the words. --help prints and exits in here.
static bool parse_options(CommandLine *line, int *argc, char ***argv, GError **error) {
  g_autoptr(GOptionContext) context = g_option_context_new("ACCOUNT MOUNTPOINT");
  g_autofree char *keys = options_help();
  const GOptionEntry entries[] = {
      {"version", 'V', 0, G_OPTION_ARG_NONE, &line->shows_version, "Show the version", NULL},
      {"foreground", 'f', 0, G_OPTION_ARG_NONE, &line->stays_in_foreground,
       "Stay in the foreground", NULL},
      {"debug", 'd', 0, G_OPTION_ARG_NONE, &line->shows_debug,
       "Tell everything on standard error (implies -f)", NULL},
      {"options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &line->lists,
       "Set options, see below; can be repeated", "KEY[=VALUE],..."},
      {NULL},
  };
  g_option_context_add_main_entries(context, entries, NULL);
  g_option_context_set_summary(context,
                               "Shows the mailbox of ACCOUNT as files below MOUNTPOINT and sends "
                               "what is written into\nits outbox. ACCOUNT is a section of the "
                               "configuration or a URL like imaps://user@host.");
  g_option_context_set_description(context, keys);
  if (g_option_context_parse(context, argc, argv, error)) return true;
  g_prefix_error(error, "usage: ");
  return false;
}

static bool parse_command_line(CommandLine *line, int argc, char **argv, GError **error) {
  if (!parse_options(line, &argc, &argv, error)) return false;
  if (line->shows_version) return true;
  if (argc > 1 && strcmp(argv[1], "--") == 0) argc--, argv++;
  if (argc < 2) return refuse_usage(error, "an account and a mount point are needed");
  if (argc > 3) return refuse_usage(error, "there are more words than ACCOUNT and MOUNTPOINT");
  if (argc == 2 && strstr(argv[1], "://") != NULL)
    return refuse_usage(error, "the mount point is missing");
  line->account = argc == 3 ? g_strdup(argv[1]) : NULL;
  line->mountpoint = g_strdup(argv[argc - 1]);
  return true;
}

static void command_line_clear(CommandLine *line) {
  g_strfreev(line->lists);
  g_free(line->account);
  g_free(line->mountpoint);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CommandLine, command_line_clear)

static bool apply_lists(const CommandLine *line, Options *options, GError **error) {
  g_autofree char *directory = g_get_current_dir();
  for (char **list = line->lists; list != NULL && *list != NULL; list++) {
    if (!options_set_list(options, *list, directory, error)) return false;
  }
  return true;
}

static bool apply_url(const char *url, Options *options, GError **error) {
  if (options->imap != NULL || options->pop3 != NULL)
    return refuse_usage(error, "the account is a URL: imap= and pop3= have no place beside it");
  const char *key = g_ascii_strncasecmp(url, "pop3", 4) == 0 ? "pop3" : "imap";
  g_autoptr(GError) reason = NULL;
  if (options_set(options, key, url, OPTION_COMMAND_LINE, "/", &reason)) return true;
  g_set_error(error, EXIT_ERROR, EX_USAGE, "ACCOUNT: %s", reason->message);
  return false;
}

// The name of the section to mount, newly allocated.
static char *choose_section(const Config *config, const char *account, GError **error) {
  const char *const *sections = config_sections(config);
  if (account != NULL) return g_strdup(account);
  if (g_strv_length((char **)sections) == 1) return g_strdup(sections[0]);
  g_autofree char *names = g_strjoinv(", ", (char **)sections);
  g_autofree char *why = *sections == NULL
                             ? g_strdup("the configuration has no account")
                             : g_strdup_printf("name the account to mount, one of: %s", names);
  refuse_usage(error, why);
  return NULL;
}

// Defaults, then the section, then -o: what comes later wins. *section NULL: the account is a URL.
static bool read_options(const CommandLine *line, Options *options, char **section,
                         GError **error) {
  if (!apply_lists(line, options, error)) return false;
  if (line->account != NULL && strstr(line->account, "://") != NULL)
    return apply_url(line->account, options, error);
  g_autofree char *path =
      options->config != NULL ? g_strdup(options->config) : config_default_path();
  g_autoptr(Config) config = config_load(path, error);
  if (config == NULL) {
    if (line->account != NULL) g_prefix_error(error, "no account '%s': ", line->account);
    return false;
  }
  *section = choose_section(config, line->account, error);
  return *section != NULL && config_apply(config, *section, options, error) &&
         apply_lists(line, options, error);
}

// Nothing of ours may be opened as 0, 1 or 2, where others write.
static void keep_standard_files(void) {
  int fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO)
    fd = dup(fd);
  if (fd > STDERR_FILENO) close(fd);
}

static void set_limits(void) {
  // No core: passwords pass through memory that we do not own.
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = MAX(files.rlim_cur, MIN(files.rlim_max, MAX_DESCRIPTORS));
    setrlimit(RLIMIT_NOFILE, &files);
  }
  // Few threads allocate much at once; an arena for each would only keep memory.
  mallopt(M_ARENA_MAX, 2);
}

static int run(const CommandLine *line) {
  g_autoptr(GError) error = NULL;
  g_autoptr(Options) options = options_new();
  g_autofree char *section = NULL;
  if (!read_options(line, options, &section, &error)) return exit_report(error);
  g_autoptr(Settings) settings = settings_new(section, line->mountpoint, options, &error);
  if (settings == NULL) return exit_report(error);
  settings->debug = line->shows_debug;
  if (!credentials_set(options, settings->mailbox, settings->smtp, &error))
    return exit_report(error);
  // All paths are absolute by now.
  if (chdir("/") < 0) g_debug("chdir: %s", g_strerror(errno));
  if (line->stays_in_foreground || line->shows_debug) return mount_run(settings, NULL);
  g_autoptr(Daemon) daemon = daemon_fork(&error);
  return daemon != NULL ? mount_run(settings, daemon) : exit_report(error);
}

int main(int argc, char **argv) {
  keep_standard_files();
  setlocale(LC_CTYPE, "");
  log_start();
  signal(SIGPIPE, SIG_IGN);
  set_limits();
  g_auto(CommandLine) line = {0};
  g_autoptr(GError) error = NULL;
  if (!parse_command_line(&line, argc, argv, &error)) return exit_report(error);
  if (line.shows_version) {
    puts("mailfs " MAILFS_VERSION);
    return EXIT_SUCCESS;
  }
  if (line.shows_debug) log_show_debug();
  return run(&line);
}
