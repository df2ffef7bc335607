#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/imap.h"
#include "net/imap_message.h"

// A server may send a body's response in several forms: UID before or after the body, other
// messages' items in between. Bytes go to the sink as they come; whether they were the right
// message's is certain at the end of their response.
typedef struct {
  uint32_t uid;
  MailboxSink sink;
  gpointer data;
  bool wanted;    // the body passing by now is for the sink
  bool arrived;   // the response being read brought the whole body
  bool complete;  // and its UID was the right one
  bool withheld;  // the server named the message, but gave no bytes for it
  bool expunged;  // and said that this is because there is none any more
} Fetch;

static bool wrong_response(GError **error, const char *words) {
  g_set_error_literal(error, NET_ERROR, NET_ERROR_PROTOCOL, words);
  return false;
}

static bool begin_body(Fetch *fetch, const ImapEvent *event) {
  const ImapValue *list = event->response->values;
  uint32_t uid = imap_message_uid(list ? list->first : NULL);
  bool is_ours = uid == 0 || uid == fetch->uid;
  fetch->wanted = is_ours && !fetch->arrived && !fetch->complete &&
                  g_ascii_strcasecmp(event->item, "BODY[]") == 0;
  return true;
}

static bool end_response(Fetch *fetch, const ImapResponse *response, GError **error) {
  bool incomplete = fetch->wanted, arrived = fetch->arrived;
  fetch->wanted = fetch->arrived = false;
  if (incomplete) return wrong_response(error, "the server broke off within the message");
  // Only one message was asked for, so it is the one (RFC 5530 section 3).
  if (g_strcmp0(response->code, "EXPUNGEISSUED") == 0) fetch->expunged = true;
  if (!response->name || strcmp(response->name, "FETCH") != 0 || !response->values) return true;

  const ImapValue *items = response->values->first;
  bool is_ours = imap_message_uid(items) == fetch->uid;
  if (arrived && !is_ours)
    return wrong_response(error, "the server sent another message than was asked for");
  if (arrived) fetch->complete = true;
  if (is_ours && !arrived && imap_value_item(items, "BODY[]")) fetch->withheld = true;
  return true;
}

static bool handle(const ImapEvent *event, gpointer data, GError **error) {
  Fetch *fetch = data;
  switch (event->type) {
    case IMAP_EVENT_BODY_BEGIN:
      return begin_body(fetch, event);
    case IMAP_EVENT_BODY_BYTES:
      return !fetch->wanted || fetch->sink(event->bytes, event->size, fetch->data, error);
    case IMAP_EVENT_BODY_END:
      if (fetch->wanted) fetch->arrived = true;
      fetch->wanted = false;
      return true;
    default:
      return end_response(fetch, event->response, error);
  }
}

bool imap_fetch(ImapSession *session, uint32_t uid, MailboxSink sink, gpointer data,
                GError **error) {
  ImapState state = imap_session_state(session);
  g_assert(state == IMAP_EXAMINED || state == IMAP_CLOSED);
  Fetch fetch = {.uid = uid, .sink = sink, .data = data};
  g_autofree char *words = g_strdup_printf("UID FETCH %" PRIu32 " (UID BODY.PEEK[])", uid);
  if (!imap_session_run_words(session, words, handle, &fetch, error)) return false;
  if (fetch.complete) return true;
  if (fetch.withheld && !fetch.expunged)
    g_set_error(error, NET_ERROR, NET_ERROR_REFUSED,
                "the server lists message %" PRIu32 " but does not give it", uid);
  else
    g_set_error(error, NET_ERROR, NET_ERROR_GONE, "message %" PRIu32 " is not there any more", uid);
  return false;
}
