#include "net/imap_request.h"

#include <inttypes.h>
#include <string.h>

// Servers may cut lines at 8,192 bytes (RFC 7162 section 4); the command's words take up to 50.
#define SET_MAX_BYTES 7900

// How many commands are sent before the first is answered. A server whose answers wait for us to
// read them may not read what we send meanwhile: what waits on the way must fit into the buffers.
#define COMMANDS_AHEAD_MAX 8

void imap_request_free(ImapRequest *request) {
  uid_set_free(request->uids);
  uid_set_free(request->withheld);
  g_clear_error(&request->failure);
  g_free(request);
}

void imap_free_requests(ImapMailbox *imap) {
  ImapRequest *request;
  while ((request = g_queue_pop_head(&imap->requests)) != NULL)
    imap_request_free(request);
}

// NULL: nothing more.
static char *next_words(ImapRequest *request) {
  if (request->uids) {
    g_autofree char *set = uid_set_print(request->uids, &request->next, SET_MAX_BYTES);
    request->is_sent = request->next >= uid_set_n_ranges(request->uids);
    return set ? g_strdup_printf("UID FETCH %s (UID BODY.PEEK[])", set) : NULL;
  }
  GString *words = g_string_new(NULL);
  g_string_printf(words, "UID FETCH %" PRIu32 " (UID", request->uid);
  for (unsigned i = 0; i < request->n_ranges; i++)
    g_string_append_printf(words, " BODY.PEEK[]<%" PRIu64 ".%" PRIu64 ">",
                           request->ranges[i].offset, request->ranges[i].size);
  g_string_append_c(words, ')');
  request->is_sent = true;
  return g_string_free(words, FALSE);
}

static bool send_next(ImapMailbox *imap, ImapRequest *request, GError **error) {
  g_autofree char *words = next_words(request);
  if (!words) return true;
  request->n_awaited++;
  return imap_send_words(imap->session, words, error);
}

bool imap_requests_send(ImapMailbox *imap, GError **error) {
  for (GList *link = imap->requests.head; link; link = link->next) {
    ImapRequest *request = link->data;
    while (!request->is_sent) {
      if (imap_session_n_sent(imap->session) >= COMMANDS_AHEAD_MAX) return true;
      if (!send_next(imap, request, error)) return false;
    }
  }
  return true;
}

static ImapRequest *new_request(const MailboxRequest *wanted) {
  ImapRequest *request = g_new0(ImapRequest, 1);
  g_autoptr(UidSet) nothing = uid_set_new();
  request->uid = wanted->uid;
  request->uidvalidity = wanted->uidvalidity;
  memcpy(request->ranges, wanted->ranges, sizeof request->ranges);
  request->n_ranges = wanted->n_ranges;
  if (wanted->uids) request->uids = uid_set_subtract(wanted->uids, nothing);
  request->withheld = uid_set_new();
  return request;
}

// A request behind one whose folder could not be opened fails as that one did.
static bool fails_as_last(ImapMailbox *imap, const MailboxRequest *wanted) {
  const ImapRequest *last = g_queue_peek_tail(&imap->requests);
  if (!last || !last->failure) return false;
  ImapRequest *request = new_request(wanted);
  request->failure = g_error_copy(last->failure);
  request->is_sent = true;
  g_queue_push_tail(&imap->requests, request);
  return true;
}

bool imap_request(Mailbox *mailbox, const MailboxRequest *wanted, GError **error) {
  ImapMailbox *imap = imap_of(mailbox);
  if (fails_as_last(imap, wanted)) return true;
  if (!imap_session_compress_if_slow(imap->session, error)) return false;
  ImapRequest *request = new_request(wanted);
  bool is_open = !wanted->anew && g_strcmp0(imap->folder, wanted->folder) == 0;
  g_assert(imap->requests.length < MAILBOX_PIPELINE_MAX);
  g_assert(is_open || imap->requests.length == 0);
  g_queue_push_tail(&imap->requests, request);
  request->examines = !is_open;
  if (request->examines &&
      !imap_send_examine(imap, wanted->folder, imap->has_condstore ? "(CONDSTORE)" : NULL, error))
    return false;
  return imap_requests_send(imap, error);
}

bool imap_wants_pause(Mailbox *mailbox) {
  return imap_session_would_compress(imap_of(mailbox)->session);
}
