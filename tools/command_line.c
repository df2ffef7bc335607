#include "tools/command_line.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "tools/usage.h"

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},          {"version", no_argument, NULL, 'V'},
    {"debug", no_argument, NULL, 'd'},         {"foreground", no_argument, NULL, 'f'},
    {"options", required_argument, NULL, 'o'}, {NULL},
};

const char *command_line_help(void) {
  return "Usage: mailfs [options] ACCOUNT MOUNTPOINT\n"
         "Shows the mailbox of ACCOUNT as files below MOUNTPOINT and sends what is written into\n"
         "its outbox. ACCOUNT is a section of the configuration or imaps://user@host[:port].\n"
         "\n"
         "  -o, --options KEY[=VALUE],...   set keys, see below; can be repeated\n"
         "  -f, --foreground                stay in the foreground\n"
         "  -d, --debug                     tell everything on standard error; implies -f\n"
         "  -V, --version                   show the version\n"
         "  -h, --help                      show this\n"
         "\n";
}

// `name`: of the option, without what may follow it: that could be a password put where none
// belongs.
static bool take_option(CommandLine *line, int letter, const char *name, GError **error) {
  switch (letter) {
    case 'h':
      line->wants_help = true;
      return true;
    case 'V':
      line->wants_version = true;
      return true;
    case 'd':
      line->shows_debug = true;
      line->stays_in_foreground = true;
      return true;
    case 'f':
      line->stays_in_foreground = true;
      return true;
    case 'o':
      g_ptr_array_add(line->lists, g_strdup(optarg));
      return true;
    default:
      return usage_refuse_option(error, "mailfs", letter, name);
  }
}

static bool take_words(CommandLine *line, int n_words, char **words, GError **error) {
  if (n_words == 0) return usage_refuse(error, "mailfs", "an account and a mount point are needed");
  if (n_words > 2)
    return usage_refuse(error, "mailfs", "there are more words than ACCOUNT and MOUNTPOINT");
  if (n_words == 1 && strstr(words[0], "://") != NULL)
    return usage_refuse(error, "mailfs", "the mount point is missing");
  line->account = n_words == 2 ? g_strdup(words[0]) : NULL;
  line->mountpoint = g_strdup(words[n_words - 1]);
  return true;
}

bool command_line_parse(CommandLine *line, int argc, char **argv, GError **error) {
  line->lists = g_ptr_array_new_with_free_func(g_free);
  opterr = 0;
  for (;;) {
    int letter = getopt_long(argc, argv, ":hVdfo:", long_options, NULL);
    if (letter == -1) break;
    g_autofree char *name = usage_option_name(argv, UCHAR_MAX);
    if (!take_option(line, letter, name, error)) return false;
  }
  if (line->wants_help || line->wants_version) return true;
  return take_words(line, argc - optind, argv + optind, error);
}

void command_line_clear(CommandLine *line) {
  g_clear_pointer(&line->lists, g_ptr_array_unref);
  g_free(line->account);
  g_free(line->mountpoint);
}
