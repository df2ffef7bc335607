// A server that says anything: its mailbox keeps the law of net/mailbox.h, whatever is asked of it.
//
// The first line of the input says what is asked, a letter a call (see `verbs`); what follows is
// said by the server, with \x01 for the tag of the oldest command that it has not answered, and
// \x02 where a wait is woken.
#include <string.h>

#include <glib.h>

#include "net/error.h"
#include "net/imap.h"
#include "tests/fuzz/fuzz.h"

// ---- The server.

typedef struct {
  Wire wire;
  const char *at, *end;
  GString *sent;  // of a line that is not complete
  GQueue tags;    // of char *, oldest first
  GString *ready;
} Server;

static ssize_t server_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  Server *server = (Server *)wire;
  // Cut where it falls, and another way for each place.
  size_t most = 1 + (size_t)(server->end - server->at) * 7 % 61;
  while (server->at < server->end && server->ready->len < most) {
    char byte = *server->at++;
    g_autofree char *tag = byte == '\1' ? g_queue_pop_head(&server->tags) : NULL;
    if (tag)
      g_string_append(server->ready, tag);
    else if (byte != '\2')
      g_string_append_c(server->ready, byte);
  }
  size_t count = MIN(server->ready->len, size);
  memcpy(buffer, server->ready->str, count);
  g_string_erase(server->ready, 0, (gssize)count);
  return (ssize_t)count;
}

static bool server_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  Server *server = (Server *)wire;
  g_string_append_len(server->sent, bytes, (gssize)size);
  for (const char *end; (end = strstr(server->sent->str, "\r\n"));) {
    size_t length = (size_t)(end - server->sent->str);
    const char *space = memchr(server->sent->str, ' ', length);
    g_assert_cmpuint(length + 2, <=, 8000);
    if (space)
      g_queue_push_tail(&server->tags,
                        g_strndup(server->sent->str, (gsize)(space - server->sent->str)));
    g_string_erase(server->sent, 0, (gssize)length + 2);
  }
  return true;
}

static WireWait server_wait(Wire *wire, int timeout_ms, GError **error) {
  Server *server = (Server *)wire;
  if (server->ready->len > 0) return WIRE_READY;
  if (server->at == server->end) return WIRE_EXPIRED;
  if (*server->at != '\2') return WIRE_READY;
  server->at++;
  return WIRE_WOKEN;
}

static void server_free(Wire *wire) {
  Server *server = (Server *)wire;
  g_string_free(server->sent, TRUE);
  g_string_free(server->ready, TRUE);
  g_queue_clear_full(&server->tags, g_free);
  g_free(server);
}

static Wire *server_new(const char *bytes, size_t size) {
  static const WireOps ops = {server_recv, server_send, server_wait, server_free, NULL};
  Server *server = g_new0(Server, 1);
  server->wire.ops = &ops;
  server->at = bytes;
  server->end = bytes + size;
  server->sent = g_string_new(NULL);
  server->ready = g_string_new(NULL);
  g_queue_init(&server->tags);
  return &server->wire;
}

// ---- The caller.

#define LAST_UID 50

typedef struct {
  Mailbox *mailbox;
  unsigned n_requests;
  bool fails;       // the next callback does
  bool has_failed;  // so nothing may be called again in this call
  bool is_in_body;
  uint32_t vanished;  // the last one
} Caller;

static bool answer(Caller *caller, GError **error) {
  g_assert_false(caller->has_failed);
  caller->has_failed = caller->fails;
  if (caller->fails) g_set_error_literal(error, NET_ERROR, NET_ERROR_REFUSED, "no more");
  return !caller->fails;
}

static bool take_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  g_assert_true(folder->name && *folder->name);
  return answer(data, error);
}

static bool take_status(const char *folder, const MailboxStatus *status, gpointer data,
                        GError **error) {
  g_assert_true(folder && status->uidvalidity != 0);
  return answer(data, error);
}

static bool take_message(const MailboxMessage *message, gpointer data, GError **error) {
  g_assert_true(message->uid != 0 && message->size >= -1);
  return answer(data, error);
}

static bool take_vanished(UidRange range, gpointer data, GError **error) {
  Caller *caller = data;
  g_assert_true(range.first > caller->vanished && range.first <= range.last);
  g_assert_cmpuint(range.last, <=, LAST_UID);
  caller->vanished = range.last;
  return answer(caller, error);
}

static bool take_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  g_assert_cmpuint(offset, <=, INT64_MAX);
  ((Caller *)data)->is_in_body = true;
  return answer(data, error);
}

static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  g_assert_true(((Caller *)data)->is_in_body && size > 0);
  return answer(data, error);
}

static bool take_end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  Caller *caller = data;
  g_assert_true(caller->is_in_body && uid >= 3 && uid <= 9);
  caller->is_in_body = false;
  return answer(caller, error);
}

static void take_withheld(uint32_t uid, gpointer data) {
  g_assert_true(!((Caller *)data)->has_failed && uid >= 3 && uid <= 9);
}

static void take_folder_news(const char *folder, const MailboxStatus *status, gpointer data) {
  g_assert_nonnull(folder);
}

static void take_tree_news(gpointer data) {}

static void take_watching(MailboxWatch watch, gpointer data) {}

static bool ask_list(Caller *caller, GError **error) {
  return mailbox_list(caller->mailbox, take_folder, take_status, caller, error);
}

static bool update(Caller *caller, MailboxKnown known, GError **error) {
  const MailboxUpdateFuncs funcs = {
      .message = take_message, .vanished = take_vanished, .data = caller};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate result = {.present = present};
  known.folder = "INBOX";
  caller->vanished = 0;
  bool good = mailbox_update(caller->mailbox, &known, &funcs, &result, error);
  g_assert_cmpuint(uid_set_last(present), <=, LAST_UID);
  if (good && result.is_present_told) {
    g_assert_cmpuint(caller->vanished, ==, 0);
    g_assert_cmpuint(result.status.uidvalidity, ==, known.uidvalidity);
  }
  return good;
}

static bool ask_all(Caller *caller, GError **error) {
  return update(caller, (MailboxKnown){0}, error);
}

static bool ask_compared(Caller *caller, GError **error) {
  return update(caller, (MailboxKnown){.uidvalidity = 7, .last_uid = LAST_UID, .count = 3}, error);
}

static bool ask_changes(Caller *caller, GError **error) {
  const MailboxKnown known = {.uidvalidity = 7, .last_uid = LAST_UID, .count = 3, .modseq = 900};
  return update(caller, known, error);
}

static bool request(Caller *caller, MailboxRequest wanted, GError **error) {
  if (caller->n_requests == MAILBOX_PIPELINE_MAX) return true;
  wanted.folder = "INBOX";
  wanted.uidvalidity = 7;
  caller->n_requests++;
  return mailbox_request(caller->mailbox, &wanted, error);
}

static bool ask_bodies(Caller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add_range(uids, 3, 9);
  return request(caller, (MailboxRequest){.uids = uids}, error);
}

static bool ask_parts(Caller *caller, GError **error) {
  const MailboxRequest wanted = {.uid = 7, .ranges = {{0, 3}, {99, 5}}, .n_ranges = 2};
  return request(caller, wanted, error);
}

static bool receive(Caller *caller, GError **error) {
  const MailboxBodyFuncs funcs = {take_begin, take_bytes, take_end, take_withheld, caller};
  if (caller->n_requests == 0) return true;
  caller->n_requests--;
  return mailbox_receive(caller->mailbox, &funcs, error);
}

static bool ask_anew(Caller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add(uids, 5);
  return request(caller, (MailboxRequest){.uids = uids, .anew = true}, error);
}

static bool watch(Caller *caller, GError **error) {
  const MailboxNewsFuncs funcs = {take_folder_news, take_tree_news, take_watching, caller};
  return mailbox_watch(caller->mailbox, 0, &funcs, error);
}

static bool ask_quota(Caller *caller, GError **error) {
  MailboxQuota quota;
  return mailbox_quota(caller->mailbox, &quota, error);
}

typedef struct {
  char letter;
  bool is_alone;  // no request may be under way
  bool (*ask)(Caller *caller, GError **error);
} Verb;

static const Verb verbs[] = {
    {'l', true, ask_list},    {'n', true, ask_all},     {'c', true, ask_compared},
    {'u', true, ask_changes}, {'r', false, ask_bodies}, {'p', false, ask_parts},
    {'g', false, receive},    {'a', true, ask_anew},    {'w', true, watch},
    {'q', true, ask_quota},
};

// False: the connection is over.
static bool ask(Caller *caller, const Verb *verb) {
  g_autoptr(GError) error = NULL;
  caller->has_failed = caller->is_in_body = false;
  bool good = verb->ask(caller, &error);
  g_assert_true(good == (error == NULL));
  g_assert_true(good || error->domain == NET_ERROR);
  g_assert_false(good && caller->has_failed);
  caller->fails = false;
  return good || !net_error_ends_connection(error);
}

static bool play(Caller *caller, char letter) {
  static const Verb rest = {'g', false, receive};
  if (letter == 'f') caller->fails = true;
  for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
    if (verbs[i].letter != letter) continue;
    while (verbs[i].is_alone && caller->n_requests > 0)
      if (!ask(caller, &rest)) return false;
    return ask(caller, &verbs[i]);
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *start = (const char *)data, *newline = size > 0 ? memchr(start, '\n', size) : NULL;
  if (!newline) return 0;
  Caller caller = {0};
  size_t n_verbs = (size_t)(newline - start);
  caller.mailbox = imap_mailbox_new(server_new(newline + 1, size - n_verbs - 1), "imap1", NULL);
  for (size_t i = 0; caller.mailbox && i < n_verbs; i++)
    if (!play(&caller, start[i])) break;
  mailbox_free(caller.mailbox);
  return 0;
}
