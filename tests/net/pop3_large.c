// A server made up here with as many messages as wanted, that does what Dovecot does: what it gave
// out by RETR is marked as read at QUIT, and when the connection drops, unless RSET came between.
#include <inttypes.h>
#include <malloc.h>
#include <string.h>

#include "net/error.h"
#include "net/pop3.h"
#include "net/pop3_session.h"
#include "net/pop3_table.h"

typedef struct {
  unsigned n_messages, size, header_size;
  unsigned n_ends_at;        // RETRs after which the connection breaks; 0: never
  GString *heard;            // of a command that is not whole
  GQueue commands;           // of char *, not begun
  unsigned n_most_commands;  // that were waiting
  char *listing;             // UIDL or LIST, under way; NULL: none
  unsigned next;             // its next message
  GString *ready;
  unsigned n_unread;  // given out since the last RSET
  unsigned n_most_unread;
  unsigned n_retrieved;
  unsigned n_marked;  // as read
  bool has_quit;
  bool is_endless;    // what it gives by RETR has no end
  unsigned slow_ms;   // that it takes for SLOW_BYTES; 0: it is not slow
  size_t most_bytes;  // of memory, of all this process has
} Server;

#define SLOW_BYTES 20000

typedef struct {
  Wire wire;
  Server *server;
} ServerWire;

static void say_lines(Server *server) {
  for (unsigned i = 0; i < 100 && server->next <= server->n_messages; i++, server->next++)
    if (strcmp(server->listing, "UIDL") == 0)
      g_string_append_printf(server->ready, "%u uid-%07u-of-this-mailbox\r\n", server->next,
                             server->next);
    else
      g_string_append_printf(server->ready, "%u %u\r\n", server->next, server->size);
  if (server->next <= server->n_messages) return;
  g_string_append(server->ready, ".\r\n");
  g_clear_pointer(&server->listing, g_free);
}

static void give_message(Server *server) {
  server->n_retrieved++;
  server->n_unread++;
  server->n_most_unread = MAX(server->n_most_unread, server->n_unread);
  g_autofree char *body = g_strnfill(server->size, 'x');
  g_string_append_printf(server->ready, "+OK\r\n%s%s", body, server->is_endless ? "" : "\r\n.\r\n");
}

static void obey(Server *server, const char *command) {
  g_auto(GStrv) words = g_strsplit(command, " ", 2);
  if (strcmp(words[0], "CAPA") == 0) {
    g_string_append(server->ready, "+OK\r\nTOP\r\nUIDL\r\nPIPELINING\r\n.\r\n");
  } else if (strcmp(words[0], "STAT") == 0) {
    g_string_append_printf(server->ready, "+OK %u 1\r\n", server->n_messages);
  } else if (strcmp(words[0], "UIDL") == 0 || strcmp(words[0], "LIST") == 0) {
    g_string_append(server->ready, "+OK\r\n");
    server->listing = g_strdup(words[0]);
    server->next = 1;
  } else if (strcmp(words[0], "TOP") == 0) {
    g_autofree char *filler = g_strnfill(server->header_size, 'x');
    g_string_append_printf(server->ready, "+OK\r\nSubject: %s%s\r\n\r\n.\r\n", filler, words[1]);
  } else if (strcmp(words[0], "RETR") == 0) {
    give_message(server);
  } else {
    if (strcmp(words[0], "RSET") == 0) server->n_unread = 0;
    if (strcmp(words[0], "QUIT") == 0) server->has_quit = true;
    g_string_append(server->ready, "+OK\r\n");
  }
}

static size_t bytes_in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static ssize_t server_recv(Wire *wire, void *buffer, size_t size, GError **error) {
  Server *server = ((ServerWire *)wire)->server;
  server->most_bytes = MAX(server->most_bytes, bytes_in_use());
  if (server->ready->len == 0 && server->listing != NULL) say_lines(server);
  if (server->is_endless && server->n_retrieved > 0 && server->ready->len == 0) {
    memset(buffer, 'x', size);
    return (ssize_t)size;
  }
  while (server->ready->len == 0 && server->listing == NULL) {
    bool is_broken = server->n_ends_at > 0 && server->n_retrieved == server->n_ends_at;
    g_autofree char *command = is_broken ? NULL : g_queue_pop_head(&server->commands);
    if (command == NULL) return 0;
    obey(server, command);
  }
  if (server->slow_ms > 0) {
    size = MIN(size, SLOW_BYTES);
    // The line's own time: how fast it is, is measured.
    g_usleep(server->slow_ms * 1000);
  }
  size_t count = MIN(server->ready->len, size);
  memcpy(buffer, server->ready->str, count);
  g_string_erase(server->ready, 0, (gssize)count);
  return (ssize_t)count;
}

static bool server_send(Wire *wire, const void *bytes, size_t size, GError **error) {
  Server *server = ((ServerWire *)wire)->server;
  g_string_append_len(server->heard, bytes, (gssize)size);
  for (const char *end; (end = strstr(server->heard->str, "\r\n")) != NULL;) {
    size_t length = (size_t)(end - server->heard->str);
    g_queue_push_tail(&server->commands, g_strndup(server->heard->str, length));
    g_string_erase(server->heard, 0, (gssize)length + 2);
  }
  server->n_most_commands = MAX(server->n_most_commands, server->commands.length);
  return true;
}

static WireWait server_wait(Wire *wire, int timeout_ms, GError **error) {
  Server *server = ((ServerWire *)wire)->server;
  bool has_words = server->ready->len > 0 || server->listing != NULL ||
                   server->commands.length > 0 || server->has_quit;
  return has_words ? WIRE_READY : WIRE_EXPIRED;
}

static void server_free(Wire *wire) {
  Server *server = ((ServerWire *)wire)->server;
  server->n_marked = server->n_unread;
  g_string_free(server->heard, TRUE);
  g_string_free(server->ready, TRUE);
  g_queue_clear_full(&server->commands, g_free);
  g_free(server->listing);
  g_free(wire);
}

static Mailbox *open_mailbox(Server *server) {
  static const WireOps ops = {server_recv, server_send, server_wait, server_free, NULL, NULL};
  ServerWire *wire = g_new0(ServerWire, 1);
  g_autoptr(GError) error = NULL;
  wire->wire.ops = &ops;
  wire->server = server;
  server->heard = g_string_new(NULL);
  server->ready = g_string_new(NULL);
  g_queue_init(&server->commands);
  Mailbox *mailbox = pop3_mailbox_new(&wire->wire, "pop3-1", &error);
  g_assert_no_error(error);
  return mailbox;
}

// ---- The caller: every message is known under its number already, or none is.

static bool count_message(const MailboxMessage *message, gpointer data, GError **error) {
  uint32_t *count = data;
  g_assert_cmpuint(message->uid, ==, ++*count);
  return true;
}

static GHashTable *known;

static bool find_number(const char *id, int64_t size, uint32_t *uid, bool *is_certain,
                        gpointer data, GError **error) {
  *uid = GPOINTER_TO_UINT(g_hash_table_lookup(known, id));
  return true;
}

static bool update(Mailbox *mailbox, uint32_t last_uid, uint32_t *count, uint64_t *n_present,
                   GError **error) {
  const MailboxKnown state = {.folder = "INBOX", .uidvalidity = 1, .last_uid = last_uid};
  const MailboxUpdateFuncs funcs = {
      .message = count_message, .number = last_uid > 0 ? find_number : NULL, .data = count};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate result = {.present = present};
  bool good = mailbox_update(mailbox, &state, &funcs, &result, error);
  *n_present = uid_set_count(present);
  return good;
}

#define MANY 100000

// A listing of 100,000 messages takes up less than 64 bytes for each, be they new or known, and
// never more commands are on their way than may be.
static void test_many(void) {
  known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (uint32_t last_uid = 0; last_uid <= MANY; last_uid += MANY) {
    Server server = {.n_messages = MANY, .size = 10};
    g_autoptr(GError) error = NULL;
    uint32_t count = 0;
    uint64_t n_present;
    Mailbox *mailbox = open_mailbox(&server);
    size_t before = bytes_in_use();
    g_assert_true(update(mailbox, last_uid, &count, &n_present, &error));
    g_assert_cmpuint(count, ==, last_uid == 0 ? MANY : 0);
    g_assert_cmpuint(n_present, ==, last_uid);
    g_test_message("%zu bytes", server.most_bytes - before);
    g_assert_cmpuint(server.most_bytes, <=, before + MANY * 64);
    g_assert_cmpuint(server.n_most_commands, <=, POP3_COMMANDS_MAX);
    g_assert_cmpuint(server.n_retrieved, ==, 0);
    mailbox_free(mailbox);
    g_assert_true(server.has_quit);
    for (uint32_t i = 1; last_uid == 0 && i <= MANY; i++) {
      g_autofree char *uidl = g_strdup_printf("uid-%07u-of-this-mailbox", i);
      g_hash_table_insert(known, pop3_id(pop3_key_of(uidl, strlen(uidl)), 1), GUINT_TO_POINTER(i));
    }
  }
  g_hash_table_unref(known);
}

static bool measure_header(const MailboxMessage *message, gpointer data, GError **error) {
  *(size_t *)data = message->header_bytes;
  return true;
}

// Of a header without end 256 KiB are told.
static void test_long_header(void) {
  Server server = {.n_messages = 1, .size = 10, .header_size = 1000000};
  size_t size = 0;
  const MailboxKnown state = {.folder = "INBOX", .uidvalidity = 1};
  const MailboxUpdateFuncs funcs = {.message = measure_header, .data = &size};
  g_autoptr(UidSet) present = uid_set_new();
  MailboxUpdate result = {.present = present};
  Mailbox *mailbox = open_mailbox(&server);
  g_assert_true(mailbox_update(mailbox, &state, &funcs, &result, NULL));
  g_assert_cmpuint(size, ==, 256 << 10);
  mailbox_free(mailbox);
}

// ---- Bodies.

static bool take_begin(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  return true;
}

static bool take_bytes(const void *bytes, size_t size, gpointer data, GError **error) {
  return true;
}

static bool take_end(uint32_t uid, uint64_t offset, gpointer data, GError **error) {
  ++*(unsigned *)data;
  return true;
}

// Asks for messages 1 to n, eight requests at a time, each of `step`; how many came.
static unsigned read_all(Mailbox *mailbox, unsigned n, unsigned step) {
  unsigned n_read = 0, n_requests = 0;
  const MailboxBodyFuncs funcs = {take_begin, take_bytes, take_end, NULL, &n_read};
  for (unsigned first = 1; first <= n || n_requests > 0; first += step) {
    g_autoptr(UidSet) uids = uid_set_new();
    const MailboxRequest request = {.folder = "INBOX", .uidvalidity = 1, .uids = uids};
    uid_set_add_range(uids, first, MIN(first + step - 1, n));
    if (first <= n && !mailbox_request(mailbox, &request, NULL)) break;
    n_requests += first <= n;
    if (first + step <= n && n_requests < MAILBOX_PIPELINE_MAX) continue;
    if (!mailbox_receive(mailbox, &funcs, NULL)) break;
    n_requests--;
  }
  return n_read;
}

static const struct {
  unsigned n_messages, size, step, n_ends_at;
} rows[] = {
    {5000, 100, 1000, 0},     {5000, 100, 1, 0},    {1000, 20000, 1000, 0}, {300, 300000, 7, 0},
    {40, 3000000, 40, 0},     {1000, 100, 1000, 1}, {1000, 100, 1000, 500}, {1000, 100, 1000, 512},
    {1000, 300000, 100, 333}, {1000, 100, 1, 77},
};

// However many messages are read, and wherever the connection breaks, never more than a window of
// them is marked as read, nor more on its way than may be; after QUIT none is.
static void test_unread(gconstpointer data) {
  size_t row = GPOINTER_TO_SIZE(data);
  Server server = {
      .n_messages = rows[row].n_messages, .size = rows[row].size, .n_ends_at = rows[row].n_ends_at};
  uint32_t count = 0;
  uint64_t n_present;
  Mailbox *mailbox = open_mailbox(&server);
  g_assert_true(update(mailbox, 0, &count, &n_present, NULL));
  unsigned n_read = read_all(mailbox, server.n_messages, rows[row].step);
  bool is_whole = server.n_ends_at == 0;
  g_assert_cmpuint(n_read, ==, is_whole ? server.n_messages : server.n_ends_at);
  mailbox_free(mailbox);
  uint64_t window_bytes = MAX(POP3_WINDOW_BYTES, server.size);
  g_assert_cmpuint(server.n_most_unread, <=, POP3_WINDOW_MESSAGES);
  g_assert_cmpuint((uint64_t)server.n_most_unread * server.size, <=, window_bytes);
  g_assert_cmpuint(server.n_most_commands, <=, POP3_COMMANDS_MAX + MAILBOX_PIPELINE_MAX);
  if (is_whole) g_assert_cmpuint(server.n_marked, ==, 0);
}

// A message without end ends the connection, and not the disk or the time of those behind it.
static void test_endless(void) {
  Server server = {.n_messages = 2, .size = 100, .is_endless = true};
  uint32_t count = 0;
  uint64_t n_present;
  unsigned n_read = 0;
  const MailboxBodyFuncs funcs = {take_begin, take_bytes, take_end, NULL, &n_read};
  g_autoptr(UidSet) uids = uid_set_new();
  g_autoptr(GError) error = NULL;
  uid_set_add_range(uids, 1, 2);
  const MailboxRequest request = {.folder = "INBOX", .uidvalidity = 1, .uids = uids};
  Mailbox *mailbox = open_mailbox(&server);
  g_assert_true(update(mailbox, 0, &count, &n_present, NULL));
  g_assert_true(mailbox_request(mailbox, &request, NULL));
  g_assert_false(mailbox_receive(mailbox, &funcs, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_PROTOCOL);
  g_assert_cmpuint(n_read, ==, 0);
  server.is_endless = false;
  mailbox_free(mailbox);
}

static bool stop_slowly(const void *bytes, size_t size, gpointer data, GError **error) {
  ((Server *)data)->slow_ms = 130;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_CANCELLED, "enough");
  return false;
}

// Who is stopped in the middle of a message waits for more than a second for what still comes of
// it, as long as it comes: only then the server is at our RSET, and marks nothing as read.
static void test_slow_goodbye(void) {
  Server server = {.n_messages = 1, .size = 300000};
  uint32_t count = 0;
  uint64_t n_present;
  const MailboxBodyFuncs funcs = {take_begin, stop_slowly, NULL, NULL, &server};
  g_autoptr(UidSet) uids = uid_set_new();
  g_autoptr(GError) error = NULL;
  uid_set_add(uids, 1);
  const MailboxRequest request = {.folder = "INBOX", .uidvalidity = 1, .uids = uids};
  Mailbox *mailbox = open_mailbox(&server);
  g_assert_true(update(mailbox, 0, &count, &n_present, NULL));
  g_assert_true(mailbox_request(mailbox, &request, NULL));
  g_assert_false(mailbox_receive(mailbox, &funcs, &error));
  g_assert_error(error, NET_ERROR, NET_ERROR_CANCELLED);
  mailbox_free(mailbox);
  g_assert_cmpuint(server.n_marked, ==, 0);
}

int main(int argc, char **argv) {
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pop3-large/many", test_many);
  g_test_add_func("/pop3-large/long-header", test_long_header);
  for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
    g_autofree char *path = g_strdup_printf("/pop3-large/unread/%zu", i);
    g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_unread);
  }
  g_test_add_func("/pop3-large/endless", test_endless);
  g_test_add_func("/pop3-large/slow-goodbye", test_slow_goodbye);
  return g_test_run();
}
