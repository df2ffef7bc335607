// What is there: STAT, UIDL and LIST in one flight; and UIDL once more where it names too few.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/pop3_private.h"

typedef struct {
  Pop3Table *table;
  int64_t told_count;   // by STAT, -1: nonsense
  bool has_uidls;       // UIDL was answered
  bool has_unreadable;  // a line that names no message
} Listing;

// A number at the beginning of the text, which is moved behind it; -1: there is none, or it has
// more than 63 bits.
static int64_t take_number(const char **text) {
  int64_t number = 0;
  const char *at = *text;
  for (; g_ascii_isdigit(*at); at++) {
    if (number > (INT64_MAX - 9) / 10) return -1;
    number = number * 10 + (*at - '0');
  }
  if (at == *text) return -1;
  *text = at;
  return number;
}

static const char *skip_blanks(const char *text) {
  return text + strspn(text, " \t");
}

// `12 words`: the message that a line of LIST or UIDL is about, and its words. `*message` is NULL
// for a line that cannot be read.
static bool take_message(Listing *listing, const char *line, Pop3Message **message,
                         const char **words, GError **error) {
  const char *at = line != NULL ? skip_blanks(line) : "";
  int64_t number = take_number(&at);
  *message = NULL;
  if (number < 1 || (*at != '\0' && strchr(" \t", *at) == NULL)) {
    listing->has_unreadable = true;
    return true;
  }
  *words = skip_blanks(at);
  *message = pop3_table_add(listing->table, (uint32_t)MIN(number, UINT32_MAX), error);
  return *message != NULL;
}

// Any bytes name a message, but none do not. Of two names the first counts.
static bool take_uidl(const char *line, size_t length, gpointer data, GError **error) {
  Pop3Message *message;
  const char *uidl;
  if (!take_message(data, line, &message, &uidl, error)) return false;
  if (message == NULL || message->has_key) return true;
  size_t size = length - (size_t)(uidl - line);
  while (size > 0 && strchr(" \t", uidl[size - 1]) != NULL && uidl[size - 1] != '\0')
    size--;
  message->has_key = message->is_keyed_by_uidl = size > 0;
  if (size > 0) message->key = pop3_key_of(uidl, size);
  return true;
}

static bool take_size(const char *line, size_t length, gpointer data, GError **error) {
  Pop3Message *message;
  const char *words;
  if (!take_message(data, line, &message, &words, error)) return false;
  if (message == NULL) return true;
  int64_t size = take_number(&words);
  message->size = *words == '\0' || strchr(" \t", *words) != NULL ? size : -1;
  return true;
}

// A UIDL that is refused though it is offered, or for now, is no server without: the messages
// would get other names.
static bool take_refusal(const Pop3Mailbox *pop3, Pop3Verb verb, const Pop3Reply *reply,
                         GError **error) {
  bool is_optional = verb == POP3_UIDL && !pop3_session_has_uidl(pop3->session);
  if (is_optional && !pop3_reply_is_temporary(reply)) return true;
  pop3_reply_set_error(reply, error);
  g_prefix_error(error, "listing the messages: ");
  return false;
}

static bool take_answer(Pop3Mailbox *pop3, Listing *listing, Pop3Verb verb, const Pop3Reply *reply,
                        GError **error) {
  if (reply->status != POP3_OK) return take_refusal(pop3, verb, reply, error);
  listing->has_uidls |= verb == POP3_UIDL;
  if (verb == POP3_UIDL)
    return pop3_session_receive_lines(pop3->session, take_uidl, listing, error);
  if (verb == POP3_LIST)
    return pop3_session_receive_lines(pop3->session, take_size, listing, error);
  const char *text = reply->text;
  listing->told_count = take_number(&text);
  return true;
}

// All are answered, whatever comes of one.
static bool ask(Pop3Mailbox *pop3, Listing *listing, const Pop3Command *commands, size_t n,
                GError **error) {
  g_autoptr(GError) first = NULL;
  for (size_t n_sent = 0, n_answered = 0; n_answered < n; n_answered++) {
    Pop3Command command;
    GError *failure = NULL;
    for (; n_sent < n && pop3_session_has_room(pop3->session, 0); n_sent++)
      if (!pop3_session_send(pop3->session, &commands[n_sent], error)) return false;
    g_autoptr(Pop3Reply) reply = pop3_session_receive(pop3->session, &command, error);
    if (reply == NULL) return false;
    if (take_answer(pop3, listing, command.verb, reply, &failure)) continue;
    if (pop3_session_is_over(pop3->session) || first == NULL) {
      g_clear_error(&first);
      first = g_steal_pointer(&failure);
    }
    g_clear_error(&failure);
    if (pop3_session_is_over(pop3->session)) break;
  }
  if (first == NULL) return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

// What the server counts and does not show may be there all the same: a listing that is cut short
// looks like one of a mailbox that was emptied.
static bool check_whole(const Listing *listing, GError **error) {
  uint32_t shown = pop3_table_count(listing->table);
  bool is_counted = listing->told_count >= 0;
  bool is_short = is_counted ? listing->told_count > shown : listing->has_unreadable;
  if (!is_short) return true;
  if (!is_counted) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED,
                        "the server does not say in a readable way which messages are there");
    return false;
  }
  g_set_error(error, NET_ERROR, listing->has_unreadable ? NET_ERROR_REFUSED : NET_ERROR_BUSY,
              "the server counts %" PRId64 " messages and shows %" PRIu32, listing->told_count,
              shown);
  return false;
}

static bool have_all_keys(Pop3Table *table) {
  for (uint32_t number = 1; number <= pop3_table_last_number(table); number++) {
    const Pop3Message *message = pop3_table_get(table, number);
    if (message != NULL && !message->has_key) return false;
  }
  return true;
}

// A line that is lost looks like a message that is new, and another one that is gone.
static bool ask_for_lost_lines(Pop3Mailbox *pop3, Listing *listing, GError **error) {
  static const Pop3Command command = {.verb = POP3_UIDL};
  return !listing->has_uidls || have_all_keys(listing->table) ||
         ask(pop3, listing, &command, 1, error);
}

bool pop3_list_messages(Pop3Mailbox *pop3, Pop3Table *table, bool *has_uidls, GError **error) {
  static const Pop3Command commands[] = {
      {.verb = POP3_STAT}, {.verb = POP3_UIDL}, {.verb = POP3_LIST}};
  Listing listing = {.table = table, .told_count = -1};
  bool good = ask(pop3, &listing, commands, G_N_ELEMENTS(commands), error) &&
              check_whole(&listing, error) && ask_for_lost_lines(pop3, &listing, error);
  *has_uidls = listing.has_uidls;
  return good;
}
