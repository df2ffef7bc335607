// A server that says anything: its mailbox keeps the law of net/mailbox.h, whatever is asked of it.
//
// The first line of the input says what is asked, a letter a call (see `verbs`); what follows is
// said by the server, with \x01 for the tag of the oldest command that it has not answered, and
// \x02 where a wait is woken.
#include <string.h>

#include <glib.h>

#include "net/imap.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mailbox_caller.h"

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
  MailboxCaller base;
  uint32_t vanished;  // the last one
} Caller;

static bool take_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  g_assert_true(folder->name && *folder->name);
  return mailbox_caller_answer(data, error);
}

static bool take_status(const char *folder, const MailboxStatus *status, gpointer data,
                        GError **error) {
  g_assert_true(folder && status->uidvalidity != 0);
  return mailbox_caller_answer(data, error);
}

static bool take_message(const MailboxMessage *message, gpointer data, GError **error) {
  g_assert_true(message->uid != 0 && message->size >= -1);
  return mailbox_caller_answer(data, error);
}

static bool take_vanished(UidRange range, gpointer data, GError **error) {
  Caller *caller = data;
  g_assert_true(range.first > caller->vanished && range.first <= range.last);
  g_assert_cmpuint(range.last, <=, LAST_UID);
  caller->vanished = range.last;
  return mailbox_caller_answer(&caller->base, error);
}

static bool take_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  g_assert_cmpuint(offset, <=, INT64_MAX);
  ((MailboxCaller *)data)->is_in_body = true;
  return mailbox_caller_answer(data, error);
}

static bool take_end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  MailboxCaller *caller = data;
  g_assert_true(caller->is_in_body && uid >= 3 && uid <= 9);
  caller->is_in_body = false;
  return mailbox_caller_answer(caller, error);
}

static void take_withheld(uint32_t uid, gpointer data) {
  g_assert_true(!((MailboxCaller *)data)->has_failed && uid >= 3 && uid <= 9);
}

static void take_folder_news(const char *folder, const MailboxStatus *status, gpointer data) {
  g_assert_nonnull(folder);
}

static void take_tree_news(gpointer data) {}

static void take_watching(MailboxWatch watch, gpointer data) {}

static bool ask_list(MailboxCaller *caller, GError **error) {
  return mailbox_list(caller->mailbox, take_folder, take_status, caller, error);
}

static bool update(MailboxCaller *base, MailboxKnown known, GError **error) {
  Caller *caller = (Caller *)base;
  const MailboxUpdateFuncs funcs = {
      .message = take_message, .vanished = take_vanished, .data = caller};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate result = {.present = present};
  known.folder = "INBOX";
  caller->vanished = 0;
  bool good = mailbox_update(base->mailbox, &known, &funcs, &result, error);
  g_assert_cmpuint(uid_set_last(present), <=, LAST_UID);
  if (good && result.is_present_told) {
    g_assert_cmpuint(caller->vanished, ==, 0);
    g_assert_cmpuint(result.status.uidvalidity, ==, known.uidvalidity);
  }
  return good;
}

static bool ask_all(MailboxCaller *caller, GError **error) {
  return update(caller, (MailboxKnown){0}, error);
}

static bool ask_compared(MailboxCaller *caller, GError **error) {
  return update(caller, (MailboxKnown){.uidvalidity = 7, .last_uid = LAST_UID, .count = 3}, error);
}

static bool ask_changes(MailboxCaller *caller, GError **error) {
  const MailboxKnown known = {.uidvalidity = 7, .last_uid = LAST_UID, .count = 3, .modseq = 900};
  return update(caller, known, error);
}

static bool request(MailboxCaller *caller, MailboxRequest wanted, GError **error) {
  wanted.uidvalidity = 7;
  return mailbox_caller_request(caller, wanted, error);
}

static bool ask_bodies(MailboxCaller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add_range(uids, 3, 9);
  return request(caller, (MailboxRequest){.uids = uids}, error);
}

static bool ask_parts(MailboxCaller *caller, GError **error) {
  const MailboxRequest wanted = {.uid = 7, .ranges = {{0, 3}, {99, 5}}, .n_ranges = 2};
  return request(caller, wanted, error);
}

static bool receive(MailboxCaller *caller, GError **error) {
  const MailboxBodyFuncs funcs = {take_begin, mailbox_caller_take_bytes, take_end, take_withheld,
                                  caller};
  return mailbox_caller_receive(caller, &funcs, error);
}

static bool ask_anew(MailboxCaller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add(uids, 5);
  return request(caller, (MailboxRequest){.uids = uids, .anew = true}, error);
}

static bool watch(MailboxCaller *caller, GError **error) {
  const MailboxNewsFuncs funcs = {take_folder_news, take_tree_news, take_watching, caller};
  return mailbox_watch(caller->mailbox, 0, &funcs, error);
}

static bool ask_quota(MailboxCaller *caller, GError **error) {
  MailboxQuota quota;
  return mailbox_quota(caller->mailbox, &quota, error);
}

static const MailboxVerb verbs[] = {
    {'l', true, ask_list},    {'n', true, ask_all},     {'c', true, ask_compared},
    {'u', true, ask_changes}, {'r', false, ask_bodies}, {'p', false, ask_parts},
    {'g', false, receive},    {'a', true, ask_anew},    {'w', true, watch},
    {'q', true, ask_quota},
};

static Mailbox *open_mailbox(const char *bytes, size_t size) {
  return imap_mailbox_new(server_new(bytes, size), "imap1", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const MailboxGame game = {verbs, G_N_ELEMENTS(verbs), open_mailbox};
  Caller caller = {0};
  mailbox_caller_play(&caller.base, &game, data, size);
  return 0;
}
