#include "tools/sendmail_line.h"

#include <getopt.h>
#include <string.h>

#include "tools/usage.h"

enum { HELP = 256, VERSION };

static const struct option long_options[] = {
    {"account", required_argument, NULL, 'a'}, {"read-recipients", no_argument, NULL, 't'},
    {"from", required_argument, NULL, 'f'},    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},   {NULL},
};

// All letters that sendmail, Postfix or msmtp give a meaning to. Those after the first line mean
// nothing here.
static const char letters[] =
    ":a:C:tif:r:F:N:R:V:b:o:q::"
    "A:B:d::e:GL:h:mnO:p:UvX:x";

const char *sendmail_line_help(void) {
  return "Usage: mailfs-sendmail [options] [RECIPIENT...] <MESSAGE\n"
         "Puts a message into the outbox of an account, as sendmail does.\n"
         "\n"
         "  -t             send to the To, Cc and Bcc of the message, too\n"
         "  -i, -oi        a line with a lone dot does not end the message\n"
         "  -f, -r SENDER  who the servers are to complain to\n"
         "  -F NAME        the sender's name, where the message has no From\n"
         "  -N WHEN        ask for reports: never, or of success, failure, delay\n"
         "  -R full|hdrs   how much of the message they give back\n"
         "  -V ENVID       how they call it\n"
         "  -a ACCOUNT     section of the configuration or URL (the one whose from= is the\n"
         "                 sender, else the first that can send)\n"
         "  -C FILE        configuration file ($XDG_CONFIG_HOME/mailfs/config)\n"
         "  -bp            list letters that wait\n"
         "      --version  show the version\n"
         "      --help     show this\n"
         "Other options of sendmail are accepted and forgotten.\n";
}

static bool set_mode(SendmailLine *line, const char *mode, GError **error) {
  if (strcmp(mode, "m") == 0) return true;
  if (strcmp(mode, "p") != 0)
    return usage_refuse(error, "mailfs-sendmail", "-b%s is not for mailfs-sendmail", mode);
  line->task = SENDMAIL_LIST;
  return true;
}

typedef char *(*Reader)(const char *text, GError **error);

static bool set_part(char **part, Reader reader, int letter, GError **error) {
  g_autoptr(GError) reason = NULL;
  g_free(*part);
  *part = reader(optarg, &reason);
  return *part != NULL ||
         usage_refuse(error, "mailfs-sendmail", "-%c: %s", letter, reason->message);
}

static bool take_option(SendmailLine *line, int letter, const char *name, GError **error) {
  switch (letter) {
    case 'a':
      line->account = optarg;
      return true;
    case 'C':
      line->hints.config = optarg;
      return true;
    case 't':
      line->reads_header = true;
      return true;
    case 'i':
      line->takes_dots = true;
      return true;
    case 'o':
      line->takes_dots |= strcmp(optarg, "i") == 0;
      return true;
    case 'f':
    case 'r':
      line->sender = optarg;
      return true;
    case 'F':
      line->full_name = optarg;
      return true;
    case 'N':
      return set_part(&line->envelope.notify, envelope_read_notify, letter, error);
    case 'R':
      return set_part(&line->envelope.ret, envelope_read_ret, letter, error);
    case 'V':
      return set_part(&line->envelope.envid, envelope_read_envid, letter, error);
    case 'b':
      return set_mode(line, optarg, error);
    case 'q':
      if (line->task == SENDMAIL_SEND) line->task = SENDMAIL_QUEUE;
      return true;
    case HELP:
    case VERSION:
      line->task = letter == HELP ? SENDMAIL_HELP : SENDMAIL_VERSION;
      return true;
    case ':':
    case '?':
      return usage_refuse_option(error, "mailfs-sendmail", letter, name);
    default:
      return true;
  }
}

static bool check(SendmailLine *line, GError **error) {
  bool names_nobody = *line->recipients == NULL && !line->reads_header;
  if (line->task == SENDMAIL_QUEUE && !names_nobody) line->task = SENDMAIL_SEND;
  if (line->task == SENDMAIL_SEND && names_nobody)
    return usage_refuse(error, "mailfs-sendmail",
                        "nobody is named to send to: name recipients, or use -t");
  return true;
}

bool sendmail_line_parse(SendmailLine *line, int argc, char **argv, GError **error) {
  opterr = 0;
  for (;;) {
    int letter = getopt_long(argc, argv, letters, long_options, NULL);
    if (letter == -1) break;
    g_autofree char *name = usage_option_name(argv, HELP);
    if (!take_option(line, letter, name, error)) return false;
  }
  line->recipients = argv + optind;
  return check(line, error);
}

void sendmail_line_clear(SendmailLine *line) {
  envelope_clear(&line->envelope);
}
