// mailfs-sendmail: puts a message into the outbox of an account, whether mailfs runs or not, as
// other programs expect of sendmail. Ends with 0 only when the letter is safe on the disk.
#include <errno.h>
#include <locale.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmime/gmime.h>

#include "cache/drop_writer.h"
#include "cache/letter.h"
#include "cache/mime.h"
#include "cache/outbox.h"
#include "tools/control_client.h"
#include "tools/exit_code.h"
#include "tools/letter_list.h"
#include "tools/log.h"
#include "tools/sendmail_input.h"
#include "tools/sendmail_line.h"

// -- Addresses. Cron and others name local users.

// Newly allocated; NULL: there is none.
static char *own_login(void) {
  const struct passwd *entry = getpwuid(getuid());
  return entry != NULL ? g_strdup(entry->pw_name) : NULL;
}

static bool is_own_login(const char *name) {
  g_autofree char *login = own_login();
  return g_strcmp0(login, name) == 0;
}

static bool add_recipients(GPtrArray *addresses, const char *text, const Place *place,
                           GError **error) {
  g_autoptr(GError) reason = NULL;
  if (envelope_read_recipients(text, addresses, &reason)) return true;
  bool local = strpbrk(text, "@<>,\" \r\n") == NULL && *text != '\0';
  if (local && place->from != NULL && is_own_login(text)) {
    g_ptr_array_add(addresses, g_strdup(place->from));
    return true;
  }
  if (local)
    g_set_error(error, EXIT_ERROR, EX_NOUSER,
                "nobody here is called %s: name an address with a domain", text);
  else
    g_set_error(error, EXIT_ERROR, EX_DATAERR, "%s", reason->message);
  return false;
}

static char *read_sender(const char *text, const Place *place, GError **error) {
  g_autoptr(GError) reason = NULL;
  char *sender = envelope_read_sender(text, &reason);
  if (sender == NULL && place->from != NULL && is_own_login(text)) sender = g_strdup(place->from);
  if (sender == NULL) g_set_error(error, EXIT_ERROR, EX_DATAERR, "the sender: %s", reason->message);
  return sender;
}

// -- Which account.

// The sender by whom an account is looked for, "" for none.
static char *sender_of(const SendmailLine *line, const SendmailInput *input) {
  g_autofree char *field = line->sender == NULL ? sendmail_input_field(input, "From") : NULL;
  const char *text = line->sender != NULL ? line->sender : field;
  char *sender = text != NULL ? envelope_read_sender(text, NULL) : NULL;
  return sender != NULL ? sender : g_strdup("");
}

// NULL: none is known to be the sender's.
static Place *find_by_sender(GPtrArray *places, const char *sender) {
  for (unsigned i = 0; i < places->len; i++) {
    const Place *place = g_ptr_array_index(places, i);
    if (place->from != NULL && g_ascii_strcasecmp(place->from, sender) == 0)
      return g_ptr_array_steal_index(places, i);
  }
  return NULL;
}

// A section that is wrong may be the sender's: then no other one is taken for it.
static Place *choose_by_sender(const SendmailLine *line, const SendmailInput *input,
                               GError **error) {
  g_autoptr(GError) wrong = NULL;
  g_autoptr(GPtrArray) places = places_load(&line->hints, &wrong, error);
  if (places == NULL) return NULL;
  g_autofree char *sender = sender_of(line, input);
  Place *place = find_by_sender(places, sender);
  if (place != NULL) return place;
  if (wrong == NULL) return g_ptr_array_steal_index(places, 0);
  g_propagate_error(error, g_steal_pointer(&wrong));
  return NULL;
}

static Place *choose_place(const SendmailLine *line, const SendmailInput *input, GError **error) {
  if (line->account == NULL) return choose_by_sender(line, input, error);
  g_autoptr(Place) place = place_find(line->account, &line->hints, error);
  if (place == NULL || place->sends) return g_steal_pointer(&place);
  g_set_error(error, EXIT_ERROR, EX_CONFIG, "the account %s cannot send: set smtp", place->account);
  return NULL;
}

// -- The letter.

// The From field of a message that has none; NULL: whoever sends it sets one.
static char *make_from(const SendmailLine *line, const Place *place) {
  const char *address = place->from != NULL ? place->from : line->sender;
  if (address == NULL || line->full_name == NULL) return g_strdup(address);
  mime_init();
  g_autofree char *valid = g_utf8_make_valid(line->full_name, -1);
  for (char *c = valid; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c)) *c = ' ';
  InternetAddress *mailbox = internet_address_mailbox_new(valid, address);
  char *text = internet_address_to_string(mailbox, NULL, TRUE);
  g_object_unref(mailbox);
  return text;
}

static bool refuse_letter(GError *reason, GError **error) {
  bool io = g_error_matches(reason, LETTER_ERROR, LETTER_ERROR_IO);
  g_set_error(error, EXIT_ERROR, io ? EX_IOERR : EX_DATAERR, "not sent: %s", reason->message);
  g_error_free(reason);
  return false;
}

static Letter *read_letter(int fd, const Place *place, const Envelope *envelope, GError **error) {
  const LetterDefaults defaults = {
      .from = place->from != NULL ? place->from : "nobody@localhost",
      .message_id = "none@localhost",
      .envelope_from = envelope->from,
      .recipients = (const char *const *)envelope->recipients,
  };
  return letter_read(fd, &defaults, error);
}

static bool set_named(const SendmailLine *line, const Place *place, Envelope *envelope,
                      GError **error) {
  g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
  for (char **text = line->recipients; *text != NULL; text++)
    if (!add_recipients(addresses, *text, place, error)) return false;
  g_ptr_array_add(addresses, NULL);
  g_ptr_array_set_free_func(addresses, NULL);
  envelope->recipients = (char **)g_ptr_array_free(g_steal_pointer(&addresses), FALSE);
  return true;
}

// Puts those of the header beside them.
static bool add_header_recipients(const Place *place, int fd, Envelope *envelope, GError **error) {
  GError *reason = NULL;
  g_autofree char *login = place->from != NULL ? own_login() : NULL;
  const LetterDefaults defaults = {
      .from = "nobody@localhost",
      .message_id = "none@localhost",
      .envelope_from = "",
      .recipients = (const char *const *)envelope->recipients,
      .header_recipients_too = true,
      .login = login,
      .login_address = place->from,
  };
  g_autoptr(Letter) letter = letter_read(fd, &defaults, &reason);
  if (letter == NULL) return refuse_letter(reason, error);
  g_strfreev(envelope->recipients);
  envelope->recipients = g_strdupv((char **)letter_recipients(letter));
  return true;
}

// Recipients of the command line, and with -t those of the header beside them; where there are only
// the latter, nothing needs to be said, unless one is the user.
static bool set_recipients(const SendmailLine *line, const Place *place, int fd, Envelope *envelope,
                           GError **error) {
  bool names_some = *line->recipients != NULL;
  if (names_some && !set_named(line, place, envelope, error)) return false;
  if (!line->reads_header) return true;
  const Envelope from_header = {.from = (char *)""};
  g_autoptr(Letter) plain = names_some ? NULL : read_letter(fd, place, &from_header, NULL);
  return plain != NULL || add_header_recipients(place, fd, envelope, error);
}

// Where the message's own sender is none for a server (cron's is "root"), the account's is.
static bool set_sender(const SendmailLine *line, const Place *place, int fd, Envelope *envelope,
                       GError **error) {
  GError *reason = NULL;
  if (line->sender != NULL) {
    envelope->from = read_sender(line->sender, place, error);
    if (envelope->from == NULL) return false;
  }
  g_autoptr(Letter) letter = read_letter(fd, place, envelope, &reason);
  if (letter != NULL) return true;
  if (envelope->from != NULL || place->from == NULL) return refuse_letter(reason, error);
  g_clear_error(&reason);
  envelope->from = g_strdup(place->from);
  g_autoptr(Letter) again = read_letter(fd, place, envelope, &reason);
  return again != NULL || refuse_letter(reason, error);
}

// -- Handing it over.

static bool set_code(GError **error, const GError *reason, int otherwise) {
  bool full = reason->code == ENOSPC || reason->code == EDQUOT;
  g_set_error(error, EXIT_ERROR, full ? EX_TEMPFAIL : otherwise, "%s", reason->message);
  return false;
}

static bool hand_over(const SendmailLine *line, SendmailInput *input, const Place *place,
                      GError **error) {
  g_autoptr(GError) reason = NULL;
  g_autoptr(DropWriter) writer = drop_writer_new(place->directory, &reason);
  if (writer == NULL) return set_code(error, reason, EX_CANTCREAT);
  int fd = drop_writer_fd(writer);
  g_autofree char *from = make_from(line, place);
  g_auto(Envelope) envelope = {0};
  envelope_copy(&envelope, &line->envelope);
  if (!sendmail_input_write(input, fd, from, error) ||
      !set_recipients(line, place, fd, &envelope, error) ||
      !set_sender(line, place, fd, &envelope, error))
    return false;
  g_autofree char *name = g_strdup_printf("sendmail-%s.eml", drop_writer_id(writer));
  if (!drop_writer_commit(writer, name, &envelope, &reason))
    return set_code(error, reason, EX_IOERR);
  control_client_tell_drops(place->directory);
  return true;
}

static int send_message(const SendmailLine *line) {
  g_autoptr(GError) error = NULL;
  g_autoptr(SendmailInput) input = sendmail_input_new(STDIN_FILENO, line->takes_dots, &error);
  if (input == NULL) return exit_report(error);
  g_autoptr(Place) place = choose_place(line, input, &error);
  if (place == NULL) return exit_report(error);
  return hand_over(line, input, place, &error) ? EXIT_SUCCESS : exit_report(error);
}

// -- Listing.

static int list_one(const Place *place, unsigned *n_letters) {
  g_autoptr(GError) error = NULL;
  bool running;
  g_autoptr(GPtrArray) letters = letter_list_load(place, &running, &error);
  if (letters == NULL) return exit_report(error);
  letter_list_print(letters, false);
  *n_letters += letters->len;
  return EXIT_SUCCESS;
}

static int list_queue(const SendmailLine *line) {
  g_autoptr(GError) error = NULL;
  g_autoptr(GError) wrong = NULL;
  g_autoptr(GPtrArray) places = NULL;
  if (line->account == NULL) {
    places = places_load(&line->hints, &wrong, &error);
  } else {
    Place *place = place_find(line->account, &line->hints, &error);
    places = g_ptr_array_new_with_free_func((GDestroyNotify)place_free);
    if (place != NULL) g_ptr_array_add(places, place);
  }
  if (error != NULL) return exit_report(error);
  unsigned n_letters = 0;
  for (unsigned i = 0; i < places->len; i++) {
    int code = list_one(places->pdata[i], &n_letters);
    if (code != EXIT_SUCCESS) return code;
  }
  if (wrong != NULL) return exit_report(wrong);
  if (n_letters == 0) puts("Mail queue is empty");
  return EXIT_SUCCESS;
}

static int run(const SendmailLine *line) {
  switch (line->task) {
    case SENDMAIL_SEND:
      return send_message(line);
    case SENDMAIL_LIST:
      return list_queue(line);
    case SENDMAIL_QUEUE:
      return EXIT_SUCCESS;
    case SENDMAIL_HELP:
      fputs(sendmail_line_help(), stdout);
      return EXIT_SUCCESS;
    case SENDMAIL_VERSION:
      puts("mailfs-sendmail " MAILFS_VERSION);
      return EXIT_SUCCESS;
  }
  return EX_SOFTWARE;
}

int main(int argc, char **argv) {
  umask(077);
  setlocale(LC_CTYPE, "");
  log_start("mailfs-sendmail");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file that may grow no more is an error of the write
  g_auto(SendmailLine) line = {0};
  g_autoptr(GError) error = NULL;
  if (!sendmail_line_parse(&line, argc, argv, &error)) return exit_report(error);
  int code = run(&line);
  return fflush(stdout) == 0 ? code : EX_IOERR;
}
