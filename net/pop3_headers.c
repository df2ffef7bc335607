// Headers: many TOPs on their way, or RETRs.

#include <inttypes.h>
#include <string.h>

#include "net/error.h"
#include "net/pop3_private.h"

#define HEADER_MAX_BYTES (256 << 10)
// What a header is taken for, to bound what is on its way.
#define HEADER_USUAL_BYTES 4096
// A server that refused so many TOPs, gave the messages by RETR, and never answered a TOP, knows
// none. Before, a refusal is the message's: what names the others must not hang on it.
#define TOPS_REFUSED 3

typedef struct {
  Pop3Mailbox *pop3;
  Pop3Table *table;
  const Pop3HeaderFuncs *funcs;
  const MailboxBodyFuncs *body;  // who is told of the one that is read; NULL: nobody
  uint32_t next;                 // the number that is looked at next
  GQueue again;                  // numbers whose TOP was refused: by RETR, before all others
  bool is_ended;                 // nothing more is sent
  GByteArray *bytes;             // of the header that is read
  Pop3Key *key;
} Reader;

// ---- Sending.

static bool next_command(Reader *reader, Pop3Command *command) {
  bool has_top = pop3_session_may_have_top(reader->pop3->session) && !reader->pop3->is_top_refused;
  uint32_t number = GPOINTER_TO_UINT(g_queue_peek_head(&reader->again));
  bool is_again = number != 0;
  uint32_t last = pop3_table_last_number(reader->table);
  for (; !is_again && reader->next <= last; reader->next++) {
    const Pop3Message *message = pop3_table_get(reader->table, reader->next);
    if (message != NULL && reader->funcs->wants(message, reader->funcs->data)) break;
  }
  if (!is_again) number = reader->next;
  if (number > last) return false;
  const Pop3Message *message = pop3_table_get(reader->table, number);
  bool is_top = has_top && !is_again;
  command->verb = is_top ? POP3_TOP : POP3_RETR;
  command->number = number;
  command->bytes = is_top ? HEADER_USUAL_BYTES : (uint64_t)MAX(message->size, HEADER_USUAL_BYTES);
  return true;
}

static void note_sent(Reader *reader, const Pop3Command *command) {
  if (g_queue_peek_head(&reader->again) != NULL)
    g_queue_pop_head(&reader->again);
  else
    reader->next = command->number + 1;
}

static bool send_ahead(Reader *reader, GError **error) {
  Pop3Session *session = reader->pop3->session;
  Pop3Command command;
  while (!reader->is_ended) {
    if (!next_command(reader, &command)) return true;
    if (!pop3_session_has_room(session, command.bytes)) return true;
    if (!pop3_session_send(session, &command, error)) return false;
    note_sent(reader, &command);
  }
  return true;
}

// ---- Receiving.

static bool take_bytes(const char *bytes, size_t size, gpointer data, GError **error) {
  Reader *reader = data;
  size_t fits = MIN(size, HEADER_MAX_BYTES - reader->bytes->len);
  g_byte_array_append(reader->bytes, (const guint8 *)bytes, (guint)fits);
  pop3_key_add(reader->key, bytes, size);
  return reader->body == NULL || reader->body->bytes(bytes, size, reader->body->data, error);
}

// Up to and with the first empty line; all of it if there is none.
static size_t header_length(const GByteArray *bytes) {
  const char *text = (const char *)bytes->data;
  for (size_t at = 0; at < bytes->len;) {
    size_t line_end = at < bytes->len && text[at] == '\r' ? at + 1 : at;
    if (line_end < bytes->len && text[line_end] == '\n') return line_end + 1;
    const char *line_feed = memchr(text + at, '\n', bytes->len - at);
    if (line_feed == NULL) break;
    at = (size_t)(line_feed - text) + 1;
  }
  return bytes->len;
}

// Many messages have the same header but for what follows it, and their size differs.
static void add_size(Reader *reader, const Pop3Message *message) {
  g_autofree char *size = g_strdup_printf("%" PRId64, message->size);
  pop3_key_add(reader->key, size, strlen(size));
}

// All that is known of TOP by what was answered.
static void note_verb(Pop3Mailbox *pop3, Pop3Verb verb) {
  if (verb == POP3_TOP)
    pop3->has_top_worked = true;
  else if (pop3_session_may_have_top(pop3->session) && ++pop3->n_tops_refused >= TOPS_REFUSED)
    pop3->is_top_refused = !pop3->has_top_worked;
}

static bool receive_message(Reader *reader, const Pop3Command *command, uint32_t uid,
                            GError **error) {
  Pop3Session *session = reader->pop3->session;
  bool is_told = command->verb == POP3_RETR && !reader->is_ended;
  const MailboxBodyFuncs *body = reader->body = is_told ? reader->funcs->bodies : NULL;
  if (body != NULL && !body->begin(uid, 0, body->data, error)) {
    pop3_session_receive_bytes(session, NULL, NULL, NULL);
    return false;
  }
  g_byte_array_set_size(reader->bytes, 0);
  pop3_key_begin(reader->key);
  return pop3_session_receive_bytes(session, take_bytes, reader, error);
}

static bool tell(Reader *reader, Pop3Message *message, const Pop3Header *header, GError **error) {
  const Pop3HeaderFuncs *funcs = reader->funcs;
  const MailboxBodyFuncs *body = reader->body;
  if (funcs->identify != NULL && !funcs->identify(message, header, funcs->data, error))
    return false;
  if (body != NULL && message->uid != 0 && !body->end(message->uid, 0, body->data, error))
    return false;
  return funcs->header(message, header, funcs->data, error);
}

static bool take_header(Reader *reader, const Pop3Command *command, GError **error) {
  Pop3Message *message = pop3_table_get(reader->table, command->number);
  if (!receive_message(reader, command, message->uid, error)) return false;
  note_verb(reader->pop3, command->verb);
  if (command->verb == POP3_TOP) add_size(reader, message);
  const Pop3Header header = {.bytes = reader->bytes->len > 0 ? (char *)reader->bytes->data : "",
                             .size = header_length(reader->bytes),
                             .key = pop3_key_end(reader->key)};
  return reader->is_ended || tell(reader, message, &header, error);
}

static bool take_refusal(Reader *reader, const Pop3Command *command, const Pop3Reply *reply,
                         GError **error) {
  bool is_put_off = pop3_reply_is_temporary(reply);
  if (command->verb == POP3_TOP && !is_put_off) {
    g_queue_push_tail(&reader->again, GUINT_TO_POINTER(command->number));
    return true;
  }
  g_autofree char *words = pop3_reply_words(reply);
  const Pop3Header header = {.refusal = words, .is_put_off = is_put_off};
  return reader->is_ended || reader->funcs->header(pop3_table_get(reader->table, command->number),
                                                   &header, reader->funcs->data, error);
}

static bool receive(Reader *reader, GError **error) {
  Pop3Command command;
  g_autoptr(Pop3Reply) reply = pop3_session_receive(reader->pop3->session, &command, error);
  if (reply == NULL) return false;
  return reply->status == POP3_OK ? take_header(reader, &command, error)
                                  : take_refusal(reader, &command, reply, error);
}

// What is on its way is read to its end, whatever comes of one; the first failure is the result.
static bool read_all(Reader *reader, GError **error) {
  Pop3Session *session = reader->pop3->session;
  g_autoptr(GError) first = NULL;
  for (;;) {
    g_autoptr(GError) failure = NULL;
    bool good = send_ahead(reader, &failure);
    if (good && !pop3_session_is_awaiting(session)) break;
    good = good && receive(reader, &failure);
    if (good) continue;
    reader->is_ended = true;
    bool is_over = pop3_session_is_over(session);
    if (is_over) g_clear_error(&first);
    if (first == NULL) first = g_steal_pointer(&failure);
    if (is_over) break;
  }
  if (first == NULL) return true;
  g_propagate_error(error, g_steal_pointer(&first));
  return false;
}

bool pop3_read_headers(Pop3Mailbox *pop3, Pop3Table *table, const Pop3HeaderFuncs *funcs,
                       GError **error) {
  g_autoptr(Pop3Key) key = pop3_key_new();
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  Reader reader = {
      .pop3 = pop3, .table = table, .funcs = funcs, .next = 1, .bytes = bytes, .key = key};
  g_queue_init(&reader.again);
  bool good = read_all(&reader, error);
  if (!pop3_session_is_over(pop3->session)) {
    GError **late = good ? error : NULL;
    good = pop3_session_send_reset(pop3->session, late) &&
           pop3_session_flush(pop3->session, late) && good;
  }
  g_queue_clear(&reader.again);
  return good;
}
