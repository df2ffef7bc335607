#include <inttypes.h>
#include <string.h>

#include "net/imap.h"
#include "net/imap_message.h"

typedef struct {
  ImapMessageReader *reader;
  uint32_t first, last;
  MailboxMessageFunc each;
  gpointer data;
} Scan;

// A response that turned bad is told as far as it came: one malformed envelope hides no message.
static bool tell_message(const ImapEvent *event, gpointer data, GError **error) {
  Scan *scan = data;
  const ImapResponse *response = event->response;
  bool is_line = event->type == IMAP_EVENT_RESPONSE || event->type == IMAP_EVENT_BAD;
  if (!is_line || !response->name || strcmp(response->name, "FETCH") != 0 || !response->values)
    return true;
  MailboxMessage message;
  if (!imap_message_reader_read(scan->reader, response->values->first, &message)) return true;
  // `first:*` names the last message even where all UIDs are below `first` (RFC 3501 6.4.8).
  if (message.uid < scan->first || message.uid > scan->last) return true;
  return scan->each(&message, scan->data, error);
}

bool imap_scan(ImapSession *session, uint32_t first, uint32_t last, MailboxItems items,
               MailboxMessageFunc each, gpointer data, GError **error) {
  ImapState state = imap_session_state(session);
  g_assert(state == IMAP_EXAMINED || state == IMAP_CLOSED);
  g_autoptr(ImapMessageReader) reader = imap_message_reader_new();
  Scan scan = {.reader = reader, .first = first, .last = last, .each = each, .data = data};
  g_autofree char *end = last == UINT32_MAX ? g_strdup("*") : g_strdup_printf("%" PRIu32, last);
  g_autofree char *words = g_strdup_printf(
      "UID FETCH %" PRIu32 ":%s (%s)", first, end,
      items & MAILBOX_SUMMARY ? "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE" : "UID FLAGS");
  return imap_session_run_words(session, words, tell_message, &scan, error);
}
