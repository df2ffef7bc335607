// A POP3 server that says anything: its mailbox keeps the law of net/mailbox.h, whatever is asked
// of it.
//
// The first line of the input says what is asked, a letter a call (see `verbs`); what follows is
// said by the server: up to each \x01 what it says before we ask for more. \x02 is where a wait is
// woken.
#include <string.h>

#include <glib.h>

#include "net/pop3.h"
#include "net/pop3_session.h"
#include "net/pop3_table.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/mailbox_caller.h"

// ---- The server.

typedef struct {
  Wire wire;
  const char *at, *end;
  size_t n_waiting;  // commands since it last said something
  GString *ready;
} Server;

static ssize_t server_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  Server *server = (Server *)wire;
  // Cut where it falls, and another way for each place.
  size_t most = 1 + (size_t)(server->end - server->at) * 7 % 61;
  server->n_waiting = 0;
  while (server->at < server->end && server->ready->len < most) {
    char byte = *server->at++;
    if (byte == '\1' && server->ready->len > 0) break;
    if (byte != '\1' && byte != '\2') g_string_append_c(server->ready, byte);
  }
  size_t count = MIN(server->ready->len, size);
  memcpy(buffer, server->ready->str, count);
  g_string_erase(server->ready, 0, (gssize)count);
  return (ssize_t)count;
}

static bool server_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  Server *server = (Server *)wire;
  const char *text = bytes;
  g_assert_cmpmem(text + size - 2, 2, "\r\n", 2);
  for (size_t i = 0; i < size; i++)
    server->n_waiting += text[i] == '\n';
  g_assert_cmpuint(server->n_waiting, <=, POP3_COMMANDS_MAX + MAILBOX_PIPELINE_MAX + 2);
  return true;
}

static WireWait server_wait(Wire *wire, int timeout_ms, GError **error) {
  Server *server = (Server *)wire;
  if (server->ready->len > 0) return WIRE_READY;
  if (server->at == server->end) return WIRE_EXPIRED;
  if (*server->at != '\2') return timeout_ms == 0 ? WIRE_EXPIRED : WIRE_READY;
  server->at++;
  return WIRE_WOKEN;
}

static void server_free(Wire *wire) {
  g_string_free(((Server *)wire)->ready, TRUE);
  g_free(wire);
}

static Wire *server_new(const char *bytes, size_t size) {
  static const WireOps ops = {server_recv, server_send, server_wait, server_free, NULL, NULL};
  Server *server = g_new0(Server, 1);
  server->wire.ops = &ops;
  server->at = bytes;
  server->end = bytes + size;
  server->ready = g_string_new(NULL);
  return &server->wire;
}

// ---- The caller, who keeps what it was told as the cache would.

typedef struct {
  MailboxCaller base;
  GHashTable *uids;    // by id
  GHashTable *update;  // UIDs that one update told
  uint32_t last_uid, told_uid;
} Caller;

static bool take_folder(const MailboxFolder *folder, gpointer data, GError **error) {
  g_assert_cmpstr(folder->name, ==, "INBOX");
  return mailbox_caller_answer(data, error);
}

static bool take_message(const MailboxMessage *message, gpointer data, GError **error) {
  Caller *caller = data;
  g_assert_cmpuint(message->uid, >, caller->last_uid);
  g_assert_cmpint(message->size, >=, -1);
  g_assert_cmpuint(strlen(message->id), >=, 16);
  g_assert_true((message->header == NULL) <= (message->header_bytes == 0));
  g_assert_cmpuint(message->header_bytes, <=, 256 << 10);
  g_assert_true(g_hash_table_add(caller->update, GUINT_TO_POINTER(message->uid)));
  g_hash_table_insert(caller->uids, g_strdup(message->id), GUINT_TO_POINTER(message->uid));
  caller->told_uid = MAX(caller->told_uid, message->uid);
  return mailbox_caller_answer(&caller->base, error);
}

static bool tell_is_same(const MailboxMessage *message, bool *is_same, gpointer data,
                         GError **error) {
  *is_same = message->header_bytes % 2 == 0;
  return true;
}

static bool tell_number(const char *id, int64_t size, uint32_t *uid, bool *is_certain,
                        gpointer data, GError **error) {
  *is_certain = size % 2 == 0;
  *uid = GPOINTER_TO_UINT(g_hash_table_lookup(((Caller *)data)->uids, id));
  return true;
}

static bool take_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  MailboxCaller *caller = data;
  g_assert_false(caller->is_in_body);
  g_assert_cmpuint(offset, ==, 0);
  caller->is_in_body = true;
  return mailbox_caller_answer(caller, error);
}

// In an update, what was known already began and did not end.
static bool begin_unnamed(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  ((MailboxCaller *)data)->is_in_body = false;
  return take_begin(uid, offset, data, error);
}

static bool take_end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  MailboxCaller *caller = data;
  g_assert_true(caller->is_in_body && uid != 0);
  caller->is_in_body = false;
  return mailbox_caller_answer(caller, error);
}

static void take_withheld(uint32_t uid, gpointer data) {
  g_assert_false(((MailboxCaller *)data)->has_failed);
}

static void take_watching(MailboxWatch watch, gpointer data) {
  g_assert_cmpint(watch, ==, MAILBOX_WATCHES_NOTHING);
}

static bool ask_list(MailboxCaller *caller, GError **error) {
  return mailbox_list(caller->mailbox, take_folder, NULL, caller, error);
}

static bool ask_update(MailboxCaller *base, GError **error) {
  Caller *caller = (Caller *)base;
  const MailboxKnown known = {.folder = "INBOX", .uidvalidity = 1, .last_uid = caller->last_uid};
  const MailboxBodyFuncs bodies = {begin_unnamed, mailbox_caller_take_bytes, take_end, NULL,
                                   caller};
  const MailboxUpdateFuncs funcs = {.message = take_message,
                                    .number = tell_number,
                                    .is_same = tell_is_same,
                                    .bodies = &bodies,
                                    .data = caller};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate update = {.present = present};
  g_autoptr(GHashTable) told = g_hash_table_new(NULL, NULL);
  caller->update = told;
  bool good = mailbox_update(base->mailbox, &known, &funcs, &update, error);
  g_assert_cmpuint(uid_set_last(present), <=, caller->last_uid);
  if (good) {
    g_assert_true(update.is_present_told);
    g_assert_cmpuint(uid_set_count(present) + g_hash_table_size(told), ==, update.status.exists);
  }
  caller->last_uid = MAX(caller->last_uid, caller->told_uid);
  return good;
}

static bool request(MailboxCaller *caller, MailboxRequest wanted, GError **error) {
  wanted.uidvalidity = 1;
  return mailbox_caller_request(caller, wanted, error);
}

static bool ask_bodies(MailboxCaller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add_range(uids, 1, UINT32_MAX);
  return request(caller, (MailboxRequest){.uids = uids}, error);
}

static bool ask_part(MailboxCaller *caller, GError **error) {
  return request(caller, (MailboxRequest){.uid = 1, .ranges = {{0, 3}}, .n_ranges = 1}, error);
}

static bool receive(MailboxCaller *caller, GError **error) {
  const MailboxBodyFuncs funcs = {take_begin, mailbox_caller_take_bytes, take_end, take_withheld,
                                  caller};
  return mailbox_caller_receive(caller, &funcs, error);
}

static bool watch(MailboxCaller *caller, GError **error) {
  const MailboxNewsFuncs funcs = {.watching = take_watching, .data = caller};
  return mailbox_watch(caller->mailbox, 5, &funcs, error);
}

static bool ask_expunge(MailboxCaller *caller, GError **error) {
  g_autoptr(UidSet) uids = uid_set_new();
  uid_set_add_range(uids, 1, UINT32_MAX);
  return mailbox_expunge(caller->mailbox, "INBOX", 1, uids, error);
}

static const MailboxVerb verbs[] = {
    {'l', true, ask_list},    {'u', true, ask_update}, {'r', false, ask_bodies},
    {'p', false, ask_part},   {'g', false, receive},   {'w', true, watch},
    {'e', true, ask_expunge},
};

static Mailbox *open_mailbox(const char *bytes, size_t size) {
  return pop3_mailbox_new(server_new(bytes, size), "pop3-1", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const MailboxGame game = {verbs, G_N_ELEMENTS(verbs), open_mailbox};
  Caller caller = {.uids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};
  mailbox_caller_play(&caller.base, &game, data, size);
  g_hash_table_unref(caller.uids);
  return 0;
}
