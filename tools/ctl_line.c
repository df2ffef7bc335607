#include "tools/ctl_line.h"

#include <getopt.h>
#include <string.h>

#include "tools/usage.h"

enum { STATE_DIR = 256, JSON, ESCAPED };

static const struct option long_options[] = {
    {"account", required_argument, NULL, 'a'},
    {"config", required_argument, NULL, 'C'},
    {"state-dir", required_argument, NULL, STATE_DIR},
    {"json", no_argument, NULL, JSON},
    {"escaped", no_argument, NULL, ESCAPED},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL},
};

static const struct {
  const char *name;
  CtlCommand command;
  bool names_letters;
} commands[] = {
    {"outbox", CTL_OUTBOX, false},
    {"flush", CTL_FLUSH, false},
    {"retry", CTL_RETRY, true},
    {"cancel", CTL_CANCEL, true},
};

const char *ctl_line_help(void) {
  return "Usage: mailfsctl [options] COMMAND\n"
         "Looks after the letters of an account.\n"
         "\n"
         "  outbox           list letters that wait or have failed; mailfs need not run\n"
         "  flush            send all that wait now, and wait for it\n"
         "  retry NAME...    send again what failed\n"
         "  cancel NAME...   remove letters, unsent\n"
         "\n"
         "  -a, --account ACCOUNT   section of the configuration or URL (the only one)\n"
         "  -C, --config FILE       configuration file ($XDG_CONFIG_HOME/mailfs/config)\n"
         "      --state-dir DIR     where letters are kept (as the configuration says)\n"
         "      --json              answer in JSON, an object a line\n"
         "      --escaped           NAMEs have %XX for odd bytes, as JSON shows them\n"
         "  -V, --version           show the version\n"
         "  -h, --help              show this\n";
}

static bool take_option(CtlLine *line, int letter, const char *name, GError **error) {
  switch (letter) {
    case 'a':
      line->account = optarg;
      return true;
    case 'C':
      line->hints.config = optarg;
      return true;
    case STATE_DIR:
      line->hints.state_dir = optarg;
      return true;
    case JSON:
      line->as_json = true;
      return true;
    case ESCAPED:
      line->is_escaped = true;
      return true;
    case 'h':
      line->wants_help = true;
      return true;
    case 'V':
      line->wants_version = true;
      return true;
    default:
      return usage_refuse_option(error, "mailfsctl", letter, name);
  }
}

static bool check_names(const CtlLine *line, GError **error) {
  for (char **name = line->names; line->is_escaped && *name != NULL; name++) {
    g_autofree char *plain = g_uri_unescape_string(*name, NULL);
    if (plain == NULL)
      return usage_refuse(error, "mailfsctl", "%s is not escaped as it should be", *name);
  }
  return true;
}

static bool take_command(CtlLine *line, char **words, GError **error) {
  if (*words == NULL)
    return usage_refuse(error, "mailfsctl", "say what to do: outbox, flush, retry or cancel");
  for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
    if (strcmp(words[0], commands[i].name) != 0) continue;
    line->command = commands[i].command;
    line->names = words + 1;
    if (commands[i].names_letters && words[1] == NULL)
      return usage_refuse(error, "mailfsctl", "%s: name the letters", words[0]);
    if (!commands[i].names_letters && words[1] != NULL)
      return usage_refuse(error, "mailfsctl", "%s takes no arguments", words[0]);
    return check_names(line, error);
  }
  return usage_refuse(error, "mailfsctl", "there is no command %s", words[0]);
}

bool ctl_line_parse(CtlLine *line, int argc, char **argv, GError **error) {
  opterr = 0;
  for (;;) {
    int letter = getopt_long(argc, argv, ":a:C:hV", long_options, NULL);
    if (letter == -1) break;
    g_autofree char *name = usage_option_name(argv, STATE_DIR);
    if (!take_option(line, letter, name, error)) return false;
  }
  return line->wants_help || line->wants_version || take_command(line, argv + optind, error);
}
