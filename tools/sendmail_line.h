// A SendmailLine is the command line of mailfs-sendmail, taken apart: that of sendmail(8) as
// programs use it. What they pass and what has no meaning here is accepted and forgotten.
#pragma once

#include <stdbool.h>

#include <glib.h>

#include "cache/envelope.h"
#include "tools/place.h"

typedef enum {
  SENDMAIL_SEND,
  SENDMAIL_LIST,   // -bp
  SENDMAIL_QUEUE,  // -q without recipients: what waits is looked after anyway
  SENDMAIL_HELP,
  SENDMAIL_VERSION,
} SendmailTask;

typedef struct {
  SendmailTask task;
  const char *account;  // as the others of this kind, argv's; NULL: not said
  PlaceHints hints;
  bool reads_header;      // -t
  bool takes_dots;        // -i: a line with a lone dot is text
  const char *sender;     // -f, -r: as it was written
  const char *full_name;  // -F
  Envelope envelope;      // notify, ret and envid of it
  char **recipients;      // as they were written, ended by NULL
} SendmailLine;

// Fills the empty `line`. Errors: an EXIT_ERROR with EX_USAGE. Once: it reorders argv.
bool sendmail_line_parse(SendmailLine *line, int argc, char **argv, GError **error);
void sendmail_line_clear(SendmailLine *line);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SendmailLine, sendmail_line_clear)
const char *sendmail_line_help(void);
