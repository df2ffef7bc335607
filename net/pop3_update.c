// What is new: which messages are there, what names them, and the headers of those that the caller
// does not know.

#include <inttypes.h>

#include "net/error.h"
#include "net/pop3_private.h"

typedef struct {
  const MailboxKnown *known;
  const MailboxUpdateFuncs *funcs;
  uint32_t last_uid;   // that was given
  GHashTable *counts;  // of new messages by their keys, in order to tell twins apart
  bool is_unsure;      // of some that are known whether they are the same
} Telling;

// One whose header is refused is told without: the message is there. Where it has twins, none of
// them is known for the same until all are: so nobody is to wait for it, and its header is empty.
static bool tell(Pop3Message *message, const Pop3Header *header, gpointer data, GError **error) {
  const Telling *telling = data;
  g_autofree char *id = pop3_id(message->key, message->twin);
  bool is_bare = header->bytes == NULL && message->has_twins;
  const MailboxMessage told = {.uid = message->uid,
                               .internaldate = -1,
                               .size = message->size,
                               .id = id,
                               .header = is_bare ? "" : header->bytes,
                               .header_bytes = header->size,
                               .is_put_off = header->is_put_off};
  return telling->funcs->message(&told, telling->funcs->data, error);
}

// ---- What has no UIDL: named by its bytes, and told at once if it is new.

static bool lacks_key(const Pop3Message *message, gpointer data) {
  return !message->has_key;
}

// If no first one is known of several with one key, all of them are new.
static bool is_known(const Telling *telling, uint64_t key, bool *known, GError **error) {
  g_autofree char *id = pop3_id(key, 1);
  uint32_t uid = 0;
  bool is_certain = true;
  bool done = telling->funcs->number == NULL ||
              telling->funcs->number(id, -1, &uid, &is_certain, telling->funcs->data, error);
  *known = uid != 0;
  return done;
}

static uint32_t count_twin(Telling *telling, uint64_t key) {
  uint32_t count = GPOINTER_TO_UINT(g_hash_table_lookup(telling->counts, &key)) + 1;
  g_hash_table_replace(telling->counts, g_memdup2(&key, sizeof key), GUINT_TO_POINTER(count));
  return count;
}

static bool take_key(Pop3Message *message, const Pop3Header *header, gpointer data,
                     GError **error) {
  Telling *telling = data;
  bool known;
  message->key = header->key;
  message->has_key = true;
  if (!is_known(telling, message->key, &known, error)) return false;
  if (known) return true;
  if (telling->last_uid == UINT32_MAX) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_LIMIT, "there are no UIDs left");
    return false;
  }
  message->uid = ++telling->last_uid;
  message->twin = count_twin(telling, message->key);
  message->is_told = true;
  return true;
}

// A message without a name cannot be told from others; to leave it out would be to say it is gone.
static bool tell_keyed(Pop3Message *message, const Pop3Header *header, gpointer data,
                       GError **error) {
  if (header->refusal == NULL) return !message->is_told || tell(message, header, data, error);
  g_set_error(error, NET_ERROR, header->is_put_off ? NET_ERROR_BUSY : NET_ERROR_REFUSED,
              "the server has no UIDL for a message, and refuses to show it: %s", header->refusal);
  return false;
}

// ---- Whether what has a known UIDL is what is known by it.

static bool is_doubtful(const Pop3Message *message, gpointer data) {
  return message->is_doubtful;
}

// One that the server does not show is what is known without a header, too. One that it does not
// show for now stays what it is known as, and is not removed as that.
static bool compare(Pop3Message *message, const Pop3Header *header, gpointer data, GError **error) {
  Telling *telling = data;
  const MailboxMessage told = {.uid = message->uid,
                               .internaldate = -1,
                               .size = message->size,
                               .header = header->bytes,
                               .header_bytes = header->size};
  bool is_same = header->is_put_off;
  telling->is_unsure |= message->is_unsure = header->is_put_off;
  if (!is_same && telling->funcs->is_same != NULL &&
      !telling->funcs->is_same(&told, &is_same, telling->funcs->data, error))
    return false;
  if (!is_same) message->uid = 0;
  return true;
}

// A message among others with a UIDL that has lost its own, perhaps, and is new by its bytes: one
// that is known then seems to be gone and may not be.
static bool has_nameless_news(Pop3Table *table) {
  for (uint32_t number = 1; number <= pop3_table_last_number(table); number++) {
    const Pop3Message *message = pop3_table_get(table, number);
    if (message != NULL && message->is_told) return true;
  }
  return false;
}

static bool are_named_as_before(Pop3Table *table) {
  for (uint32_t number = 1; number <= pop3_table_last_number(table); number++) {
    const Pop3Message *message = pop3_table_get(table, number);
    if (message != NULL && ((message->uid != 0 && !message->is_told) || message->is_keyed_by_uidl))
      return true;
  }
  return pop3_table_count(table) == 0;
}

// Where the server did not say what it can do, a refusal may be one for now; but what is named by
// its bytes then has another name than by its UIDL, and all would be new.
static bool check_names(const Pop3Mailbox *pop3, Pop3Table *table, const MailboxKnown *known,
                        GError **error) {
  bool is_doubtful = !pop3_session_has_told_abilities(pop3->session) || pop3->is_top_refused;
  if (!is_doubtful || known->count == 0 || are_named_as_before(table)) return true;
  g_set_error_literal(error, NET_ERROR, NET_ERROR_BUSY,
                      "the server refuses UIDL or TOP, and none of its messages is known without");
  return false;
}

// ---- What is new.

static bool is_new(const Pop3Message *message, gpointer data) {
  return !message->is_told && message->uid > ((const Telling *)data)->known->last_uid;
}

static void note_present(Pop3Table *table, const MailboxKnown *known, UidSet *present) {
  const UidRange all = {1, known->last_uid};
  UidRange rest = all;
  for (uint32_t number; (number = pop3_table_find(table, rest)) != 0;) {
    uint32_t uid = pop3_table_get(table, number)->uid;
    uid_set_add(present, uid);
    if (uid == all.last) break;
    rest.first = uid + 1;
  }
}

static bool tell_all(Pop3Mailbox *pop3, Pop3Table *table, const MailboxKnown *known,
                     const MailboxUpdateFuncs *funcs, bool *is_unsure, GError **error) {
  g_autoptr(GHashTable) counts = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
  Telling telling = {.known = known, .funcs = funcs, .last_uid = known->last_uid, .counts = counts};
  const Pop3HeaderFuncs keys = {.wants = lacks_key,
                                .identify = take_key,
                                .header = tell_keyed,
                                .bodies = funcs->bodies,
                                .data = &telling};
  const Pop3HeaderFuncs doubts = {.wants = is_doubtful, .header = compare, .data = &telling};
  const Pop3HeaderFuncs news = {
      .wants = is_new, .header = tell, .bodies = funcs->bodies, .data = &telling};
  bool good = pop3_read_headers(pop3, table, &keys, error) &&
              pop3_table_recognise(table, funcs->number, funcs->data, error) &&
              check_names(pop3, table, known, error) &&
              pop3_read_headers(pop3, table, &doubts, error) &&
              pop3_table_name(table, telling.last_uid, error) &&
              pop3_read_headers(pop3, table, &news, error);
  *is_unsure = telling.is_unsure;
  return good;
}

bool pop3_update(Mailbox *mailbox, const MailboxKnown *known, const MailboxUpdateFuncs *funcs,
                 MailboxUpdate *update, GError **error) {
  Pop3Mailbox *pop3 = pop3_of(mailbox);
  g_assert(pop3->requests.length == 0);
  if (!pop3_has_folder(known->folder)) {
    g_set_error_literal(error, NET_ERROR, NET_ERROR_GONE, "a POP3 mailbox has no folder but INBOX");
    return false;
  }
  g_clear_pointer(&pop3->table, pop3_table_free);
  g_autoptr(Pop3Table) table = pop3_table_new();
  bool has_uidls;
  if (!pop3_list_messages(pop3, table, &has_uidls, error)) return false;
  update->status =
      (MailboxStatus){.uidvalidity = POP3_UIDVALIDITY, .exists = pop3_table_count(table)};
  if (known->uidvalidity != 0 && known->uidvalidity != POP3_UIDVALIDITY) return true;
  if (!tell_all(pop3, table, known, funcs, &pop3->is_unsure, error)) return false;
  note_present(table, known, update->present);
  update->is_present_told = !(has_uidls && has_nameless_news(table));
  pop3->is_unsure |= !update->is_present_told;
  pop3->table = g_steal_pointer(&table);
  return true;
}
