// Messages of ours: put into a folder (RFC 3501 6.3.11), and looked for there.

#include "net/error.h"
#include "net/imap_date.h"
#include "net/imap_error.h"
#include "net/imap_private.h"
#include "net/imap_search.h"

static ImapCommand *append_command(ImapSession *session, const MailboxAppend *message) {
  g_autofree char *flags = g_strdup_printf("(%s)", message->flags);
  ImapCommand *command = imap_session_command(session, "APPEND");
  imap_command_add_string(command, message->folder);
  imap_command_add_words(command, flags);
  if (message->internaldate >= 0) {
    g_autofree char *date = imap_date_print(message->internaldate);
    imap_command_add_string(command, date);
  }
  imap_command_add_stream(command, message->size);
  imap_command_end(command);
  return command;
}

bool imap_append(Mailbox *mailbox, const MailboxAppend *message, bool *uncertain, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  g_autoptr(ImapCommand) command = append_command(imap->session, message);
  g_autoptr(GError) failure = NULL;
  ImapStream stream = {.read = message->read, .data = message->data, .size = message->size};
  bool good = imap_session_send_stream(imap->session, command, &stream, &failure) &&
              imap_session_receive(imap->session, NULL, NULL, &failure);
  if (good) return true;
  g_autofree char *shown = imap_printable(message->folder);
  *uncertain = stream.is_sent && net_error_ends_connection(failure);
  g_prefix_error(&failure, "adding a message to %s: ", shown);
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

// Gmail's own extension tells it.
bool imap_keeps_sent(Mailbox *mailbox) {
  return imap_session_has(imap_of(mailbox)->session, "X-GM-EXT-1");
}

typedef struct {
  ImapSearch answer;
  bool has_hit;
} Find;

static bool note_hit(const ImapEvent *event, gpointer data, GError **error) {
  Find *find = data;
  bool is_answer = imap_search_note(&find->answer, event);
  find->has_hit |= is_answer && event->type == IMAP_EVENT_RANGE;
  return true;
}

bool imap_find(Mailbox *mailbox, const char *folder, const char *field, const char *value,
               bool *found, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  g_autoptr(GError) failure = NULL;
  if (!imap_send_examine(imap, folder, NULL, error)) return false;
  if (!imap_receive_examine(imap, imap_take_status, imap, &failure)) {
    imap_explain_refusal(imap, folder, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  g_autoptr(ImapCommand) command = imap_session_command(imap->session, "UID SEARCH HEADER");
  imap_command_add_string(command, field);
  imap_command_add_string(command, value);
  imap_command_end(command);
  Find find = {0};
  if (!imap_session_run(imap->session, command, note_hit, &find, error)) return false;
  *found = find.has_hit;
  return imap_search_check(&find.answer, error);
}
