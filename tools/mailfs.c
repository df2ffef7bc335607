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
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include "tools/command_line.h"
#include "tools/config.h"
#include "tools/credentials.h"
#include "tools/daemon.h"
#include "tools/exit_code.h"
#include "tools/log.h"
#include "tools/mount.h"
#include "tools/options.h"
#include "tools/settings.h"

#define MAX_DESCRIPTORS 65536

static bool refuse_usage(GError **error, const char *why) {
  g_set_error_literal(error, EXIT_ERROR, EX_USAGE, why);
  return false;
}

static bool apply_lists(const CommandLine *line, Options *options, GError **error) {
  g_autofree char *directory = g_get_current_dir();
  for (unsigned i = 0; i < line->lists->len; i++) {
    if (!options_set_list(options, line->lists->pdata[i], directory, error)) return false;
  }
  return true;
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
    return options_set_url(options, line->account, error);
  g_autofree char *path =
      options->config != NULL ? g_strdup(options->config) : config_default_path();
  g_autoptr(Config) config = config_load(path, error);
  if (config == NULL) {
    bool is_missing = options->config == NULL && !g_file_test(path, G_FILE_TEST_EXISTS);
    if (line->account != NULL && is_missing)
      g_prefix_error(error, "no account '%s': ", line->account);
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
  if (line->stays_in_foreground) return mount_run(settings, NULL);
  g_autoptr(Daemon) daemon = daemon_fork(&error);
  return daemon != NULL ? mount_run(settings, daemon) : exit_report(error);
}

int main(int argc, char **argv) {
  keep_standard_files();
  // What we write, databases included, is the user's alone.
  umask(077);
  setlocale(LC_CTYPE, "");
  log_start("mailfs");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file that may grow no more is an error of the write
  set_limits();
  g_auto(CommandLine) line = {0};
  g_autoptr(GError) error = NULL;
  if (!command_line_parse(&line, argc, argv, &error)) return exit_report(error);
  if (line.wants_help) {
    g_autofree char *keys = options_help();
    printf("%s%s", command_line_help(), keys);
    return EXIT_SUCCESS;
  }
  if (line.wants_version) {
    puts("mailfs " MAILFS_VERSION);
    return EXIT_SUCCESS;
  }
  if (line.shows_debug) log_show_debug();
  return run(&line);
}
